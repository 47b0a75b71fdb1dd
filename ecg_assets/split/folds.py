"""Take the split from folds that a dataset suggests."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.made_with import SPLIT_RULE, known_facts, with_facts
from ecg_assets.split.leakage import require_no_leakage


def split_by_folds(
    records: pd.DataFrame,
    folds: pd.Series[int],
    *,
    train: Collection[int],
    valid: Collection[int],
    test: Collection[int],
    rule: str = "folds",
) -> pd.DataFrame:
    """Split recordings by their folds.

    Parameters
    ----------
    records
        Table with ``record_id`` and ``subject_id``.
    folds
        Fold of each recording, by record_id.
    train, valid, test
        Folds of each split.
    rule
        What the split is called.

    Returns
    -------
    DataFrame
        One row a record, in the records' order, as `SPLIT` declares. Records whose fold is in
        no split are left out.

    Raises
    ------
    SchemaError
        When a record has no fold.
    LeakageError
        When a patient stands in two splits.
    """
    names = {
        fold: name
        for name, members in (("train", train), ("valid", valid), ("test", test))
        for fold in members
    }
    fold = records["record_id"].map(folds)
    if fold.isna().any():
        raise SchemaError(
            f"{int(fold.isna().sum())} of {len(records)} records have no fold, first "
            f"{records['record_id'][fold.isna()].iloc[0]!r}."
        )
    split = records[["record_id", "subject_id"]].assign(split=fold.map(names))
    split = split.dropna(subset="split").reset_index(drop=True)
    require_no_leakage(split, where="the dataset's folds")
    return with_facts(split, {**known_facts(records), SPLIT_RULE: rule})


# Patients to the folds of a cross-validation, each label spread over all of them.


def assign_folds(
    subject_ids: NDArray[Any], targets: NDArray[np.uint8], *, n_folds: int, seed: int
) -> NDArray[np.int64]:
    """Put each patient into one fold, with as many patients of each label as in the others.

    Iterative stratification: the rarest label first, each of its patients to the fold that
    lacks most of them (Sechidis, Tsoumakas and Vlahavas 2011,
    https://doi.org/10.1007/978-3-642-23808-6_10). A patient has the labels of all recordings.

    Parameters
    ----------
    subject_ids
        Patient of each recording, ``(record,)``.
    targets
        0 or 1, ``(record, label)``.
    n_folds
        2 or more.
    seed
        Any integer from 0; another one gives other folds.

    Returns
    -------
    NDArray[np.int64]
        Fold of each recording, from 1, ``(record,)``; the order of the recordings has no
        influence on it.

    Raises
    ------
    SettingsError
        When there are fewer than two folds, or fewer patients than folds.

    >>> assign_folds(np.array(["a", "b", "a"]), np.array([[1], [1], [0]]), n_folds=2, seed=0)
    array([1, 2, 1])
    """
    patients, row = np.unique(subject_ids, return_inverse=True)
    if not 2 <= n_folds <= len(patients):
        raise SettingsError(
            f"{n_folds} folds of {len(patients)} patients cannot be made: there must be 2 folds or "
            "more, and a patient for each. Change ECG_FOLDS, or add recordings to train and valid."
        )
    has_label = _labels_of_patients(row, targets)
    order = np.random.default_rng([seed, n_folds]).permutation(len(patients))
    folds = np.empty(len(patients), np.int64)
    folds[order] = _stratify(has_label[order], n_folds)
    return np.asarray(folds[row] + 1, np.int64)


def count_positive_patients(
    subject_ids: NDArray[Any], targets: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Count the patients with a positive recording of each label, ``(label,)``."""
    _, row = np.unique(subject_ids, return_inverse=True)
    return np.asarray(_labels_of_patients(row, targets).sum(axis=0), np.int64)


def _labels_of_patients(row: NDArray[np.int64], targets: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell which labels any recording of a patient has, ``(patient, label)``."""
    n_patients = int(row.max()) + 1 if len(row) else 0
    has_label = np.zeros((n_patients, targets.shape[1]), np.bool_)
    np.logical_or.at(has_label, row, targets > 0)
    return has_label


def _stratify(has_label: NDArray[np.bool_], n_folds: int) -> NDArray[np.int64]:
    """Choose a fold from 0 for each patient, in their order, ``(patient,)``."""
    n_patients = len(has_label)
    lacking = np.tile(has_label.sum(axis=0) / n_folds, (n_folds, 1))  # (fold, label)
    room = np.full(n_folds, n_patients / n_folds)
    folds = np.full(n_patients, -1, np.int64)

    def place(patient: int, need: NDArray[np.float64]) -> None:
        # The neediest fold; of equal ones the emptiest, then the first.
        chosen = int(np.lexsort((-room, -need))[0])
        folds[patient] = chosen
        lacking[chosen] -= has_label[patient]
        room[chosen] -= 1

    while (left := has_label[folds < 0].sum(axis=0)).any():
        label = int(np.where(left > 0, left, n_patients + 1).argmin())
        for patient in np.flatnonzero(has_label[:, label] & (folds < 0)):
            place(int(patient), lacking[:, label])
    for patient in np.flatnonzero(folds < 0):
        place(int(patient), room)
    return folds
