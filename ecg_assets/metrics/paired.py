"""Macro AUROC of many models on the same recordings, two by two: intervals and p-values.

Both move whole patients. An interval says how large a difference may be, a p-value how often one so
large arises between interchangeable models. Equal areas under curves of unlike shape are not quite
that; of simulated studies with threefold spread of the positives' scores in one of the models, 5 to
7 % have p ≤ 0.05.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_assets.known import is_known, keep_known
from ecg_assets.metrics.intervals import (
    LEAST_PATIENTS,
    find_percentiles,
    undefined_if_constant,
)
from ecg_assets.metrics.published_intervals import (
    Resampling,
    Undefined,
    find_two_class_labels,
    resample_macro,
)

_MOST_SIGNS = 2**21
"""Signs of patients held at a time."""

_ROUNDING = 1e-12
"""Part of the largest possible sum by which equal sums may differ."""


@dataclass(frozen=True)
class ModelComparison:
    """Models on one task, two by two.

    Attributes
    ----------
    values, low, high
        Macro AUROC of each model and its 95 % interval, float64 ``(model,)``.
    pairs
        Numbers of the models of each pair, intp ``(pair, 2)``.
    difference, difference_low, difference_high
        First minus second of the pair and its paired 95 % interval, float64 ``(pair,)``. NaN
        where undefined.
    p_value, p_holm
        Two-sided, by permutation; and adjusted for all pairs. Float64 ``(pair,)``.
    draws
        Macro AUROC in each resample, ``(draw, model)``: all models on the same patients.
    n_undefined
        Resamples without a value, in which a label has one class only.
    labels
        Columns that the mean is over, intp.
    """

    values: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    pairs: NDArray[np.intp]
    difference: NDArray[np.float64]
    difference_low: NDArray[np.float64]
    difference_high: NDArray[np.float64]
    p_value: NDArray[np.float64]
    p_holm: NDArray[np.float64]
    draws: NDArray[np.float64]
    n_undefined: int
    labels: NDArray[np.intp]


def compare_models(
    target: NDArray[np.uint8],
    scores: NDArray[np.floating[Any]],
    subject_ids: NDArray[Any],
    *,
    n_resamples: int,
    n_permutations: int,
    generator: np.random.Generator,
    is_redrawn: bool = False,
    least_patients: int = LEAST_PATIENTS,
) -> ModelComparison:
    """Compare the macro AUROC of models two by two.

    Parameters
    ----------
    target
        0 or 1 or `NOT_MEASURED`, ``(record, label)``. The mean is over the labels that have
        both classes.
    scores
        Without NaN, on any scale, ``(model, record, label)``.
    subject_ids
        Patient of each record.
    is_redrawn
        Whether a resample in which a label has one class only is drawn again (`Undefined.REDRAW`),
        so that a task of rare labels has an interval; otherwise it is undefined.
    least_patients
        Of fewer there is neither interval nor p-value.

    Raises
    ------
    ValueError
        When shapes do not fit or a score is NaN.
    """
    for_draws, for_signs = generator.spawn(2)
    names, patient = np.unique(subject_ids, return_inverse=True)
    is_enough = len(names) >= least_patients
    rule = Resampling(
        n_resamples=n_resamples if is_enough else 0,
        undefined=Undefined.REDRAW if is_redrawn else Undefined.UNDEFINED,
    )
    values, draws = resample_macro(target, scores, subject_ids, rule, for_draws)
    pairs = np.array(list(combinations(range(len(scores)), 2)), np.intp).reshape(-1, 2)
    own, between = find_percentiles(draws), find_percentiles(_subtract(draws, pairs))
    low, high = undefined_if_constant(*between[:2])
    labels = find_two_class_labels(target)
    # Of equal scores it is known that nothing differs.
    is_same = _find_equal_pairs(target, scores, pairs, labels)
    low[is_same], high[is_same] = between[0][is_same], between[1][is_same]
    p_value = np.full(len(pairs), np.nan)
    if is_enough and n_permutations and len(labels):
        weights = swap_weights(target[:, labels], scores[:, :, labels], patient, pairs)
        p_value = permute_signs(weights, n_permutations, for_signs)
    return ModelComparison(
        values,
        *undefined_if_constant(*own[:2]),
        pairs=pairs,
        difference=_subtract(values[np.newaxis], pairs)[0],
        difference_low=low,
        difference_high=high,
        p_value=p_value,
        p_holm=adjust_by_holm(p_value),
        draws=draws,
        n_undefined=int(np.isnan(draws).any(axis=1).sum()),
        labels=labels,
    )


def _subtract(values: NDArray[np.float64], pairs: NDArray[np.intp]) -> NDArray[np.float64]:
    difference: NDArray[np.float64] = values[:, pairs[:, 0]] - values[:, pairs[:, 1]]
    return difference


def _find_equal_pairs(
    target: NDArray[np.uint8],
    scores: NDArray[np.floating[Any]],
    pairs: NDArray[np.intp],
    labels: NDArray[np.intp],
) -> NDArray[np.bool_]:
    known = is_known(target[:, labels])
    seen = scores[:, :, labels]
    return np.array([bool((seen[i] == seen[j])[known].all()) for i, j in pairs], bool)


def swap_weights(
    target: NDArray[np.uint8],
    scores: NDArray[np.floating[Any]],
    patient: NDArray[np.intp],
    pairs: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Find what each patient adds to a difference of macro AUROCs, and takes from it when swapped.

    Two models' scores are on two scales, and cannot take each other's place; their ranks within
    the model can, which are all that an AUROC depends on (Venkatraman and Begg 1996,
    doi:10.1093/biomet/83.4.835, for curves; Bandos, Rockette and Gur 2005,
    doi:10.1002/sim.2149, for areas). Ranks are of each label by itself. Of ranks ``a``, ``b`` of
    the two models, with s = 1 for a recording that keeps its own and −1 for one that is swapped,
    the difference of the two areas after swapping is

        Σ s_i Σ_j [K(a_i, a_j) + K(a_i, b_j) − K(b_i, a_j) − K(b_i, b_j)] / 2mn
      + Σ s_j Σ_i [K(a_i, a_j) + K(b_i, a_j) − K(a_i, b_j) − K(b_i, b_j)] / 2mn

    over the m positives i and n negatives j, where K is 1, ½ or 0 as the first rank is higher,
    equal or lower: each of the four cases of s_i and s_j gives what it should. It is linear in s,
    so that a permutation is a sum over patients and no ranking.

    Parameters
    ----------
    target
        ``(record, label)``; each label has both classes.
    scores
        ``(model, record, label)``.
    patient
        Number of each record's patient, from 0.
    pairs
        ``(pair, 2)``.

    Returns
    -------
    NDArray
        ``(pair, patient)``; the sum over patients is the difference itself.
    """
    from scipy.stats import rankdata

    n_patients, n_labels = int(patient.max(initial=-1)) + 1, target.shape[1]
    weights = np.zeros((len(pairs), n_patients))
    for k in range(n_labels):
        known, (moves_with, *of_models) = keep_known(target[:, k], patient, *scores[:, :, k])
        ranks = rankdata(np.stack(of_models), axis=1)
        for row, (first, second) in enumerate(pairs):
            of_records = _swap_weights(known == 1, ranks[first], ranks[second])
            weights[row] += np.bincount(moves_with, of_records, n_patients) / n_labels
    return weights


def _swap_weights(
    positive: NDArray[np.bool_], first: NDArray[np.float64], second: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weights ``(record,)`` of one label."""
    result: NDArray[np.float64] = np.empty(len(positive))
    for chosen in (positive, ~positive):
        others = np.sort(np.r_[first[~chosen], second[~chosen]])
        result[chosen] = _count_below(others, first[chosen]) - _count_below(others, second[chosen])
    # The higher a negative stands, the smaller the area.
    result[~positive] *= -1
    result /= 2 * positive.sum() * (~positive).sum()
    return result


def _count_below(ordered: NDArray[np.float64], ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many are lower, an equal one counting half."""
    lower = np.searchsorted(ordered, ranks, "left")
    return np.asarray((lower + np.searchsorted(ordered, ranks, "right")) / 2, np.float64)


def permute_signs(
    weights: NDArray[np.float64], n_permutations: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Two-sided p-values of sums whose terms are equally likely of either sign.

    (1 + b) / (1 + B), where b of B permutations are at least as far from 0 (Phipson and Smyth 2010,
    doi:10.2202/1544-6115.1585); so never 0.

    Parameters
    ----------
    weights
        ``(pair, patient)``.

    Returns
    -------
    NDArray
        ``(pair,)``. The same signs are given to all pairs.

    >>> permute_signs(np.array([[0.0] * 60, [1.0] * 60]), 99, np.random.default_rng(0)).tolist()
    [1.0, 0.01]
    """
    n_patients = weights.shape[1]
    least = np.abs(weights.sum(axis=1)) - _ROUNDING * np.abs(weights).sum(axis=1)
    n_as_far = np.zeros(len(weights), np.int64)
    step = max(1, _MOST_SIGNS // max(n_patients, 1))
    for start in range(0, n_permutations, step):
        is_kept = generator.random((min(step, n_permutations - start), n_patients)) < 0.5
        sums = np.where(is_kept, 1.0, -1.0) @ weights.T
        n_as_far += (np.abs(sums) >= least).sum(axis=0)
    return (1 + n_as_far) / (1 + n_permutations)


def adjust_by_holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjust p-values for their number: Holm 1979 (https://www.jstor.org/stable/4615733).

    Parameters
    ----------
    p_values
        ``(pair,)``; NaN stays NaN and is not counted.

    >>> adjust_by_holm(np.array([0.01, 0.04, np.nan, 0.03])).round(4).tolist()
    [0.03, 0.06, nan, 0.06]
    """
    result = np.full(len(p_values), np.nan)
    order = np.argsort(p_values)[: np.isfinite(p_values).sum()]  # NaN are last
    factors = np.arange(len(order), 0, -1)
    result[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1)
    return result
