"""What exclusive labels leave out is counted with what is used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecg_assets.labels import LabelVocabulary
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.finetune.result import count_split
from ecg_assets_tests.models.toy_recordings import toy_manifest, toy_signals


@pytest.fixture
def data() -> TrainingData:
    """Of 50 recordings three without a label and one with both."""
    manifest = toy_manifest(50)
    targets = np.tile(np.array([[1, 0]], np.uint8), (50, 1))
    train = manifest.rows("train")
    targets[train[:3]] = 0
    targets[train[3]] = 1
    names = LabelVocabulary(("fast", "slow"), ("mean", "mean"))
    changed = replace(manifest, targets=targets, vocabulary=names, pos_weight=np.ones(2))
    return TrainingData(changed, toy_signals(manifest))


def test_all_recordings_of_the_split_are_used_or_left_out(data: TrainingData) -> None:
    n_train = len(data.manifest.rows("train"))
    counts = count_split(replace(data, exclusive=True), "train")
    assert counts["n_left_out_without_label"] == 3
    assert counts["n_left_out_with_several_labels"] == 1
    assert counts["n_records"] == n_train - 4


def test_labels_by_themselves_leave_nothing_out(data: TrainingData) -> None:
    counts = count_split(data, "train")
    assert counts["n_records"] == len(data.manifest.rows("train"))
    assert set(counts) == {"n_records", "n_patients", "n_segments"}
