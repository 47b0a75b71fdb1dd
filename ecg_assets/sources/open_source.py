"""Open a dataset by its name."""

from __future__ import annotations

from pathlib import Path

from ecg_assets.errors import SettingsError
from ecg_assets.sources.mimic_iv_ecg import MimicIvEcg
from ecg_assets.sources.physionet2021 import PhysioNet2021
from ecg_assets.sources.source import Source

SOURCE_NAMES = ("mimic-iv-ecg", "physionet-2021", "synthetic")


def open_source(
    name: str, root: Path, *, folders_per_shard: int = 20, seed: int = 0, n_records: int = 800
) -> Source:
    """Open a dataset; the synthetic one is written first where it is missing.

    Raises
    ------
    SettingsError
        When the name is unknown or the root does not hold that dataset.
    """
    if name == "synthetic":
        from ecg_assets.sources.synthetic import write_synthetic_cohort

        write_synthetic_cohort(root, n_records=n_records, seed=seed)
        return MimicIvEcg(root, name="synthetic", folders_per_shard=1)
    if name not in SOURCE_NAMES:
        raise SettingsError(f"ECG_SOURCE is {name!r}; it must be one of {', '.join(SOURCE_NAMES)}.")
    if not root.is_dir():
        raise SettingsError(
            f"ECG_RAW_ROOT is {root}, which is not a folder. Set it to the root of {name}."
        )
    if name == "mimic-iv-ecg":
        _require_mimic(root)
        return MimicIvEcg(root, folders_per_shard=folders_per_shard)
    if next(root.rglob("*.hea"), None) is None:
        raise SettingsError(
            f"ECG_RAW_ROOT is {root}, which holds no .hea file in any sub-folder. "
            "Set it to the folder of the PhysioNet 2021 training data."
        )
    return PhysioNet2021(root)


def _require_mimic(root: Path) -> None:
    missing = [
        file
        for file in ("record_list.csv", "machine_measurements.csv")
        if not (root / file).is_file()
    ]
    if not missing:
        return
    near = [
        place
        for place in (root.parent, *sorted(path for path in root.iterdir() if path.is_dir()))
        if (place / "record_list.csv").is_file()
    ]
    hint = f" Did you mean {near[0]}?" if near else ""
    raise SettingsError(
        f"ECG_RAW_ROOT is {root}, which lacks {' and '.join(missing)}. Set it to the folder of "
        f"MIMIC-IV-ECG that holds them and files/.{hint}"
    )
