"""Many models over many tasks: mean ranks with intervals, and which of them differ.

As Demšar 2006 (https://jmlr.org/papers/v7/demsar06a.html) compares classifiers over data sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_assets.figures import INK, MUTED, make_figure, to_png
from ecg_assets.metrics.intervals import find_percentiles


@dataclass(frozen=True)
class MeanRanks:
    """Models over tasks; rank 1 is the best, equal values share the mean of their ranks.

    Attributes
    ----------
    ranks, low, high
        Rank of each model on each task and its 95 % interval, float64 ``(task, model)``.
    mean_ranks, mean_low, mean_high
        Means over the tasks, float64 ``(model,)``. The intervals are of other patients and the
        same tasks.
    friedman_statistic, friedman_p
        Of the hypothesis that all models rank alike over tasks; NaN where all values are equal.
    critical_difference
        Mean ranks that are further apart differ, by Nemenyi's test at `alpha`.
    alpha
        Of that test.
    """

    ranks: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    mean_ranks: NDArray[np.float64]
    mean_low: NDArray[np.float64]
    mean_high: NDArray[np.float64]
    friedman_statistic: float
    friedman_p: float
    critical_difference: float
    alpha: float


def rank_models(
    values: NDArray[np.float64], draws: NDArray[np.float64], *, alpha: float = 0.05
) -> MeanRanks:
    """Rank models on each task, in the data and in each resample.

    Parameters
    ----------
    values
        Higher is better, without NaN, ``(task, model)``.
    draws
        The same in each resample, NaN where undefined, ``(task, draw, model)``: of each task
        `ModelComparison.draws`. Tasks that share patients stay correlated if each was drawn with
        the same seed from the same patients.

    Returns
    -------
    MeanRanks
        An interval is NaN where more than half of the resamples are undefined; that of a mean rank
        is over the resamples that are defined on every task.

    Raises
    ------
    ValueError
        When there are fewer than three models or two tasks, shapes do not fit, or a value is NaN.
    """
    from scipy.stats import friedmanchisquare

    n_tasks, n_models = values.shape
    if n_models < 3 or n_tasks < 2:
        raise ValueError(
            f"{n_models} models on {n_tasks} tasks; expected three models and two tasks at least. "
            "Compare two models by their paired difference."
        )
    if draws.ndim != 3 or (draws.shape[0], draws.shape[2]) != values.shape:
        raise ValueError(
            f"values have shape {values.shape}, draws {draws.shape}; "
            "expected (task, model) and (task, draw, model)."
        )
    if not np.isfinite(values).all():
        raise ValueError(
            f"{int((~np.isfinite(values)).any(axis=1).sum())} of {n_tasks} tasks lack the value of "
            "a model; leave out these tasks."
        )
    ranks, of_draws = _rank(values), _rank(draws)
    low, high, _ = find_percentiles(of_draws.swapaxes(0, 1))
    mean_low, mean_high, _ = find_percentiles(of_draws.mean(axis=0))
    statistic, p_value = np.nan, np.nan
    if (ranks != ranks.mean()).any():  # else the statistic divides by nothing
        statistic, p_value = friedmanchisquare(*values.T)
    return MeanRanks(
        ranks,
        low,
        high,
        ranks.mean(axis=0),
        mean_low,
        mean_high,
        float(statistic),
        float(p_value),
        find_critical_difference(n_models, n_tasks, alpha),
        alpha,
    )


def _rank(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks over the last axis, 1 for the highest; all NaN where one is."""
    from scipy.stats import rankdata

    ranks: NDArray[np.float64] = rankdata(-values, axis=-1)
    return ranks


def find_critical_difference(n_models: int, n_tasks: int, alpha: float = 0.05) -> float:
    """By how much two mean ranks must differ, by Nemenyi's test for all pairs of models.

    q √(k (k + 1) / 6N), where q is the studentized range's upper quantile for k models and infinite
    degrees of freedom, divided by √2 (Demšar 2006, section 3.2.2).

    >>> round(find_critical_difference(4, 14), 2), round(find_critical_difference(5, 30, 0.1), 2)
    (1.25, 1.0)
    """
    from scipy.stats import studentized_range

    q = studentized_range.isf(alpha, n_models, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(n_models * (n_models + 1) / (6 * n_tasks)))


def find_cliques(
    mean_ranks: NDArray[np.float64], critical_difference: float
) -> list[tuple[float, float]]:
    """Longest runs of mean ranks that do not differ: first and last rank of each.

    >>> find_cliques(np.array([1.0, 3.5, 1.5, 2.4]), 1.0)
    [(1.0, 1.5), (1.5, 2.4)]
    """
    ordered = np.sort(mean_ranks)
    ends = np.searchsorted(ordered, ordered + critical_difference, side="right") - 1
    # A run that ends where the one before it ends lies within it.
    is_longest = np.diff(ends, prepend=-1) > 0
    runs = zip(np.flatnonzero(is_longest), ends[is_longest], strict=True)
    return [(float(ordered[i]), float(ordered[j])) for i, j in runs if i < j]


def draw_critical_difference(
    mean_ranks: NDArray[np.float64], critical_difference: float, names: Sequence[str]
) -> bytes:
    """Draw mean ranks on a line, best at the left; a bar joins models that do not differ.

    Parameters
    ----------
    mean_ranks
        ``(model,)``, two models at least.
    critical_difference
        As of `find_critical_difference`, above the line.
    names
        Of the models.

    Returns
    -------
    bytes
        A PNG.
    """
    n_models = len(mean_ranks)
    n_left = (n_models + 1) // 2
    bars = find_cliques(mean_ranks, critical_difference)
    top = 0.6 + 0.35 * len(bars)
    depth = top + 0.55 * n_left
    width = 5 + 0.16 * max(len(name) for name in names)
    figure, [[axes]] = make_figure(width, 0.9 + 0.42 * depth)
    axes.set_axis_off()
    last = max(n_models, 1 + critical_difference)
    axes.set(xlim=(0.95, last + 0.05), ylim=(-depth, 1.9))
    line: dict[str, Any] = {"color": INK, "linewidth": 1.2}
    text: dict[str, Any] = {"color": INK, "fontsize": 8, "va": "bottom"}
    axes.plot([1, n_models], [0, 0], **line)
    for rank in range(1, n_models + 1):
        axes.plot([rank, rank], [0, 0.15], **line)
        axes.text(rank, 0.25, str(rank), ha="center", **text)
    axes.plot([1, 1 + critical_difference], [1.1, 1.1], **line)
    axes.text(1, 1.25, f"critical difference {critical_difference:.2f}", **text)
    for row, (first, final) in enumerate(bars):
        y = -0.3 - 0.35 * row
        axes.plot([first - 0.02, final + 0.02], [y, y], color=INK, linewidth=3.2)
    for place, model in enumerate(np.argsort(mean_ranks, kind="stable")):
        is_left = place < n_left
        y = -top - 0.55 * (place if is_left else n_models - 1 - place)
        end = 0.96 if is_left else n_models + 0.04
        axes.plot([mean_ranks[model]] * 2 + [end], [0, y, y], color=MUTED, linewidth=0.9)
        parts = (names[model], f"{mean_ranks[model]:.2f}")
        label = "  ".join(parts if is_left else parts[::-1])
        text |= {"va": "center", "ha": "right" if is_left else "left"}
        axes.text(end, y, f"{label} " if is_left else f" {label}", **text)
    return to_png(figure)
