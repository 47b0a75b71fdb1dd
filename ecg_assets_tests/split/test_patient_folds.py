from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecg_assets.errors import SettingsError
from ecg_assets.split.folds import assign_folds, count_positive_patients


def _cohort(
    n_patients: int, n_labels: int = 3, seed: int = 0
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Patients with one to three recordings each, and labels of 40, 20, 10 … % of recordings."""
    random = np.random.default_rng(seed)
    subject_ids = np.repeat(np.arange(n_patients).astype(str), random.integers(1, 4, n_patients))
    shares = 0.4 / 2.0 ** np.arange(n_labels)
    targets = random.random((len(subject_ids), n_labels)) < shares
    return subject_ids, targets.astype(np.uint8)


@given(n_patients=st.integers(5, 60), n_folds=st.integers(2, 5), seed=st.integers(0, 99))
def test_patient_never_spans_two_folds_and_each_fold_has_patients(
    n_patients: int, n_folds: int, seed: int
) -> None:
    subject_ids, targets = _cohort(n_patients, seed=seed)
    folds = assign_folds(subject_ids, targets, n_folds=n_folds, seed=seed)
    fold_of: dict[Any, Any] = {}
    for patient, fold in zip(subject_ids, folds, strict=True):
        assert fold_of.setdefault(patient, fold) == fold
    assert set(folds) == set(range(1, n_folds + 1))


def test_each_label_is_spread_evenly_over_the_folds() -> None:
    subject_ids, targets = _cohort(400, n_labels=5)
    folds = assign_folds(subject_ids, targets, n_folds=5, seed=1)
    in_all = count_positive_patients(subject_ids, targets)
    for fold in range(1, 6):
        chosen = folds == fold
        found = count_positive_patients(subject_ids[chosen], targets[chosen])
        assert np.abs(found - in_all / 5).max() <= 2
        assert abs(len(np.unique(subject_ids[chosen])) - 80) <= 2


def test_order_of_recordings_has_no_influence_and_the_seed_has() -> None:
    subject_ids, targets = _cohort(50)
    folds = assign_folds(subject_ids, targets, n_folds=4, seed=1)
    order = np.random.default_rng(0).permutation(len(subject_ids))
    again = assign_folds(subject_ids[order], targets[order], n_folds=4, seed=1)
    np.testing.assert_array_equal(again, folds[order])
    assert (assign_folds(subject_ids, targets, n_folds=4, seed=2) != folds).any()


@pytest.mark.parametrize("n_folds", [1, 4])
def test_too_few_folds_or_patients_are_refused(n_folds: int) -> None:
    targets = np.ones((3, 1), np.uint8)
    with pytest.raises(SettingsError, match=rf"{n_folds} folds of 3 patients .*ECG_FOLDS"):
        assign_folds(np.array(["a", "b", "c"]), targets, n_folds=n_folds, seed=0)


def test_a_patient_counts_once() -> None:
    subject_ids = np.array(["a", "a", "b"])
    targets = np.array([[1, 0], [1, 0], [0, 0]], np.uint8)
    assert count_positive_patients(subject_ids, targets).tolist() == [1, 0]
