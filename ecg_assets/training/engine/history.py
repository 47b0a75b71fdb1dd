"""Losses by epoch, read from the Trainer's log and drawn, and the rule that ends training early."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ecg_assets.figures import ACCENT, CONTRAST, MUTED, make_figure, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
"""Columns of a fine-tuning's history."""

REGRESSION_COLUMNS = tuple(
    name.replace("macro_auroc", "r2") for name in COLUMNS if name != "valid_accuracy"
)
"""The same of one on numbers."""

History = list[dict[str, Any]]


def read_history(log: Sequence[Mapping[str, Any]], columns: Sequence[str] = COLUMNS) -> History:
    """Rows of `columns`, one for each validated epoch; what is undefined is None.

    Test columns are None where the test split was not measured. They are reported, and
    decide nothing: see `best_row` and `training_is_over`. The accuracy is that of labels that
    exclude one another, None of others.

    Parameters
    ----------
    log
        `TrainerState.log_history`: for each epoch an entry with ``loss`` and its terms, then one
        with ``eval_valid_loss`` and all else that was measured.
    columns
        ``epoch``, ``learning_rate``, ``seconds``, and of each split ``<split>_<measure>``.
    """
    history: History = []
    training: Mapping[str, Any] = {}
    for entry in log:
        if "loss" in entry:
            training = entry
        if "eval_valid_loss" in entry:
            found = {
                **{f"train_{name}": value for name, value in training.items()},
                **{name.removeprefix("eval_"): value for name, value in entry.items()},
                "epoch": round(entry["epoch"]),
                "learning_rate": training["learning_rate"],
            }
            history.append({name: _defined(found.get(name)) for name in columns})
    return history


def _defined(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def best_row(history: History) -> dict[str, Any]:
    """Find the first epoch with the lowest validation loss."""
    return min(history, key=lambda row: row["valid_loss"])


def training_is_over(
    history: History, *, epochs: int, patience: int, patient_from: int = 0
) -> bool:
    """Tell whether it was the last epoch, or `patience` epochs gave no lower validation loss.

    A `patience` of 0 never ends training early; epochs up to `patient_from` are not waited for.
    """
    if not history:
        return False
    last = history[-1]["epoch"]
    waited = last - max(best_row(history)["epoch"], patient_from)
    return bool(last >= epochs or (patience and waited >= patience))


def history_frame(history: History, columns: Sequence[str] = COLUMNS) -> pd.DataFrame:
    """Turn the history into a table; what is None or not there is empty."""
    frame = pd.DataFrame(history, columns=list(columns))
    return frame.astype(dict.fromkeys(columns[1:], float))


_SPLITS = {
    "train": ("training", MUTED),
    "valid": ("validation", ACCENT),
    "test": ("test", CONTRAST),
}
_PANELS = {
    "loss": "loss",
    "macro_auroc": "macro AUROC",
    "r2": "R², mean over targets",
    "contrastive": "contrastive term",
    "masked_prediction": "masked prediction of codes",
    "cmsc": "patients' contrast (CMSC)",
    "diversity": "unused share of the codebook",
    "feature_penalty": "feature penalty",
    "code_perplexity": "codes in use (perplexity)",
}


def draw_curves(history: pd.DataFrame, path: Path) -> None:
    """Write a PNG of what the history measures, by epoch: of each split that was measured.

    Parameters
    ----------
    history
        As `history_frame` gives it, a row an epoch.
    path
        File to write.
    """
    measured = set(history.columns[history.notna().any()])
    panels = {name: title for name, title in _PANELS.items() if f"valid_{name}" in measured}
    n_rows = 1 if len(panels) <= 2 else 2
    n_columns = math.ceil(len(panels) / n_rows)
    width, height = (4.5 * n_columns, 3.6) if n_rows == 1 else (3.5 * n_columns, 6.0)
    figure, grid = make_figure(width, height, n_rows, n_columns, lines="both")
    free = list(grid.flat)
    for name, title in panels.items():
        _draw(free.pop(0), history, name, title)
    for axes in free:
        axes.remove()
    path.write_bytes(to_png(figure))


def _draw(axes: Axes, history: pd.DataFrame, name: str, title: str) -> None:
    """Draw a measure of each split, and a ring around the epoch that is kept."""
    from matplotlib.ticker import MaxNLocator

    for split, (label, color) in _SPLITS.items():
        column, loss = f"{split}_{name}", f"{split}_loss"
        if column in history and history[loss].notna().any():
            axes.plot(history["epoch"], history[column], ".-", color=color, label=label)
    best = history.iloc[int(history["valid_loss"].argmin())]
    axes.plot(
        best["epoch"], best[f"valid_{name}"], "o", color=_SPLITS["valid"][1], markersize=9,
        markerfacecolor="none",
        label=f"best epoch {best['epoch']:.0f}: {best[f'valid_{name}']:.3f}",
    )  # fmt: skip
    axes.set_ylabel(title)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
