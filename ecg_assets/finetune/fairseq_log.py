"""Read fairseq-signals' JSON log lines, whose values are strings and whose losses are base 2."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ecg_assets.errors import EcgAssetsError
from ecg_assets.finetune.history import History

_LINE = re.compile(r"\[(train_inner|train|valid|test)\]\[INFO\] - (\{.*\})\s*$")
_LOSSES = ("loss", "nll_loss", "best_loss")


@dataclass(frozen=True)
class LogEntry:
    """One line of numbers.

    Attributes
    ----------
    tag
        ``train_inner`` while an epoch runs, ``train``, ``valid`` and ``test`` at its end.
    values
        By name without the tag; losses in natural logarithm, where fairseq-signals writes
        them in base 2. What is no number is left out.
    """

    tag: str
    values: dict[str, float]


def read_log_line(line: str) -> LogEntry | None:
    """Read a line; None for one that is not JSON numbers.

    >>> entry = read_log_line('[valid][INFO] - {"epoch": 2, "valid_loss": "1.000"}')
    >>> entry.tag, entry.values["epoch"], round(entry.values["loss"], 4)
    ('valid', 2.0, 0.6931)
    """
    match = _LINE.search(line)
    if match is None:
        return None
    tag, text = match.groups()
    try:
        content: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError:
        return None
    prefix = "" if tag == "train_inner" else f"{tag}_"
    values = {}
    for name, value in content.items():
        number = _number(value)
        if number is not None:
            short = name.removeprefix(prefix)
            values[short] = number * math.log(2) if short in _LOSSES else number
    return LogEntry(tag, values)


def epoch_history(entries: Iterable[LogEntry]) -> History:
    """Rows of `ecg_assets.finetune.history.COLUMNS`, one for each complete epoch.

    An epoch's ``train`` line comes last; what was not measured is None.
    """
    history: History = []
    found: dict[str, dict[str, float]] = {}
    wall_s = 0.0
    for entry in entries:
        found[entry.tag] = entry.values
        if entry.tag == "train" and "valid" in found:
            history.append(_row(found, entry.values["wall"] - wall_s))
            wall_s = entry.values["wall"]
            found = {}
    return history


def best_epoch(history: History) -> dict[str, Any]:
    """Find the row of checkpoint_best.pt: the lowest validation loss, of equal ones the last.

    fairseq-signals compares the losses rounded to three decimals, as it logs them, and
    replaces the file when they are equal.

    Raises
    ------
    EcgAssetsError
        When no epoch has a validation loss that is a number.
    """
    rows = [row for row in reversed(history) if row["valid_loss"] is not None]
    if not rows:
        raise EcgAssetsError(
            f"fairseq-signals validated {len(history)} epochs and none gave a loss that is a "
            "number. Lower the learning rate, or use fp32."
        )
    return min(rows, key=lambda row: row["valid_loss"])


def _row(found: dict[str, dict[str, float]], seconds: float) -> dict[str, Any]:
    train, valid, test = found["train"], found["valid"], found.get("test", {})
    return {
        "epoch": int(train["epoch"]),
        "train_loss": train.get("loss"),
        "valid_loss": valid.get("loss"),
        "valid_macro_auroc": valid.get("auroc"),
        "valid_accuracy": None,
        "test_loss": test.get("loss"),
        "test_macro_auroc": test.get("auroc"),
        "learning_rate": train.get("lr"),
        "seconds": seconds,
    }


def _number(value: Any) -> float | None:
    """Turn a logged value into a number; None where it is none, or not finite."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
