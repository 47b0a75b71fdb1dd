"""Do scores mean what they say: bins of reliability and the calibration line."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit

from ecg_assets.known import keep_known

N_BINS = 10
"""Bins of equal width, each closed below; the last one holds the score 1 too."""

SCORE_CLIP = 1e-6
"""A score nearer to 0 or 1 than this counts as this far from it: its logit must be finite."""

RELIABILITY_COLUMNS = ("label", "bin", "n", "n_pos", "mean_score", "share_positive")


def bin_of(score: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
    """Reliability bin of each score, 0 to 9.

    >>> bin_of(np.array([0.0, 0.05, 0.1, 0.95, 1.0])).tolist()
    [0, 0, 1, 9, 9]
    """
    return np.minimum(score.astype(np.float64) * N_BINS, N_BINS - 1).astype(np.intp)


def logit_of(score: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Log odds of clipped scores."""
    clipped = np.clip(score.astype(np.float64), SCORE_CLIP, 1 - SCORE_CLIP)
    found: NDArray[np.float64] = logit(clipped)
    return found


def fit_line(target: NDArray[np.uint8], score: NDArray[np.floating[Any]]) -> tuple[float, float]:
    """Slope and intercept of the logistic regression of the label on the score's log odds.

    Slope 1 and intercept 0 are a perfect calibration; a slope below 1 says that scores are too
    extreme (Cox 1958, https://doi.org/10.1093/biomet/45.3-4.562).

    Returns
    -------
    tuple of float
        NaN where no finite line is most likely: one class only, all scores alike, or scores
        that separate the classes.

    Examples
    --------
    >>> score = np.repeat([0.2, 0.8], 5)
    >>> slope, intercept = fit_line(np.array([1, 0, 0, 0, 0, 1, 1, 1, 1, 0], np.uint8), score)
    >>> round(slope, 6), abs(round(intercept, 6))
    (1.0, 0.0)
    """
    from sklearn.linear_model import LogisticRegression

    x = logit_of(score)
    positive, negative = x[target == 1], x[target == 0]
    if not len(positive) or not len(negative):
        return np.nan, np.nan
    if positive.min() >= negative.max() or positive.max() <= negative.min():
        return np.nan, np.nan
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10, max_iter=200)
    with warnings.catch_warnings():
        # At the optimum itself rounding leaves nothing to gain, and lbfgs, taken then, stays there.
        warnings.filterwarnings("ignore", "Line search of Newton solver")
        model.fit(x[:, np.newaxis], target)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def reliability_table(
    names: tuple[str, ...],
    target: NDArray[np.uint8],
    score: NDArray[np.floating[Any]],
) -> pd.DataFrame:
    """Count and average each label's scores by bin, over its known targets.

    Returns
    -------
    DataFrame
        Columns label, bin (0 to 9), n, n_pos, mean_score, share_positive; the last two are
        NaN in an empty bin.
    """
    rows = []
    for label, name in enumerate(names):
        known, (scored,) = keep_known(target[:, label], score[:, label])
        bins = bin_of(scored)
        n = np.bincount(bins, minlength=N_BINS)
        n_pos = np.bincount(bins[known == 1], minlength=N_BINS)
        total = np.bincount(bins, scored.astype(np.float64), N_BINS)
        whole = np.where(n > 0, n, np.nan)
        columns = {"n": n, "n_pos": n_pos, "mean_score": total / whole}
        frame = pd.DataFrame({**columns, "share_positive": n_pos / whole})
        frame.insert(0, "bin", range(N_BINS))
        frame.insert(0, "label", name)
        rows.append(frame)
    return pd.concat(rows, ignore_index=True)
