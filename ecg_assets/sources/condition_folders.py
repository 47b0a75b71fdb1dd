"""Recordings sorted into one folder a condition, as those who fine-tune ECGFounder have them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.errors import SettingsError
from ecg_assets.sources.condition_copies import (
    ConditionRecording,
    Copy,
    join_copies,
    read_copy,
)
from ecg_assets.sources.condition_names import list_condition_folders
from ecg_assets.sources.demographics import parse_ages, parse_sexes
from ecg_assets.sources.schema import CONDITION_FOLDER, MEASUREMENTS
from ecg_assets.sources.source import SourceTable

_SIGNALS = (".dat", ".mat")
_PATIENT = "subject_id"


@dataclass(frozen=True)
class ConditionFolders:
    """WFDB records below `root`, each in a folder that is named by its condition.

    Folders of conditions lie right below the root, recordings below them in any sub-folders.
    A recording that lies in two of them has both conditions.
    """

    root: Path
    name: str = "condition-folders"

    def read_records(self) -> SourceTable:
        """List the recordings; patient, age and sex are what the headers' comments say.

        A recording whose header names no ``subject_id`` is a patient of its own: no split can
        keep it together with others of the same person. Such are counted. A header that cannot
        be read is counted and listed; its record stays, so that preprocessing rejects it.

        Raises
        ------
        SettingsError
            When a folder is of no known condition, or holds no header.
        SchemaError
            When two headers of one name describe different samples.
        """
        copies = self._read_copies()
        recordings = join_copies(copies)
        ages, n_out_of_range = parse_ages(_field(recordings, "age"))
        record_ids = pd.Series([r.record_id for r in recordings], dtype=str)
        patients = _field(recordings, _PATIENT)
        records = pd.DataFrame(
            {
                "record_id": record_ids,
                "source": self.name,
                "shard": [_shard(recording.path) for recording in recordings],
                "subject_id": patients.where(patients.notna(), record_ids),
                "study_id": record_ids,
                "ecg_time": np.datetime64("NaT", "us"),
                "path": [recording.path for recording in recordings],
                "age": ages,
                "sex": parse_sexes(_field(recordings, "sex")),
            }
        )
        unreadable = tuple(f"{copy.path}.hea" for copy in copies if copy.fields is None)
        return SourceTable(
            records.sort_values(["shard", "record_id"], ignore_index=True),
            {
                "records": len(records),
                "copies_of_records": len(copies) - len(records),
                "records_of_several_conditions": _count_several(recordings),
                "records_without_patient": int(patients.isna().sum()),
                "unreadable_headers": len(unreadable),
                "signals_without_header": self._count_signals_without_header(),
                "ages_out_of_range": n_out_of_range,
                "records_without_age": int(np.isnan(ages).sum()),
                "records_without_sex": int(records["sex"].isna().sum()),
            },
            unreadable,
        )

    def read_reports(self, records: pd.DataFrame) -> SourceTable:
        """Read the conditions of these records, by the names of `CONDITIONS`."""
        recordings = join_copies(self._read_copies())
        conditions = {recording.record_id: recording.conditions for recording in recordings}
        lines = [list(conditions.get(record_id, ())) for record_id in records["record_id"]]
        reports = pd.DataFrame(
            {
                "record_id": records["record_id"].to_numpy(),
                "coding": CONDITION_FOLDER,
                "lines": pd.Series(lines, dtype=object),
                **dict.fromkeys(MEASUREMENTS, np.nan),
            }
        )
        return SourceTable(
            reports,
            {
                "records": len(reports),
                "records_without_report": sum(not line for line in lines),
                "records_of_several_conditions": sum(len(line) > 1 for line in lines),
            },
        )

    def _read_copies(self) -> list[Copy]:
        """Read all headers, sorted by path."""
        copies = []
        for folder, condition in list_condition_folders(self.root).items():
            paths = self._list_files(folder, (".hea",))
            if not paths:
                raise SettingsError(self._describe_empty(folder))
            copies += [read_copy(self.root, path, condition) for path in paths]
        return copies

    def _describe_empty(self, folder: str) -> str:
        n_signals = len(self._list_files(folder, _SIGNALS))
        found = f"{n_signals} .dat or .mat files but no .hea" if n_signals else "no .hea file"
        return (
            f"ECG_RAW_ROOT is {self.root}, whose folder {folder!r} holds {found}. Put its "
            "recordings there, each with its header beside it, or remove the folder."
        )

    def _list_files(self, folder: str, extensions: tuple[str, ...]) -> list[str]:
        """Paths below the root, without extension, sorted; hidden files and folders are not."""
        found = {
            path.relative_to(self.root)
            for extension in extensions
            for path in (self.root / folder).rglob(f"*{extension}")
        }
        visible = [path for path in found if not any(part[0] == "." for part in path.parts)]
        return sorted(path.with_suffix("").as_posix() for path in visible)

    def _count_signals_without_header(self) -> int:
        folders = list_condition_folders(self.root)
        stems = {path for folder in folders for path in self._list_files(folder, (".hea",))}
        signals = {path for folder in folders for path in self._list_files(folder, _SIGNALS)}
        return len(signals - stems)


def _field(recordings: list[ConditionRecording], name: str) -> pd.Series[str]:
    """Text of a comment, None where there is none or it is empty."""
    return pd.Series([r.fields.get(name) or None for r in recordings], dtype=object)


def _count_several(recordings: list[ConditionRecording]) -> int:
    return sum(len(recording.conditions) > 1 for recording in recordings)


def _shard(path: str) -> str:
    """Name the shard by the folder of the condition alone: those below may name patients."""
    return "_".join(path.partition("/")[0].split())
