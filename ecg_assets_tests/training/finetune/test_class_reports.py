"""Reports of exclusive classes after each epoch, against scikit-learn."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import classification_report, confusion_matrix

from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models.checkpoint_folder import (
    CLASS_REPORTS,
    CONFUSION_MATRIX,
    read_validation_predictions,
)
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.finetune.validate import class_reports, read_confusions
from ecg_assets_tests.models.toy_recordings import toy_manifest, toy_signals
from ecg_assets_tests.training.finetune.toy_run import run_toy, toy_request


@pytest.fixture(scope="module")
def exclusive() -> TrainingData:
    """Fast or slow; no recording is of the third label."""
    manifest = toy_manifest(40)
    fast = manifest.targets[:, :1]
    targets = np.concatenate([fast, 1 - fast, 0 * fast], axis=1).astype(np.uint8)
    names = LabelVocabulary(("fast", "slow", "none"), ("mean",) * 3)
    changed = replace(manifest, targets=targets, vocabulary=names, pos_weight=np.ones(3))
    return TrainingData(changed, toy_signals(manifest))


def test_each_epoch_of_exclusive_labels_has_its_report(
    exclusive: TrainingData, tmp_path: Path
) -> None:
    """That of the kept epoch is the report of the stored scores, by scikit-learn."""
    folder, events = run_toy(toy_request(tmp_path, objective="exclusive", epochs=3), exclusive)
    reports = json.loads((folder / CLASS_REPORTS).read_text())
    run = json.loads((folder / "run.json").read_text())
    history = pd.read_csv(folder / "history.csv")
    accuracies = [report["classification_report"]["accuracy"] for report in reports.values()]
    assert history["valid_accuracy"].tolist() == pytest.approx(accuracies)
    assert run["valid_accuracy"] == pytest.approx(accuracies[run["best_epoch"] - 1])
    assert [event["valid_accuracy"] for event in events[1:-1]] == pytest.approx(accuracies)
    stored = read_validation_predictions(folder)
    names = np.array(stored.vocabulary.names)
    true, called = (names[values.argmax(axis=1)] for values in (stored.target, stored.score))
    best = reports[str(run["best_epoch"])]
    counts = confusion_matrix(true, called, labels=names)
    assert best["confusion_matrix"] == {
        name: dict(zip(names, row, strict=True)) for name, row in zip(names, counts, strict=True)
    }
    expected = classification_report(
        true, called, labels=names, output_dict=True, zero_division=np.nan
    )
    found = pd.DataFrame(best["classification_report"]).astype(float)
    pd.testing.assert_frame_equal(found, pd.DataFrame(expected).astype(float))
    assert (folder / CONFUSION_MATRIX).read_bytes().startswith(b"\x89PNG")


def test_what_divides_by_nothing_is_null() -> None:
    log: list[dict[str, Any]] = [
        {"epoch": 1.0, "loss": 0.7},
        {"epoch": 1.0, "valid_confusion_matrix": [[0, 2], [0, 0]]},
        {"epoch": 2.0, "eval_valid_loss": 0.5},
    ]
    reports = class_reports(read_confusions(log, ["a", "b"]))
    assert list(reports) == ["1"]
    report = reports["1"]["classification_report"]
    assert (report["a"]["precision"], report["a"]["recall"]) == (None, 0)
    assert (report["b"]["recall"], report["accuracy"]) == (None, 0)
    assert reports["1"]["confusion_matrix"] == {"a": {"a": 0, "b": 2}, "b": {"a": 0, "b": 0}}


def test_labels_that_may_stand_together_have_no_report(tmp_path: Path) -> None:
    manifest = toy_manifest(20)
    data = TrainingData(manifest, toy_signals(manifest))
    folder, _ = run_toy(toy_request(tmp_path, epochs=1), data)
    assert not (folder / CLASS_REPORTS).exists()
    assert not (folder / CONFUSION_MATRIX).exists()
    assert pd.read_csv(folder / "history.csv")["valid_accuracy"].isna().all()
    assert json.loads((folder / "run.json").read_text())["valid_accuracy"] is None
