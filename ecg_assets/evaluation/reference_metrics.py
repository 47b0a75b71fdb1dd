"""The reference pipeline's own metrics file, for comparison with its published table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.known import keep_known
from ecg_assets.metrics.ranks import TieBlocks
from ecg_assets.models.predictions import Predictions
from ecg_assets.storage import replace_file
from ecg_assets.tables import write_csv

THRESHOLD = 0.5
"""The reference calls a label positive at a probability of at least 0.5."""


def write_reference_metrics(predictions: Predictions, path: Path) -> pd.DataFrame:
    """Write ``label,n_pos,n_neg,auroc,auprc,accuracy,…`` with ``__macro__`` and ``__micro__``.

    Each is of the recordings of which the label is known.

    Undefined numbers are empty; the macro row is the mean over the defined ones.
    """
    rows = [
        _row(name, predictions.target[:, k], predictions.score[:, k])
        for k, name in enumerate(predictions.vocabulary.names)
    ]
    table = pd.DataFrame(rows)
    numbers = [name for name in table.columns if name not in ("label", "n_pos", "n_neg")]
    macro = {"label": "__macro__", **table[numbers].mean().to_dict()}
    macro |= {"n_pos": table["n_pos"].sum(), "n_neg": table["n_neg"].sum()}
    micro = _row("__micro__", predictions.target.ravel(), predictions.score.ravel())
    table = pd.DataFrame([*rows, macro, micro])
    with replace_file(path) as temporary:
        write_csv(table, temporary)
    return table


def _row(
    name: str, target: NDArray[np.uint8], score: NDArray[np.float32]
) -> dict[str, str | int | float]:
    target, (score,) = keep_known(target, score)
    called = score >= THRESHOLD
    hit = int((called & (target == 1)).sum())
    n_pos, n_called = int(target.sum()), int(called.sum())
    n_neg = len(target) - n_pos
    rejected = n_neg - (n_called - hit)
    auroc, auprc = TieBlocks.from_scores(target, score).curves(np.ones(len(target), np.int64))
    return {
        "label": name,
        "n_pos": n_pos,
        "n_neg": n_neg,
        "auroc": auroc,
        "auprc": auprc,
        "accuracy": _ratio(hit + rejected, len(target)),
        "recall": _ratio(hit, n_pos),
        "precision": _ratio(hit, n_called),
        "f1": _ratio(2 * hit, n_called + n_pos),
        "specificity": _ratio(rejected, n_neg),
        "npv": _ratio(rejected, len(target) - n_called),
    }


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else np.nan
