"""Loss and AUROC on the validation split, while training and again from the disk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import log_expit, log_softmax
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ecg_assets.build import Manifest, SignalCache
from ecg_assets.build.fractions import take_train_fraction
from ecg_assets.known import is_known
from ecg_assets.metrics.confusion import confusion_matrix_table, name_counts, report_confusion
from ecg_assets.metrics.ranks import label_aurocs
from ecg_assets.metrics.regression import NUMBER_METRICS, describe_numbers
from ecg_assets.models.checkpoint import TrainedModel
from ecg_assets.models.checkpoint_folder import read_card
from ecg_assets.models.predictions import Predictions
from ecg_assets.models.probabilities import HUBER, Regression, is_exclusive
from ecg_assets.models.scoring import predict_logits, to_predictions
from ecg_assets.storage import to_json_value
from ecg_assets.training.engine.data import TrainingData


@dataclass(frozen=True)
class Validation:
    """What one pass over the validation split gave.

    Attributes
    ----------
    loss
        What training minimizes (natural logarithm), mean over segments and labels.
    macro_auroc
        Mean AUROC of recordings over the labels that have both classes; NaN when none has, and
        of numbers.
    undefined
        Labels with one class only, left out of `macro_auroc`, and targets without R².
    predictions
        Score of each recording.
    confusion
        Recordings by true and called class; None where labels may stand together.
    r2
        Of numbers, the mean R² over the targets that have one; NaN when none has, and of labels.
    """

    loss: float
    macro_auroc: float
    undefined: tuple[str, ...]
    predictions: Predictions
    confusion: pd.DataFrame | None = None
    r2: float = math.nan

    @property
    def accuracy(self) -> float:
        """Share of recordings whose class was called; NaN where labels may stand together."""
        if self.confusion is None:
            return float("nan")
        counts = self.confusion.to_numpy()
        return float(np.trace(counts) / counts.sum())


def validate_logits(
    data: TrainingData, rows: NDArray[np.int64], logits: NDArray[np.float32]
) -> Validation:
    """Measure the logits of recordings' segments, ``(segment, label)``, in the order of `rows`."""
    targets = np.repeat(data.manifest.targets[rows], data.n_segments(rows), axis=0)
    predictions = to_predictions(
        data.manifest,
        data.signals,
        rows,
        logits,
        exclusive=data.exclusive,
        regression=data.regression,
    )
    if data.regression is not None:
        return _validate_numbers(data.regression, logits, targets, predictions)
    aurocs = label_aurocs(predictions.target, predictions.score)
    is_defined = np.isfinite(aurocs)
    loss, confusion = weighted_loss(logits, targets, data.manifest.pos_weight), None
    if data.exclusive:
        loss = exclusive_loss(logits, targets)
        confusion = confusion_matrix_table(
            predictions.target, predictions.score, predictions.vocabulary.names
        )
    return Validation(
        loss=loss,
        macro_auroc=float(aurocs[is_defined].mean()) if is_defined.any() else math.nan,
        undefined=tuple(np.array(predictions.vocabulary.names)[~is_defined].tolist()),
        predictions=predictions,
        confusion=confusion,
    )


def _validate_numbers(
    regression: Regression,
    outputs: NDArray[np.float32],
    targets: NDArray[np.float32],
    predictions: Predictions,
) -> Validation:
    """Measure outputs of segments against their targets, and recordings' numbers with them."""
    at_r2 = list(NUMBER_METRICS).index("r2")
    found = describe_numbers(predictions.target, predictions.score)[:, at_r2]
    is_defined = np.isfinite(found)
    return Validation(
        loss=regression_loss(regression, outputs, targets),
        macro_auroc=math.nan,
        undefined=tuple(np.array(predictions.vocabulary.names)[~is_defined].tolist()),
        predictions=predictions,
        r2=float(found[is_defined].mean()) if is_defined.any() else math.nan,
    )


def regression_loss(
    regression: Regression, outputs: NDArray[np.float32], targets: NDArray[np.float32]
) -> float:
    """Mean squared error or Huber loss in float64 and standard deviations, over the known elements.

    >>> zero, one = np.zeros((1, 2), np.float32), np.array([[80.0, np.nan]], np.float32)
    >>> regression_loss(Regression((60.0, 1.0), (10.0, 1.0)), zero, one)
    4.0
    >>> regression_loss(Regression((60.0, 1.0), (10.0, 1.0), "huber"), zero, one)
    1.5
    """
    standardized = (targets.astype(np.float64) - regression.mean) / regression.deviation
    error = np.abs(outputs.astype(np.float64) - standardized)[is_known(targets)]
    if regression.loss == HUBER:
        return float(np.where(error < 1, error**2 / 2, error - 0.5).mean())
    return float(np.square(error).mean())


def weighted_loss(
    logits: NDArray[np.float32], targets: NDArray[np.uint8], pos_weight: NDArray[np.float64]
) -> float:
    """Weighted cross entropy in float64, mean over the known elements.

    >>> zero = np.zeros((1, 2), np.float32)
    >>> round(weighted_loss(zero, np.array([[1, 0]], np.uint8), np.array([3.0, 1.0])), 6)
    1.386294
    """
    logit = logits.astype(np.float64)
    known = is_known(targets)
    stated = np.where(known, targets, 0)
    positive = stated * pos_weight * log_expit(logit)
    negative = (1.0 - stated) * log_expit(-logit)
    each = -(positive + negative)
    return float(each.mean() if known.all() else each[known].mean())


def exclusive_loss(logits: NDArray[np.float32], targets: NDArray[np.uint8]) -> float:
    """Cross entropy of labels that exclude one another in float64, mean over segments.

    >>> zero = np.zeros((1, 4), np.float32)
    >>> round(exclusive_loss(zero, np.array([[0, 1, 0, 0]], np.uint8)), 6)
    1.386294
    """
    chosen = log_softmax(logits.astype(np.float64), axis=1)[targets.astype(bool)]
    return float(-chosen.mean())


def reproduce_validation_loss(
    trained: TrainedModel,
    manifest: Manifest,
    signals: SignalCache,
    *,
    device: str = "auto",
    batch_size: int = 256,
) -> float:
    """Compute a checkpoint's validation loss again, in the precision it was trained in.

    Parameters
    ----------
    trained
        As `load_trained` gives it.
    manifest, signals
        The data it was trained on; other data gives another loss.

    Raises
    ------
    SpecMismatch
        When the manifest's signal spec is not the model's.
    """
    run = read_card(trained.folder).run if trained.folder else {}
    fraction = run.get("request", {}).get("recipe", {}).get("train_fraction", 1.0)
    manifest = take_train_fraction(manifest, fraction, seed=run.get("seed", 0))
    config = trained.model.config
    data = TrainingData(manifest, signals, is_exclusive(config), Regression.of(config))
    rows = data.rows("valid")
    logits = predict_logits(
        trained,
        manifest,
        signals,
        rows,
        device=device,
        batch_size=batch_size,
        precision=run.get("request", {}).get("precision", "fp32"),
    )
    return validate_logits(data, rows, logits).loss


# Confusion matrix and classification report of the validation split, epoch by epoch.


_COUNTS = "valid_confusion_matrix"


class KeepConfusion(TrainerCallback):  # type: ignore[misc]
    """Keeps each epoch's confusion matrix in the Trainer's log, where a resumed run finds it.

    It is not among the metrics: these are numbers, which go to TensorBoard or MLflow.
    """

    def __init__(self) -> None:
        self._counts: list[list[int]] | None = None

    def keep(self, confusion: pd.DataFrame) -> None:
        """Take the validation's matrix, to be kept when the epoch's metrics are logged."""
        self._counts = confusion.to_numpy().tolist()

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Put the matrix beside the epoch's metrics."""
        if self._counts is not None:
            state.log_history[-1][_COUNTS] = self._counts


def read_confusions(
    log: Sequence[Mapping[str, Any]], class_names: Sequence[str]
) -> dict[int, pd.DataFrame]:
    """Read the matrix of each epoch out of `TrainerState.log_history`.

    Returns
    -------
    dict
        By epoch, as `confusion_matrix_table` gives them; empty where labels may stand together.
    """
    return {
        round(entry["epoch"]): name_counts(entry[_COUNTS], class_names)
        for entry in log
        if _COUNTS in entry
    }


def class_reports(confusions: Mapping[int, pd.DataFrame]) -> dict[str, Any]:
    """Describe the classes after each epoch, as JSON values.

    Parameters
    ----------
    confusions
        As `read_confusions` gives them.

    Returns
    -------
    dict
        By epoch: ``confusion_matrix``, counts by true class, then by called one; and
        ``classification_report``, that of scikit-learn. What divides by nothing is None.
    """
    return {
        str(epoch): {
            "confusion_matrix": confusion.to_dict("index"),
            "classification_report": to_json_value(report_confusion(confusion)),
        }
        for epoch, confusion in confusions.items()
    }
