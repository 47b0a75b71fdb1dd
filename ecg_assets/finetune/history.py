"""Losses by epoch, read from the Trainer's log, and the rule that ends training early."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

COLUMNS = (
    "epoch",
    "train_loss",
    "valid_loss",
    "valid_macro_auroc",
    "valid_accuracy",
    "test_loss",
    "test_macro_auroc",
    "learning_rate",
    "seconds",
)

History = list[dict[str, Any]]


def read_history(log: Sequence[Mapping[str, Any]]) -> History:
    """Rows of `COLUMNS`, one for each validated epoch; what is undefined is None.

    Test columns are None where the test split was not measured. They are reported, and
    decide nothing: see `best_row` and `training_is_over`. The accuracy is that of labels that
    exclude one another, None of others.

    Parameters
    ----------
    log
        `TrainerState.log_history`: for each epoch an entry with ``loss``, then one with
        ``eval_valid_loss``.
    """
    history: History = []
    training: Mapping[str, Any] = {}
    for entry in log:
        if "loss" in entry:
            training = entry
        if "eval_valid_loss" in entry:
            history.append(
                {
                    "epoch": round(entry["epoch"]),
                    "train_loss": training["loss"],
                    "valid_loss": entry["eval_valid_loss"],
                    "valid_macro_auroc": _defined(entry["eval_valid_macro_auroc"]),
                    "valid_accuracy": _defined(entry.get("eval_valid_accuracy")),
                    "test_loss": _defined(entry.get("eval_test_loss")),
                    "test_macro_auroc": _defined(entry.get("eval_test_macro_auroc")),
                    "learning_rate": training["learning_rate"],
                    "seconds": entry.get("seconds"),
                }
            )
    return history


def _defined(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def best_row(history: History) -> dict[str, Any]:
    """Find the first epoch with the lowest validation loss."""
    return min(history, key=lambda row: row["valid_loss"])


def training_is_over(history: History, *, epochs: int, patience: int) -> bool:
    """Tell whether it was the last epoch, or `patience` epochs gave no lower validation loss.

    A `patience` of 0 never ends training early.
    """
    if not history:
        return False
    last = history[-1]["epoch"]
    waited = last - best_row(history)["epoch"]
    return bool(last >= epochs or (patience and waited >= patience))


def history_frame(history: History) -> pd.DataFrame:
    """Turn the history into a table; what is None or not there is empty."""
    frame = pd.DataFrame(history, columns=list(COLUMNS))
    return frame.astype(dict.fromkeys(COLUMNS[1:], float))
