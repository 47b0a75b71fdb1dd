"""The PhysioNet Challenge 2025: Chagas disease in CODE-15%, SaMi-Trop and PTB-XL together.

Each dataset lies in a folder of its name, as its own page has it. What they say of Chagas disease
differs: patients of CODE-15% reported it themselves, those of SaMi-Trop were tested, and those of
PTB-XL are taken for free of it, because they are European (https://moody-challenge.physionet.org/2025).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ecg_assets.errors import SettingsError
from ecg_assets.sources.code_15 import CODE_15
from ecg_assets.sources.dataset import Dataset, Remote, Source, SourceTable, report_table
from ecg_assets.sources.dataset_tables import parse_truths, read_keyed_table
from ecg_assets.sources.ptb_xl import PTB_XL
from ecg_assets.sources.sami_trop import CHAGAS, SAMI_TROP
from ecg_assets.sources.schema import NO_LABEL, OWN_LABELS

NAME = "challenge-2025"
CODE_15_LABELS_FILE = "code15_chagas_labels.csv"
"""Table of the challenge, beside exams.csv of CODE-15%."""

_PARTS = (CODE_15, SAMI_TROP, PTB_XL)


@dataclass(frozen=True)
class Challenge2025:
    """The folders code-15, sami-trop and ptb-xl below `root`; one is enough.

    Beside exams.csv of CODE-15% lies code15_chagas_labels.csv.
    """

    root: Path
    name: str = NAME

    def read_records(self) -> SourceTable:
        """Read the recordings of each dataset; their patients are named by it, too.

        Raises
        ------
        SettingsError
            When there is none of the folders.
        SchemaError
            When a table of one cannot be read.
        """
        tables: list[pd.DataFrame] = []
        findings: dict[str, int] = {}
        for dataset, source in self._open_parts():
            found = source.read_records()
            records = found.table.assign(source=self.name)
            records["path"] = f"{dataset.name}/" + records["path"]
            records["shard"] = f"{dataset.name}-" + records["shard"]
            records["subject_id"] = f"{dataset.name}-" + records["subject_id"]
            tables.append(records)
            findings |= {
                f"{dataset.name.replace('-', '_')}_{what}": n for what, n in found.findings.items()
            }
        records = pd.concat(tables, ignore_index=True)
        records = records.sort_values(["shard", "record_id"], ignore_index=True)
        return SourceTable(records, {"records": len(records), **findings})

    def read_reports(self, records: pd.DataFrame) -> SourceTable:
        """Read the label ``chagas`` of each recording, `NO_LABEL` where it is said to be absent.

        An exam of CODE-15% that the challenge's table lacks has no lines: nobody said.

        Raises
        ------
        SchemaError
            When a table cannot be read, or a cell of it is neither true nor false.
        """
        lines_of: dict[str, Collection[str]] = {}
        for dataset, source in self._open_parts():
            if dataset is CODE_15:
                lines_of |= self._read_code_15(source.root / CODE_15_LABELS_FILE)
            else:
                line = CHAGAS if dataset is SAMI_TROP else NO_LABEL
                names = source.read_records().table["record_id"]
                lines_of |= dict.fromkeys(names.tolist(), (line,))
        found = records["record_id"].map(lines_of.get)
        n_positive = int((found == (CHAGAS,)).sum())
        return report_table(records, OWN_LABELS, lines_of, records_with_chagas=n_positive)

    def read_label_names(self) -> tuple[str, ...]:
        """Give the name of the one label."""
        return (CHAGAS,)

    def _open_parts(self) -> list[tuple[Dataset, Source]]:
        there = [part for part in _PARTS if (self.root / part.name).is_dir()]
        if not there:
            raise SettingsError(
                f"ECG_RAW_ROOT is {self.root}, which has none of the folders "
                f"{', '.join(part.name for part in _PARTS)}; put the datasets of the challenge "
                "there, each into the folder of its name."
            )
        for part in there:
            needed = [*part.needed_files, *([CODE_15_LABELS_FILE] if part is CODE_15 else [])]
            missing = [name for name in needed if not (self.root / part.name / name).is_file()]
            if missing:
                raise SettingsError(
                    f"{self.root / part.name} lacks {' and '.join(missing)}; download it into that "
                    "folder."
                )
        return [(part, part.open(self.root / part.name)) for part in there]

    @staticmethod
    def _read_code_15(path: Path) -> dict[str, tuple[str]]:
        table, _ = read_keyed_table(path, "exam_id", (CHAGAS,))
        is_true = parse_truths(table, (CHAGAS,), path)[:, 0]
        names = "code_15_" + table["exam_id"]
        return {
            str(name): (CHAGAS if there else NO_LABEL,)
            for name, there in zip(names, is_true, strict=True)
        }


CHALLENGE_2025 = Dataset(
    name=NAME,
    title="the PhysioNet Challenge 2025",
    open=Challenge2025,
    coding=OWN_LABELS,
    remote=Remote.HEADERS,  # each dataset's tables lie in its folder
    read_own_labels=Challenge2025.read_label_names,
    shares_recordings={
        part.name: f"The Challenge 2025 contains the recordings of {part.title}." for part in _PARTS
    },
)
