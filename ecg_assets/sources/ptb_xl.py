"""PTB-XL as PhysioNet lays it out (https://doi.org/10.13026/kfzx-aw45)."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ecg_assets.errors import SettingsError
from ecg_assets.sources.dataset import Dataset, Folds, SourceTable, record_table, report_table
from ecg_assets.sources.dataset_tables import (
    count_not_understood,
    parse_demographics,
    parse_times,
    read_csv_table,
    read_keyed_table,
    refuse_cells,
    require_below_root,
    require_filled,
    shards_of_paths,
)

NAME = "ptb-xl"
SCP_ECG = "scp-ecg"
DATABASE_FILE = "ptbxl_database.csv"
STATEMENTS_FILE = "scp_statements.csv"
_KINDS = ("diagnostic", "form", "rhythm")

_FOLDERS = {"filename_hr": "records500", "filename_lr": "records100"}
_SEX = {"0": "M", "1": "F"}
_HIDDEN_AGE = 300
_N_FOLDS = 10


@dataclass(frozen=True)
class PtbXl:
    """The dataset below `root`: ptbxl_database.csv, and records500 or records100.

    The recordings of records500 are used, those of records100 only where it is missing.
    """

    root: Path
    name: str = NAME

    def read_records(self) -> SourceTable:
        """Read ptbxl_database.csv.

        An age of 300 stands for one above 89 and becomes empty.

        Raises
        ------
        SchemaError
            When the table cannot be read, a path leaves the root, or two rows of one
            recording differ.
        SettingsError
            When the root has neither records500 nor records100.
        """
        files = self._choose_files()
        table, n_spellings = self._read_database(
            "patient_id", files, optional=("age", "sex", "recording_date")
        )
        path = self.root / DATABASE_FILE
        require_filled(table, ("patient_id", files), path)
        require_below_root(table[files], path)
        paths = table[files].str.removesuffix(".hea")
        known = parse_demographics(table["age"], table["sex"], _SEX)
        times = parse_times(table["recording_date"])
        n_hidden = int((pd.to_numeric(table["age"], errors="coerce") == _HIDDEN_AGE).sum())
        records = record_table(
            self.name,
            _record_ids(table),
            path=paths,
            shard=shards_of_paths(paths),
            subject_id=table["patient_id"],
            study_id=table["ecg_id"],
            ecg_time=times,
            age=known.age,
            sex=known.sex,
        )
        return SourceTable(
            records,
            {
                "records": len(records),
                "patients": int(records["subject_id"].nunique()),
                "ids_in_two_spellings": n_spellings,
                "ages_above_89_hidden": n_hidden,
                **known.findings,
                "ages_out_of_range": known.findings["ages_out_of_range"] - n_hidden,
                "times_not_understood": count_not_understood(
                    table["recording_date"], times.notna()
                ),
                "records_without_time": int(records["ecg_time"].isna().sum()),
            },
        )

    def read_reports(self, records: pd.DataFrame) -> SourceTable:
        """Read the statements of these records, each as its code and likelihood: ``NORM 80``.

        Raises
        ------
        SchemaError
            When the table cannot be read, or ``scp_codes`` is no dictionary of likelihoods.
        """
        table, _ = self._read_database("scp_codes")
        found = [_parse_statements(text) for text in table["scp_codes"].fillna("{}")]
        wrong = pd.Series([lines is None for lines in found])
        what = "is no dictionary of likelihoods, as {'NORM': 100.0}"
        refuse_cells(wrong, self.root / DATABASE_FILE, "scp_codes", what)
        known = zip(_record_ids(table), found, strict=True)
        lines_of = {record_id: lines or [] for record_id, lines in known}
        n_codes = sum(len(lines_of.get(name, ())) for name in records["record_id"])
        return report_table(records, SCP_ECG, lines_of, codes=n_codes)

    def read_folds(self) -> pd.Series[int]:
        """Read the suggested fold of each recording, 1 to 10, by record_id.

        Raises
        ------
        SchemaError
            When the table cannot be read, or a fold is not 1 to 10.
        """
        table, _ = self._read_database("strat_fold")
        folds = pd.to_numeric(table["strat_fold"], errors="coerce")
        wrong = ~folds.isin(range(1, _N_FOLDS + 1))
        refuse_cells(wrong, self.root / DATABASE_FILE, "strat_fold", f"is not 1 to {_N_FOLDS}")
        folds.index = pd.Index(_record_ids(table), name="record_id")
        return folds.astype("int64").rename("fold")

    @property
    def has_statements(self) -> bool:
        """Whether scp_statements.csv is there, which nothing else needs."""
        return (self.root / STATEMENTS_FILE).is_file()

    def read_statements(self) -> pd.DataFrame:
        """Read scp_statements.csv: what kind each code is of, and the class of a diagnosis.

        Returns
        -------
        DataFrame
            ``is_diagnostic, is_form, is_rhythm`` (bool), ``diagnostic_class`` and
            ``diagnostic_subclass`` (empty but for diagnoses), by code.

        Raises
        ------
        SchemaError
            When the table cannot be read, or lacks a column.
        """
        path = self.root / STATEMENTS_FILE
        classes = ("diagnostic_class", "diagnostic_subclass")
        # The column of the codes has no name.
        table = read_csv_table(path, ("", *_KINDS, *classes)).to_pandas()
        codes = table[""]
        refuse_cells(codes.isna() | codes.duplicated(), path, "code", "is empty or stands twice")
        kinds = {
            f"is_{kind}": pd.to_numeric(table[kind], errors="coerce").eq(1).to_numpy()
            for kind in _KINDS
        }
        named = {name: table[name].to_numpy(dtype=object) for name in classes}
        return pd.DataFrame({**kinds, **named}, index=pd.Index(codes, name="code"))

    def _choose_files(self) -> str:
        """Name the column with the files that are there."""
        for column, folder in _FOLDERS.items():
            if (self.root / folder).is_dir():
                return column
        raise SettingsError(
            f"ECG_RAW_ROOT is {self.root}, which holds {DATABASE_FILE} but neither of the folders "
            f"{' and '.join(_FOLDERS.values())}; download records500 of PTB-XL into it."
        )

    def _read_database(
        self, *columns: str, optional: tuple[str, ...] = ()
    ) -> tuple[pd.DataFrame, int]:
        return read_keyed_table(self.root / DATABASE_FILE, "ecg_id", columns, optional=optional)


def _record_ids(table: pd.DataFrame) -> pd.Series[str]:
    """Names as in the dataset's files, whose numbers have five digits."""
    return "ptb_xl_" + table["ecg_id"].str.zfill(5)


def _parse_statements(text: str) -> list[str] | None:
    """Read the literal of a dictionary: code to likelihood in per cent; None if it is none.

    >>> _parse_statements("{'NORM': 100.0, 'SR': 0.0}")
    ['NORM 100', 'SR 0']
    """
    try:
        statements = {str(code): float(v) for code, v in ast.literal_eval(text).items()}
    except (ValueError, TypeError, SyntaxError, AttributeError, MemoryError, RecursionError):
        return None
    if not all(0 <= likelihood <= 100 for likelihood in statements.values()):
        return None
    return [f"{code.strip()} {likelihood:g}" for code, likelihood in statements.items()]


PTB_XL = Dataset(
    name=NAME,
    title="PTB-XL",
    open=PtbXl,
    coding=SCP_ECG,
    needed_files=(DATABASE_FILE,),
    # What the authors suggest (https://doi.org/10.1038/s41597-020-0495-6).
    folds=Folds(read=PtbXl.read_folds, train=tuple(range(1, 9)), valid=(9,), test=(10,)),
)
