from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from ecg_assets.errors import SchemaError
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.engine.history import read_history, training_is_over
from ecg_assets.training.finetune.validate import validate_logits, weighted_loss
from ecg_assets_tests.models.toy_recordings import toy_manifest, toy_signals


def test_loss_equals_torchs() -> None:
    random = np.random.default_rng(0)
    logits = (30 * random.standard_normal((20, 3))).astype(np.float32)
    targets = random.integers(0, 2, (20, 3)).astype(np.uint8)
    weight = np.array([0.2, 1.0, 900.0])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.from_numpy(logits).double(),
        torch.from_numpy(targets).double(),
        pos_weight=torch.from_numpy(weight),
    )
    assert weighted_loss(logits, targets, weight) == pytest.approx(expected.item(), rel=1e-12)


def test_auroc_is_of_recordings_and_undefined_labels_are_listed() -> None:
    manifest = toy_manifest(30)
    manifest.targets[:, 1] = 1
    data = TrainingData(manifest, toy_signals(manifest))
    rows = np.arange(30)
    logits = np.random.default_rng(1).standard_normal((60, 2)).astype(np.float32)
    found = validate_logits(data, rows, logits)
    mean = (1 / (1 + np.exp(-logits[:, 0]))).reshape(30, 2).mean(axis=1)
    assert found.macro_auroc == pytest.approx(roc_auc_score(manifest.targets[:, 0], mean))
    assert found.undefined == ("inverted",)


def test_macro_auroc_of_no_defined_label_is_nan() -> None:
    manifest = toy_manifest(5)
    manifest.targets[:] = 0
    data = TrainingData(manifest, toy_signals(manifest))
    found = validate_logits(data, np.arange(5), np.zeros((10, 2), np.float32))
    assert np.isnan(found.macro_auroc)
    assert found.undefined == ("fast", "inverted")


def test_a_split_without_recordings_is_refused() -> None:
    manifest = toy_manifest(4)
    with pytest.raises(SchemaError, match="no recording in split 'valid' among 4"):
        TrainingData(manifest, toy_signals(manifest)).rows("valid")


def _history(*losses: float) -> list[dict[str, float]]:
    log: list[dict[str, float]] = []
    for i, loss in enumerate(losses, start=1):
        log.append({"loss": 1 / i, "learning_rate": 1e-3, "epoch": float(i)})
        log.append(
            {
                "eval_valid_loss": loss,
                "eval_valid_macro_auroc": 0.5,
                "epoch": float(i),
                "seconds": 2.0,
            }
        )
    return log


def test_history_pairs_training_and_validation_of_each_epoch() -> None:
    rows = read_history(_history(0.9, 0.7))
    assert [(row["epoch"], row["train_loss"], row["valid_loss"]) for row in rows] == [
        (1, 1.0, 0.9),
        (2, 0.5, 0.7),
    ]


@pytest.mark.parametrize(
    ("losses", "patience", "is_over"),
    [
        ((), 1, False),
        ((0.9, 0.8), 2, False),
        ((0.8, 0.9), 2, False),
        ((0.8, 0.9, 0.8), 2, True),
        ((0.9, 0.8, 0.9, 0.7), 2, False),
        ((0.8, 0.9, 0.9, 0.9), 0, False),
        ((0.9, 0.8, 0.7, 0.6, 0.5), 0, True),
    ],
)
def test_training_ends_after_its_epochs_or_its_patience(
    losses: tuple[float, ...], patience: int, is_over: bool
) -> None:
    history = read_history(_history(*losses))
    assert training_is_over(history, epochs=5, patience=patience) == is_over
