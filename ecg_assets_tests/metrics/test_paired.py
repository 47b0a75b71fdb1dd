from __future__ import annotations

from dataclasses import fields
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import kstest, norm, rankdata
from sklearn.metrics import roc_auc_score

from ecg_assets.known import NOT_MEASURED
from ecg_assets.metrics.paired import (
    ModelComparison,
    adjust_by_holm,
    compare_models,
    permute_signs,
    swap_weights,
)
from ecg_assets_tests.test_readme import ROOT

Study = tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.intp]]
PAIR = np.array([[0, 1]])


def _simulate(
    seed: int,
    *,
    n_patients: int = 100,
    n_models: int = 2,
    n_labels: int = 2,
    gain: float = 0.0,
    decimals: int = 9,
    most_records: int = 3,
) -> Study:
    """One or more recordings a patient, whose shift a model sees in all of them.

    The first model separates the classes better by the gain; the others are interchangeable.
    """
    generator = np.random.default_rng(seed)
    patient = np.repeat(np.arange(n_patients), generator.integers(1, most_records + 1, n_patients))
    target = (generator.random((n_patients, n_labels)) < 0.3).astype(np.uint8)[patient]
    shift = generator.normal(size=(1 + n_models, n_patients, n_labels))[:, patient]
    noise = generator.normal(size=(n_models, *target.shape))
    score = 1.2 * target + shift[0] + shift[1:] + noise
    score[0] += gain * target
    return target, score.round(decimals), patient


def _compare(study: Study, n_resamples: int = 0, n_permutations: int = 0) -> ModelComparison:
    generator = np.random.default_rng(7)
    return compare_models(
        *study, n_resamples=n_resamples, n_permutations=n_permutations, generator=generator
    )


def _macro(target: NDArray[np.uint8], score: NDArray[Any]) -> float:
    """Scikit-learn's, label by label over what is known."""
    known = [target[:, k] != NOT_MEASURED for k in range(target.shape[1])]
    areas = [roc_auc_score(target[rows, k], score[rows, k]) for k, rows in enumerate(known)]
    return float(np.mean(areas))


def test_paired_interval_equals_a_loop_over_drawn_patients() -> None:
    target, scores, patient = _simulate(1, n_models=3, decimals=1)
    target[::4, 1] = NOT_MEASURED
    found = _compare((target, scores, patient), n_resamples=60)
    generator = np.random.default_rng(7).spawn(2)[0]
    draws = np.empty((60, 3))
    for draw in draws:
        drawn = generator.integers(0, 100, 100)
        rows = np.concatenate([np.flatnonzero(patient == one) for one in drawn])
        draw[:] = [_macro(target[rows], score[rows]) for score in scores]
    np.testing.assert_allclose(found.draws, draws, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.values, [_macro(target, s) for s in scores], atol=1e-12)
    for row, (i, j) in enumerate(((0, 1), (0, 2), (1, 2))):
        assert found.pairs[row].tolist() == [i, j]
        assert found.difference[row] == pytest.approx(found.values[i] - found.values[j])
        low, high = np.percentile(draws[:, i] - draws[:, j], [2.5, 97.5])
        ends = (found.difference_low[row], found.difference_high[row])
        assert ends == pytest.approx((low, high), abs=1e-12)
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    np.testing.assert_allclose([found.low, found.high], [low, high], rtol=0, atol=1e-12)


def test_each_swap_of_patients_equals_ranking_again_with_scikit_learn() -> None:
    """All 2 ** 6 swaps of six patients, with ties, a label that is not known of all, two scales."""
    target, scores, patient = _simulate(3, n_patients=6, decimals=0)
    target[:, :] = np.arange(len(patient))[:, np.newaxis] % 3 == [0, 1]
    target[2, 1] = NOT_MEASURED
    scores[1] = np.exp(5 * scores[1])
    ranks = np.empty_like(scores)
    for model, k in product(range(2), range(2)):
        known = target[:, k] != NOT_MEASURED
        ranks[model, known, k] = rankdata(scores[model, known, k])
    signs = np.array(list(product((1, -1), repeat=6)))
    weights = swap_weights(target, scores, patient, PAIR)[0]
    differences = []
    for is_kept in signs[:, patient, np.newaxis] > 0:
        first = np.where(is_kept, ranks[0], ranks[1])
        second = np.where(is_kept, ranks[1], ranks[0])
        differences.append(_macro(target, first) - _macro(target, second))
    np.testing.assert_allclose(signs @ weights, differences, rtol=0, atol=1e-12)
    exact = np.mean(np.abs(differences) >= abs(differences[0]) - 1e-12)
    assert 0.02 < exact < 0.98
    found = permute_signs(weights[np.newaxis], 9999, np.random.default_rng(0))[0]
    # Four standard errors of 9,999 draws.
    assert abs(found - exact) < 4 * np.sqrt(exact * (1 - exact) / 9999) + 1e-4


def _p_values(n_studies: int, *, gain: float = 0.0, is_rank: bool = True) -> NDArray[np.float64]:
    """Of two models, the second on a scale far from that of the first."""
    result = np.empty(n_studies)
    for seed in range(n_studies):
        target, scores, patient = _simulate(seed, gain=gain)
        scores[1] = 1000 + np.exp(3 * scores[1])
        if is_rank:
            weights = swap_weights(target, scores, patient, PAIR)
        else:
            weights = _weights_of_raw_scores(target, scores, patient)
        result[seed] = permute_signs(weights, 199, np.random.default_rng(seed))[0]
    return result


def _weights_of_raw_scores(
    target: NDArray[np.uint8], scores: NDArray[np.float64], patient: NDArray[np.intp]
) -> NDArray[np.float64]:
    """What one would do without thinking of scales: the same with scores in the place of ranks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scipy.stats.rankdata", lambda values, axis: values)
        return swap_weights(target, scores, patient, PAIR)


def test_p_values_are_uniform_between_models_that_are_interchangeable() -> None:
    p_values = _p_values(400)
    assert kstest(p_values, "uniform").pvalue > 0.01
    # Four standard errors of 400 studies.
    assert abs((p_values <= 0.05).mean() - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 400)


def test_scores_that_are_swapped_without_ranks_give_no_p_values() -> None:
    """The same studies: neither uniform between alike models, nor small between unlike ones."""
    assert kstest(_p_values(200, is_rank=False), "uniform").pvalue < 1e-6
    assert (_p_values(100, gain=1.0, is_rank=False) <= 0.05).mean() < 0.4
    assert (_p_values(100, gain=1.0) <= 0.05).mean() > 0.8


def test_equal_areas_under_unlike_curves_are_seldom_told_apart() -> None:
    """Scores of positives are spread thrice as far in one model; both areas are Φ(1 / √2)."""
    p_values = np.empty(1000)
    for seed in range(1000):
        generator = np.random.default_rng(seed)
        patient = np.repeat(np.arange(100), generator.integers(1, 4, 100))
        target = (generator.random((100, 1)) < 0.1).astype(np.uint8)[patient]
        noise = generator.normal(size=(2, *target.shape))
        wide = 5**0.5 * target + noise[1] * np.where(target == 1, 3, 1)
        weights = swap_weights(target, np.stack([target + noise[0], wide]), patient, PAIR)
        p_values[seed] = permute_signs(weights, 199, generator)[0]
    # 0.06, and four standard errors of 1,000 studies.
    assert (p_values <= 0.05).mean() < 0.09


def test_p_value_does_not_depend_on_the_scale_of_scores() -> None:
    target, scores, patient = _simulate(5, gain=0.3, decimals=3)
    expected = _compare((target, scores, patient), n_permutations=499)
    scores[1] = -1 / (2 + np.exp(scores[1]))
    found = _compare((target, scores, patient), n_permutations=499)
    assert found.p_value.tolist() == expected.p_value.tolist()
    assert 0.002 < found.p_value[0] < 1


def test_swapping_recordings_instead_of_patients_finds_differences_that_are_none() -> None:
    """Five copies of a recording hold no more information than one."""
    by_patient: list[float] = []
    by_record: list[float] = []
    for seed in range(150):
        target, scores, patient = _simulate(seed, n_patients=60, n_labels=1)
        target, patient = np.repeat(target, 5, axis=0), np.repeat(patient, 5)
        scores = np.repeat(scores, 5, axis=1)
        for unit, found in ((patient, by_patient), (np.arange(len(patient)), by_record)):
            weights = swap_weights(target, scores, unit, PAIR)
            found.append(permute_signs(weights, 199, np.random.default_rng(seed))[0])
    assert (np.array(by_patient) <= 0.05).mean() < 0.12
    assert (np.array(by_record) <= 0.05).mean() > 0.4


def test_paired_intervals_over_patients_cover_and_over_recordings_do_not() -> None:
    """100 studies of 6 labels; the true difference of areas follows from the simulation.

    A pair of patients is ranked right with probability Φ(d / √(2 v)), d the distance of the classes
    and v = 3 the variance of a score within one.
    """
    true = norm.cdf(1.8 / 6**0.5) - norm.cdf(1.2 / 6**0.5)
    covered = np.empty((100, 2), bool)
    for seed in range(100):
        target, scores, patient = _simulate(seed, n_labels=6, gain=0.6, most_records=8)
        for column, unit in enumerate((patient, np.arange(len(patient)))):
            found = _compare((target, scores, unit), n_resamples=200)
            low, high = found.difference_low[0], found.difference_high[0]
            covered[seed, column] = low <= true <= high
    shares = covered.mean(axis=0)
    assert 0.9 <= shares[0] <= 0.99, shares
    assert shares[1] < 0.87, shares


def test_equal_models_differ_by_nothing_at_all() -> None:
    target, scores, patient = _simulate(2)
    target[0] = NOT_MEASURED
    scores[1] = scores[0]
    scores[1, 0] = 99  # not looked at
    found = _compare((target, scores, patient), n_resamples=50, n_permutations=99)
    assert found.difference.tolist() == [0]
    assert (found.difference_low[0], found.difference_high[0]) == (0, 0)
    assert found.p_value.tolist() == found.p_holm.tolist() == [1]


def test_few_patients_have_neither_interval_nor_p_value() -> None:
    few, enough = (
        _compare(_simulate(2, n_patients=n), n_resamples=50, n_permutations=50) for n in (29, 30)
    )
    for name in ("low", "high", "difference_low", "difference_high", "p_value", "p_holm"):
        assert np.isnan(getattr(few, name)).all(), name
        assert np.isfinite(getattr(enough, name)).all(), name
    assert np.isfinite(few.values).all() and few.draws.shape == (0, 2)


def test_label_without_a_class_is_in_no_mean_and_a_rare_one_makes_resamples_undefined() -> None:
    target, scores, patient = _simulate(4, n_labels=3)
    target[:, 2] = 0
    target[:, 1] = 0
    target[0, 1] = 1
    found = _compare((target, scores, patient), n_resamples=200, n_permutations=99)
    assert found.labels.tolist() == [0, 1]
    assert found.values == pytest.approx([_macro(target[:, :2], s[:, :2]) for s in scores])
    assert 50 < found.n_undefined < 100  # a patient is missing from a resample with probability 1/e
    assert np.isfinite(found.difference_low[0]) and np.isfinite(found.p_value[0])
    redrawn = compare_models(
        target,
        scores,
        patient,
        n_resamples=200,
        n_permutations=0,
        generator=np.random.default_rng(7),
        is_redrawn=True,
    )
    assert redrawn.n_undefined == 0 and np.isfinite(redrawn.draws).all()
    target[:, :2] = 0
    nothing = _compare((target, scores, patient), n_resamples=20, n_permutations=20)
    assert np.isnan(nothing.values).all() and np.isnan(nothing.p_value).all()


def test_size_of_blocks_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    study = _simulate(6, n_models=3)
    expected = _compare(study, n_resamples=40, n_permutations=200)
    monkeypatch.setattr("ecg_assets.metrics.intervals._MOST_COUNTS", 1)
    monkeypatch.setattr("ecg_assets.metrics.paired._MOST_SIGNS", 300)
    found = _compare(study, n_resamples=40, n_permutations=200)
    for field in fields(found):
        values, others = (np.asarray(getattr(one, field.name)) for one in (found, expected))
        assert values.tobytes() == others.tobytes(), field.name


def test_holm_refuses_what_a_step_by_step_test_refuses() -> None:
    """Rejected at a level: from the smallest on, while p ≤ level / number left."""
    generator = np.random.default_rng(0)
    for _ in range(50):
        p_values = generator.random(6) ** 3
        adjusted = adjust_by_holm(p_values)
        for level in (0.01, 0.05, 0.2):
            rejected: set[int] = set()
            for n_left, place in zip(range(6, 0, -1), np.argsort(p_values), strict=True):
                if p_values[place] > level / n_left:
                    break
                rejected.add(int(place))
            assert set(np.flatnonzero(adjusted <= level)) == rejected


def test_the_page_s_examples_run_as_they_stand() -> None:
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for part in ("# Evaluation\n", "### As papers drew them\n", "## Several models\n"):
        exec(page.split(part)[1].split("```python\n")[1].split("```")[0], names)
    assert names["theirs"].value == pytest.approx(names["ours"].value, abs=1e-12)
    assert names["theirs"].low > names["ours"].low  # percentiles of 90 %, of recordings
    same, *others = names["found"].p_holm
    assert same == 1 and max(others) < 0.01
