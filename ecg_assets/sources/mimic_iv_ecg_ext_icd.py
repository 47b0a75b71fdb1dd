"""MIMIC-IV-ECG-Ext-ICD: discharge diagnoses of MIMIC-IV-ECG's recordings, and folds by patient.

https://doi.org/10.13026/hdyc-1h77: one table beside the files of MIMIC-IV-ECG.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.errors import LeakageError, SettingsError
from ecg_assets.sources.dataset import Dataset, Folds, SourceTable, report_table
from ecg_assets.sources.dataset_tables import parse_demographics, read_keyed_table, refuse_cells
from ecg_assets.sources.mimic_iv_ecg import NAME as MIMIC_IV_ECG
from ecg_assets.sources.mimic_iv_ecg import (
    RECORD_LIST_FILE,
    MimicIvEcg,
    newest_first,
    read_list_rows,
)

NAME = "mimic-iv-ecg-ext-icd"
ICD_10_CM = "icd-10-cm"
DIAGNOSES_FILE = "records_w_diag_icd10.csv"

DIAGNOSES = "all_diag_all"
"""Diagnoses of the hospital stay, or of the emergency department where there was none."""

IN_NO_SPLIT = -1
"""Fold of a recording that the task leaves out."""

_N_FOLDS = 20
_FIRST_JUDGED = 18  # the first fold of those that are validated or tested on
_LIST = re.compile(r"\[(?:'[^']*'(?:, *'[^']*')*)?\]")
_TRUTH = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


def find_diagnoses_table(root: Path) -> Path:
    """Find the table: in MIMIC-IV-ECG's root, or where ``wget -r`` from PhysioNet puts it.

    That is mimic-iv-ecg-ext-icd-labels/<version> beside mimic-iv-ecg, the highest version first.

    Raises
    ------
    SettingsError
        When it is in neither place.
    """
    download = root.parent.parent / "mimic-iv-ecg-ext-icd-labels"
    for folder in (root, *newest_first(download)):
        if (folder / DIAGNOSES_FILE).is_file():
            return folder / DIAGNOSES_FILE
    raise SettingsError(
        f"{DIAGNOSES_FILE} is neither in {root} nor in {download}/<version>. Download it from "
        "MIMIC-IV-ECG-Ext-ICD on PhysioNet into ECG_RAW_ROOT, beside record_list.csv."
    )


@dataclass(frozen=True)
class MimicIvEcgExtIcd(MimicIvEcg):
    """MIMIC-IV-ECG below `root`, with the table of diagnoses; recordings keep their names."""

    name: str = NAME

    def read_records(self) -> SourceTable:
        """Read record_list.csv; age and sex are those of the table of diagnoses where unknown.

        Raises
        ------
        SchemaError
            As `MimicIvEcg.read_records`.
        SettingsError
            When the table of diagnoses is not there.
        """
        listed = super().read_records()
        table = self._read(optional=("age", "gender"))
        known = parse_demographics(table["age"], table["gender"])
        records = listed.table
        for column, found in (("age", known.age), ("sex", known.sex)):
            values = pd.Series(np.asarray(found, dtype=object), index=table.index)
            filled = records["record_id"].map(values)
            records[column] = records[column].where(records[column].notna(), filled)
        records["age"] = records["age"].astype(float)
        in_table = records["record_id"].isin(table.index)
        return replace(
            listed,
            findings={
                **listed.findings,
                "records_without_age": int(records["age"].isna().sum()),
                "records_without_sex": int(records["sex"].isna().sum()),
                "records_not_in_the_table_of_diagnoses": int((~in_table).sum()),
            },
        )

    def read_reports(self, records: pd.DataFrame) -> SourceTable:
        """Read the ICD-10-CM codes of these records' diagnoses, without points.

        A recording that was made in no stay has none, and so no labels.

        Raises
        ------
        SchemaError
            When the table cannot be read, a list of codes is none, or a row is of another patient
            than its recording.
        """
        path, table = find_diagnoses_table(self.root), self._read(DIAGNOSES, "subject_id")
        patients = records.set_index("record_id")["subject_id"].reindex(table.index)
        differs = patients.notna() & (patients != table["subject_id"])
        refuse_cells(differs, path, "subject_id", "is not the patient of its study's recording")
        found = table[DIAGNOSES].fillna("[]")
        is_list = found.map(lambda text: bool(_LIST.fullmatch(text)))
        refuse_cells(~is_list, path, DIAGNOSES, "is no list of codes, as ['I4891', 'Z66']")
        lines_of = {
            str(record_id): [code.strip() for code in re.findall("'([^']*)'", text) if code.strip()]
            for record_id, text in found.items()
        }
        n_codes = sum(len(lines_of.get(name, ())) for name in records["record_id"])
        return report_table(records, ICD_10_CM, lines_of, codes=n_codes)

    def read_folds(self, column: str) -> pd.Series[int]:
        """Read the fold of each recording, 0 to 19, or `IN_NO_SPLIT`, by record_id.

        A recording counts when it was made in the emergency department; in folds 18 and 19, which
        are validated and tested on, only the first of its stay does.

        Parameters
        ----------
        column
            ``fold``, as in the authors' own experiments, or ``strat_fold``, which is stratified.

        Raises
        ------
        SchemaError
            When the table cannot be read, or a cell is not what its column needs.
        LeakageError
            When a patient is in two folds.
        """
        path = find_diagnoses_table(self.root)
        table = self._read(column, "subject_id", "ecg_taken_in_ed", "ecg_no_within_stay")
        fold, number = (
            pd.to_numeric(table[name], errors="coerce") for name in (column, "ecg_no_within_stay")
        )
        refuse_cells(~fold.isin(range(_N_FOLDS)), path, column, f"is not 0 to {_N_FOLDS - 1}")
        refuse_cells(number.isna(), path, "ecg_no_within_stay", "is no number")
        in_ed = table["ecg_taken_in_ed"].str.lower().map(_TRUTH)
        refuse_cells(in_ed.isna(), path, "ecg_taken_in_ed", "is neither True nor False")
        n_shared = int((fold.groupby(table["subject_id"]).nunique() > 1).sum())
        if n_shared:
            raise LeakageError(
                f"{path}: {n_shared} patients are in more than one fold by {column!r}. Folds must "
                "be by patient: take the table as it is published."
            )
        counts = in_ed.astype(bool) & ((fold < _FIRST_JUDGED) | (number == 0))
        return fold.where(counts, IN_NO_SPLIT).astype("int64").rename("fold")

    def _read(self, *columns: str, optional: tuple[str, ...] = ()) -> pd.DataFrame:
        """Read columns of the table as text, by record_id."""
        table, _ = read_keyed_table(
            find_diagnoses_table(self.root),
            "study_id",
            columns,
            optional=optional,
            patient="subject_id",
        )
        return table.set_index(pd.Index("mimic_iv_ecg_" + table["study_id"], name="record_id"))


def _folds(column: str) -> Folds:
    return Folds(
        read=partial(MimicIvEcgExtIcd.read_folds, column=column),
        train=tuple(range(_FIRST_JUDGED)),
        valid=(_FIRST_JUDGED,),
        test=(_FIRST_JUDGED + 1,),
    )


MIMIC_IV_ECG_EXT_ICD = Dataset(
    name=NAME,
    title="MIMIC-IV-ECG-Ext-ICD",
    open=MimicIvEcgExtIcd,
    coding=ICD_10_CM,
    needed_files=(RECORD_LIST_FILE,),
    options=("folders_per_shard",),
    folds=_folds("fold"),
    more_folds={"strat_fold": _folds("strat_fold")},
    read_list_rows=read_list_rows,
    shares_recordings={
        MIMIC_IV_ECG: "MIMIC-IV-ECG-Ext-ICD is the recordings of MIMIC-IV-ECG, with discharge "
        "diagnoses in place of the machine's reports."
    },
    has_shifted_years=True,
)
