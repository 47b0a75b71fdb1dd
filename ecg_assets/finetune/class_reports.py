"""Confusion matrix and classification report of the validation split, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ecg_assets.models.confusion import name_counts, report_confusion

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
            "classification_report": _without_nan(report_confusion(confusion)),
        }
        for epoch, confusion in confusions.items()
    }


def _without_nan(report: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {key: None if math.isnan(number) else number for key, number in value.items()}
        if isinstance(value, Mapping)
        else value
        for name, value in report.items()
    }
