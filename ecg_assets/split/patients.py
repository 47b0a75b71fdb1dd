"""Assign each patient to one split by a hash of the patient's id and a seed."""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.lineage import fingerprint_file
from ecg_assets.made_with import SPLIT_RULE, known_facts, with_facts
from ecg_assets.sources.dataset_tables import spell_number_at_end
from ecg_assets.storage import replace_file
from ecg_assets.tables import Column, TableSchema

# Which shares of the patients are for validation and test, and the split rule's name.


MOST = 0.5
"""Largest share of each; training has what the two leave."""

_DECIMALS = 10  # of a share; so many are written in full by a rule's name

_RULE = re.compile(r"hash of patient, seed (-?\d+), [^/]+/([^/]+)/([^/]+)")


@dataclass(frozen=True)
class SplitShares:
    """Shares of patients in valid and test, each 0 to 0.5; some must be left for training.

    They are rounded to ten decimals, so that a rule's name says them exactly.

    Raises
    ------
    SettingsError
        When a share is out of its range, or the two leave no patient to train on.
    """

    valid: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        for name in ("valid", "test"):
            object.__setattr__(self, name, round(getattr(self, name), _DECIMALS))
        for variable, share in (("ECG_VALID_SHARE", self.valid), ("ECG_TEST_SHARE", self.test)):
            if not 0 <= share <= MOST:
                raise SettingsError(f"{variable} is {share}; set it to a share from 0 to {MOST}.")
        if self.valid + self.test >= 1:
            raise SettingsError(
                f"ECG_VALID_SHARE {self.valid} and ECG_TEST_SHARE {self.test} leave no patient to "
                "train on. Set them to shares that sum to less than 1."
            )

    @property
    def train(self) -> float:
        """Share of patients in train."""
        return 1 - self.valid - self.test

    @property
    def left_out(self) -> tuple[str, ...]:
        """Splits that no patient comes into."""
        return tuple(name for name in ("valid", "test") if getattr(self, name) == 0)


def name_hash_rule(seed: int, shares: SplitShares) -> str:
    """Name the split by a hash: two equal names never disagree on a patient.

    >>> name_hash_rule(1, SplitShares(test=0.25))
    'hash of patient, seed 1, 65/10/25'
    """
    per_cent = (f"{100 * share:.12g}" for share in (shares.train, shares.valid, shares.test))
    return f"hash of patient, seed {seed}, {'/'.join(per_cent)}"


def name_file_rule(path: Path) -> str:
    """Name a split that a ``meta_split.csv`` gives, by the file's content."""
    return f"meta_split {fingerprint_file(path)[:16]}"


def name_fold_rule(source: str) -> str:
    """Name the split by a dataset's own folds."""
    return f"folds of {source}"


def parse_hash_rule(rule: str) -> tuple[int, SplitShares] | None:
    """Read seed and shares from what `name_hash_rule` wrote; None where it is another rule.

    >>> parse_hash_rule("hash of patient, seed 1, 65/10/25")
    (1, SplitShares(valid=0.1, test=0.25))
    """
    found = _RULE.fullmatch(rule)
    if found is None:
        return None
    try:
        return int(found[1]), SplitShares(float(found[2]) / 100, float(found[3]) / 100)
    except (ValueError, SettingsError):
        return None


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
    split = pd.DataFrame(
        {
            "record_id": records["record_id"].to_numpy(),
            "subject_id": records["subject_id"].to_numpy(),
            "split": names[inverse] if len(records) else np.array([], dtype=str),
        }
    )
    rule = name_hash_rule(seed, shares or SplitShares())
    return with_facts(split, {**known_facts(records), SPLIT_RULE: rule})


def read_meta_split(path: Path, records: pd.DataFrame) -> pd.DataFrame:
    """Take the split from a user's ``meta_split.csv`` (``save_file, split``).

    ``save_file`` is ``<record_id>.mat``, of which a number may be written as pandas writes it
    (``40689238.0`` for ``40689238``), or as fairseq-signals names a recording by the folders of
    its path (``mimic_iv_ecg_p1000_p10000032_s40689238_40689238.mat``). Records that the file
    does not name are left out of the result; names that no record has are ignored.

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
    frame["record_id"] = _find_record_ids(frame["save_file"], records)
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
    return with_facts(joined, {**known_facts(records), SPLIT_RULE: name_file_rule(path)})


def _find_record_ids(files: pd.Series[str], records: pd.DataFrame) -> pd.Series[str]:
    """Name the record of each file: as written, by its path, or with its number spelled plainly."""
    names, known = files.str.removesuffix(".mat"), set(records["record_id"])
    if names.isin(known).all() or "path" not in records:
        return names.where(names.isin(known), spell_number_at_end(names))
    by_path = {
        long_name: record_id
        for record_id, path in zip(records["record_id"], records["path"], strict=True)
        for long_name in _long_names(record_id, path)
    }
    found = names.where(names.isin(known), names.map(by_path))
    return found.fillna(spell_number_at_end(names))


def _long_names(record_id: str, path: str) -> list[str]:
    """Give the names of fairseq-signals' own scripts: folders behind those that all have in common.

    >>> _long_names("mimic_iv_ecg_7", "files/p10/s7/7")
    ['mimic_iv_ecg_files_p10_s7_7', 'mimic_iv_ecg_p10_s7_7', 'mimic_iv_ecg_s7_7']
    """
    parts = path.split("/")
    source = record_id.removesuffix(parts[-1])
    if source == record_id:
        return []
    return [source + "_".join(parts[first:]) for first in range(len(parts) - 1)]


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


# Compare the shares that a split has with those that were asked for.


RAREST_BY_CHANCE = 1e-6
"""Probability below which a count of patients is no longer taken for chance."""


def compare_shares(split: pd.DataFrame, shares: SplitShares) -> pd.DataFrame:
    """Compare the patients of each split with the share that each patient had of coming there.

    Parameters
    ----------
    split
        As `SPLIT` declares.
    shares
        What was asked for.

    Returns
    -------
    DataFrame
        ``split, records, patients, share, expected_share, is_expected``, a row a split in the
        order train, valid, test. Shares are of patients, NaN where there is none. A count is
        expected where an exact binomial test gives it `RAREST_BY_CHANCE` or more.

    >>> ids = [str(number) for number in range(50)]
    >>> split = pd.DataFrame({"record_id": ids, "subject_id": ids, "split": "train"})
    >>> compare_shares(split, SplitShares(valid=0.5, test=0.1))["is_expected"].tolist()
    [False, False, True]
    """
    from scipy.stats import binomtest

    counts = count_splits(split)
    n_patients = int(counts["patients"].sum())
    expected = [shares.train, shares.valid, shares.test]
    p_values = [
        binomtest(int(n), n_patients, share).pvalue if n_patients else 1.0
        for n, share in zip(counts["patients"], expected, strict=True)
    ]
    return counts.assign(
        share=counts["patients"] / n_patients if n_patients else float("nan"),
        expected_share=expected,
        is_expected=[p_value >= RAREST_BY_CHANCE for p_value in p_values],
    )
