"""What the user says of files that do not say it themselves: folder.yaml."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ecg_assets.errors import SettingsError
from ecg_assets.sources.wfdb.header import normalize_lead_name
from ecg_assets.yaml_file import read_yaml

SETTINGS_FILE = "folder.yaml"


@dataclass(frozen=True)
class FolderSettings:
    """What holds for every recording of a folder that is no WFDB record.

    Attributes
    ----------
    sample_rate_hz
        Samples per second, where the file and labels.csv have none.
    leads
        Leads in the order that .npy and .mat hold them.
    units_per_mv
        How many of a file's units are one mV: 1 for mV, 1000 for µV, 200 for integers of a
        converter with 200 units per mV. None takes floats for mV and refuses integers.
    """

    sample_rate_hz: float | None = None
    leads: tuple[str, ...] = ()
    units_per_mv: float | None = None

    def __post_init__(self) -> None:
        for name in ("sample_rate_hz", "units_per_mv"):
            value = getattr(self, name)
            if value is not None and not _is_positive(value):
                raise ValueError(f"{name} is {value!r}; expected a number above 0.")
        if not all(isinstance(lead, str) for lead in self.leads):
            raise ValueError(f"leads is {list(self.leads)}; expected names, as [I, II, V1].")
        names = [normalize_lead_name(lead) for lead in self.leads]
        if len(set(names)) != len(names):
            raise ValueError(f"leads names one twice: {names}.")


def load_folder_settings(root: Path) -> FolderSettings:
    """Read folder.yaml below the root; without it nothing is set.

    Raises
    ------
    SettingsError
        When it is no YAML, is larger than 1 MiB, has unknown keys, a key twice, or values
        that cannot be.
    """
    path = root / SETTINGS_FILE
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        return FolderSettings()
    return _load(path, changed)


@lru_cache(maxsize=16)
def _load(path: Path, changed: int) -> FolderSettings:
    try:
        table = read_yaml(path, aliases=False) or {}
        if not isinstance(table, Mapping):
            raise ValueError("expected keys and values.")
        unknown = sorted(set(map(str, table)) - set(FolderSettings.__dataclass_fields__))
        if unknown:
            raise ValueError(
                f"unknown keys {unknown}; allowed: {list(FolderSettings.__dataclass_fields__)}."
            )
        leads = table.get("leads") or []
        if not isinstance(leads, list):
            raise ValueError(f"leads is {leads!r}; expected a list, as [I, II, V1].")
        return FolderSettings(table.get("sample_rate_hz"), tuple(leads), table.get("units_per_mv"))
    except (ValueError, OSError) as error:
        raise SettingsError(f"{path}: {error}") from error


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
