from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecg_assets.build import Manifest, positive_weights
from ecg_assets.build.folds import fold_manifest, require_common_labels
from ecg_assets.errors import SettingsError
from ecg_assets.split import find_leaking_patients
from ecg_assets_tests.models.toy_recordings import toy_manifest


@pytest.fixture
def manifest() -> Manifest:
    """Fifty recordings of 25 patients, the last ten of the test split."""
    toy = toy_manifest(50)
    patients = [f"patient_{i // 2:04}" for i in range(50)]
    split = ["train"] * 32 + ["valid"] * 8 + ["test"] * 10
    return replace(toy, index=toy.index.assign(subject_id=patients, split=split))


def test_each_recording_but_those_of_test_is_held_out_once(manifest: Manifest) -> None:
    folds = [fold_manifest(manifest, fold, n_folds=4, seed=1) for fold in (1, 2, 3, 4)]
    held_out = np.concatenate([fold.rows("valid") for fold in folds])
    np.testing.assert_array_equal(np.sort(held_out), np.arange(40))
    for fold in folds:
        np.testing.assert_array_equal(fold.rows("test"), manifest.rows("test"))
        assert len(fold.rows("train")) + len(fold.rows("valid")) == 40
        assert find_leaking_patients(fold.index) == []


def test_rows_keep_their_places_and_weights_are_of_the_folds_training(manifest: Manifest) -> None:
    fold = fold_manifest(manifest, 2, n_folds=4, seed=1)
    columns = ["record_id", "shard", "row"]
    assert fold.index[columns].equals(manifest.index[columns])
    expected = positive_weights(manifest.targets[fold.rows("train")])
    np.testing.assert_array_equal(fold.pos_weight, expected)


def test_a_fold_that_does_not_exist_is_refused(manifest: Manifest) -> None:
    with pytest.raises(SettingsError, match=r"Fold 5 .* 1 to 4"):
        fold_manifest(manifest, 5, n_folds=4, seed=1)


def test_rare_labels_are_refused_with_their_numbers_and_what_to_do(manifest: Manifest) -> None:
    targets = manifest.targets.copy()
    targets[:, 1] = 0
    targets[[0, 1, 4], 1] = 1  # two patients
    targets[45, 1] = 1  # a patient of the test split does not count
    rare = replace(manifest, targets=targets)
    require_common_labels(rare, n_folds=2)
    expected = r"Labels .* 4 folds: inverted \(2\)\..*ECG_FOLDS to 2 .*ECG_LABEL_SET.*rare_labels"
    with pytest.raises(SettingsError, match=expected):
        require_common_labels(rare, n_folds=4)


def test_of_exclusive_labels_only_recordings_with_one_label_count(manifest: Manifest) -> None:
    targets = np.zeros_like(manifest.targets)
    targets[:20, 0] = 1
    targets[:30, 1] = 1  # alone in ten recordings: of five patients
    both = replace(manifest, targets=targets)
    require_common_labels(both, n_folds=5)
    with pytest.raises(SettingsError, match=r"Labels .*: fast \(0\), inverted \(5\)"):
        require_common_labels(both, n_folds=6, exclusive=True)
