"""How frequent each label is, and what its positives weigh in training."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.build.manifest import Manifest
from ecg_assets.split import SPLIT_NAMES


def positive_weights(targets: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Weight each label's positives so that they count as much as its negatives.

    Parameters
    ----------
    targets
        0 or 1, ``(record, label)``, of the training split alone.

    Returns
    -------
    NDArray[np.float64]
        Negatives over positives, ``(label,)``; 1 for a label without positives, whose
        quotient would be infinite.

    >>> positive_weights(np.array([[1, 0], [0, 0], [0, 0]], np.uint8))
    array([2., 1.])
    """
    n_positive = targets.sum(axis=0, dtype=np.int64)
    quotient = (len(targets) - n_positive) / np.maximum(n_positive, 1)
    return np.where(n_positive > 0, quotient, 1.0)


def label_definition(manifest: Manifest) -> pd.DataFrame:
    """Count each label's positives in each split and in all.

    Returns
    -------
    DataFrame
        fairseq-signals' ``label_def.csv``: ``name``, then for train, valid, test and all
        ``pos_count_…``, ``pos_percent_…`` (a share, 0 to 1) and ``pos_weight_…``. A share
        of no recordings and a weight of no positives are NaN, but ``pos_weight_train`` is
        what training uses: 1 where ``pos_count_train`` is 0.
    """
    parts = {split: manifest.targets[manifest.rows(split)] for split in SPLIT_NAMES}
    parts["all"] = manifest.targets
    counts = {name: part.sum(axis=0, dtype=np.int64) for name, part in parts.items()}
    columns: dict[str, object] = {"name": list(manifest.vocabulary.names)}
    columns |= {f"pos_count_{name}": count for name, count in counts.items()}
    columns |= {
        f"pos_percent_{name}": counts[name] / len(part) if len(part) else np.nan
        for name, part in parts.items()
    }
    columns |= {
        f"pos_weight_{name}": np.where(counts[name] > 0, positive_weights(part), np.nan)
        for name, part in parts.items()
    }
    return pd.DataFrame({**columns, "pos_weight_train": manifest.pos_weight})


def format_weights(weights: NDArray[np.float64]) -> str:
    """Write weights in the one line that fairseq-signals takes.

    >>> format_weights(np.array([2.0, 0.5]))
    '[2.000000,0.500000]'
    """
    return "[" + ",".join(f"{weight:.6f}" for weight in weights) + "]"
