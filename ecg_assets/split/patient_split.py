"""Assign each patient to one split by a hash of the patient's id and a seed."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.errors import SchemaError
from ecg_assets.split.split_shares import SplitShares
from ecg_assets.storage import replace_file
from ecg_assets.tables import Column, TableSchema

SPLIT_NAMES = ("train", "valid", "test")

_VALID_END, _TEST_AT_THE_END = 0.9, 0.1

SPLIT = TableSchema(
    "split",
    (
        Column("record_id", pa.string(), "the recording, as in record_list"),
        Column("subject_id", pa.string(), "its patient"),
        Column("split", pa.string(), "train, valid or test"),
    ),
)


def split_by_patient(
    records: pd.DataFrame, *, seed: int, shares: SplitShares | None = None
) -> pd.DataFrame:
    """Split recordings so that a patient's recordings stay together.

    A patient's split depends on the patient's id, the seed and the shares alone: it never
    changes when other records arrive. Shares are therefore met on average, not exactly. With a
    larger share of valid or of test, those patients stay and others of train join them.

    Parameters
    ----------
    records
        Table with ``record_id`` and ``subject_id``.
    seed
        Any integer; another one gives another split.
    shares
        Expected shares of patients; 80/10/10 by default.

    Returns
    -------
    DataFrame
        One row a record, in the records' order, as `SPLIT` declares.

    >>> one = split_by_patient(pd.DataFrame({"record_id": ["a"], "subject_id": ["7"]}), seed=1)
    >>> more = pd.DataFrame({"record_id": ["b", "a"], "subject_id": ["8", "7"]})
    >>> split_by_patient(more, seed=1).split[1] == one.split[0]
    True
    """
    patients, inverse = np.unique(records["subject_id"].to_numpy(dtype=str), return_inverse=True)
    position = np.array([_unit_interval(f"{seed}:{patient}") for patient in patients])
    names = _choose_split(position, shares or SplitShares())
    return pd.DataFrame(
        {
            "record_id": records["record_id"].to_numpy(),
            "subject_id": records["subject_id"].to_numpy(),
            "split": names[inverse] if len(records) else np.array([], dtype=str),
        }
    )


def read_meta_split(path: Path, records: pd.DataFrame) -> pd.DataFrame:
    """Take the split from a user's ``meta_split.csv`` (``save_file, split``).

    ``save_file`` is ``<record_id>.mat``. Records that the file does not name are left
    out of the result; names that no record has are ignored.

    Raises
    ------
    SchemaError
        When columns are missing, a split has another name than train, valid or test, a
        file is named twice, or no record is named at all.
    """
    frame = pd.read_csv(path, dtype=str, encoding="utf-8-sig")
    missing = {"save_file", "split"} - set(frame.columns)
    if missing:
        raise SchemaError(f"{path}: columns {sorted(missing)} are missing; found {list(frame)}.")
    unknown = sorted(set(frame["split"].dropna()) - set(SPLIT_NAMES))
    if unknown or frame["split"].isna().any():
        raise SchemaError(
            f"{path}: split holds {unknown or 'empty values'}; allowed: {SPLIT_NAMES}."
        )
    frame["record_id"] = frame["save_file"].str.removesuffix(".mat")
    twice = frame["record_id"][frame["record_id"].duplicated()]
    if len(twice):
        raise SchemaError(f"{path}: {len(twice)} files are named twice, first {twice.iloc[0]!r}.")
    joined = records[["record_id", "subject_id"]].merge(
        frame[["record_id", "split"]], on="record_id", how="inner", validate="one_to_one"
    )
    if joined.empty:
        raise SchemaError(
            f"{path} names none of the {len(records)} records; it expects names like "
            f"{records['record_id'].iloc[0]}.mat."
        )
    return joined


def write_meta_split(split: pd.DataFrame, path: Path) -> None:
    """Write the reference pipeline's ``meta_split.csv`` (``save_file,split``)."""
    text = io.StringIO()
    pd.DataFrame({"save_file": split["record_id"] + ".mat", "split": split["split"]}).to_csv(
        text, index=False, lineterminator="\n"
    )
    with replace_file(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def count_splits(split: pd.DataFrame) -> pd.DataFrame:
    """Count records and patients of each split, in the order train, valid, test."""
    counts = split.groupby("split").agg(
        records=("record_id", "size"), patients=("subject_id", "nunique")
    )
    return counts.reindex(SPLIT_NAMES, fill_value=0).reset_index()


def _choose_split(position: NDArray[np.float64], shares: SplitShares) -> NDArray[np.str_]:
    """Split of each position in [0, 1).

    Valid ends at 0.9 and grows downwards. Test is the last tenth, and grows from 0 upwards
    beyond it. So either grows without a patient of the other's.
    """
    is_valid = (position >= _VALID_END - shares.valid) & (position < _VALID_END)
    at_the_end = position >= 1 - min(shares.test, _TEST_AT_THE_END)
    is_test = at_the_end | (position < shares.test - _TEST_AT_THE_END)
    return np.select([is_valid, is_test], ["valid", "test"], "train")


def _unit_interval(text: str) -> float:
    """Map a text to [0, 1) by the first 53 bits of its SHA-256, which a float holds exactly."""
    return (int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 11) / 2**53
