"""Loss and its terms by epoch, read from the Trainer's log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ecg_assets.finetune.history import History
from ecg_assets.models.pretraining.objective import TERMS, Objective

_PERPLEXITIES = ("probability_perplexity", "code_perplexity")
MEASURED = ("loss", *TERMS, *_PERPLEXITIES)
"""Fields of `PretrainingOutput` that may be measured, in the order of the history's columns."""


def measured(objective: Objective) -> tuple[str, ...]:
    """Name the fields of `PretrainingOutput` that an objective has: not the terms it lacks.

    >>> measured(Objective())[:3]
    ('loss', 'contrastive', 'diversity')
    """
    return ("loss", *objective.weights, *_PERPLEXITIES)


def read_history(log: Sequence[Mapping[str, Any]]) -> History:
    """Make a row for each validated epoch: what was measured, the learning rate, the seconds.

    Parameters
    ----------
    log
        `TrainerState.log_history`: for each epoch an entry with ``loss`` and its terms, then
        one with ``eval_valid_loss`` and those of the validation split.
    """
    history: History = []
    training: Mapping[str, Any] = {}
    names: list[str] = []
    for entry in log:
        if "loss" in entry:
            training = entry
            names = [name for name in MEASURED if name in entry]
        if "eval_valid_loss" in entry:
            history.append(
                {
                    "epoch": round(entry["epoch"]),
                    **{f"train_{name}": training[name] for name in names},
                    **{f"valid_{name}": entry[f"eval_valid_{name}"] for name in names},
                    "learning_rate": training["learning_rate"],
                    "seconds": entry.get("seconds"),
                }
            )
    return history


def history_frame(history: History) -> pd.DataFrame:
    """Turn the history into a table, a column for each field of its rows."""
    frame = pd.DataFrame(history)
    return frame.astype(dict.fromkeys(frame.columns[1:], float))
