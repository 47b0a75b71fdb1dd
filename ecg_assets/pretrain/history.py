"""Loss and its terms by epoch, read from the Trainer's log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ecg_assets.finetune.history import History

MEASURED = (
    "loss",
    "contrastive",
    "diversity",
    "feature_penalty",
    "cmsc",
    "probability_perplexity",
    "code_perplexity",
)
"""Fields of `PretrainingOutput` that are measured in training and validation."""

COLUMNS = (
    "epoch",
    *(f"train_{name}" for name in MEASURED),
    *(f"valid_{name}" for name in MEASURED),
    "learning_rate",
    "seconds",
)


def read_history(log: Sequence[Mapping[str, Any]]) -> History:
    """Rows of `COLUMNS`, one for each validated epoch.

    Parameters
    ----------
    log
        `TrainerState.log_history`: for each epoch an entry with ``loss`` and its terms, then
        one with ``eval_valid_loss``.
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
                    **{f"train_{name}": training[name] for name in MEASURED},
                    **{f"valid_{name}": entry[f"eval_valid_{name}"] for name in MEASURED},
                    "learning_rate": training["learning_rate"],
                    "seconds": entry.get("seconds"),
                }
            )
    return history


def history_frame(history: History) -> pd.DataFrame:
    """Turn the history into a table."""
    frame = pd.DataFrame(history, columns=list(COLUMNS))
    return frame.astype(dict.fromkeys(COLUMNS[1:], float))
