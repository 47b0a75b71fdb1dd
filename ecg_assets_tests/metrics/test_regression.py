"""Metrics of numbers against scikit-learn and scipy, and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from ecg_assets.metrics.regression import NUMBER_METRICS, bootstrap_numbers, describe_numbers

ORDER = list(NUMBER_METRICS)
N = 300


def _numbers(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    target = generator.normal((70.0, 3000.0), (12.0, 5.0), (N, 2)).astype(np.float32)
    score = (target + generator.normal(0, (8, 4), (N, 2))).astype(np.float32)
    target[generator.random(N) < 0.4, 1] = np.nan
    return target, score, np.repeat(np.arange(N // 2), 2)


def test_values_are_those_of_scikit_learn_on_the_measured_rows() -> None:
    target, score, _ = _numbers()
    found = describe_numbers(target, score)
    for k in range(2):
        known = ~np.isnan(target[:, k])
        pair = target[known, k].astype(float), score[known, k].astype(float)
        expected = {
            "r2": r2_score(*pair),
            "mae": mean_absolute_error(*pair),
            "rmse": root_mean_squared_error(*pair),
            "pearson": pearsonr(*pair).statistic,
        }
        np.testing.assert_allclose(found[k], [expected[name] for name in ORDER], rtol=1e-9)


def test_intervals_are_those_of_drawn_patients() -> None:
    target, score, patients = _numbers()
    found = bootstrap_numbers(
        target, score, patients, n_resamples=200, generator=np.random.default_rng(5)
    )
    generator, n_patients, draws = np.random.default_rng(5), N // 2, []
    for _ in range(200):
        drawn = generator.integers(0, n_patients, n_patients)
        rows = np.concatenate([np.flatnonzero(patients == p) for p in drawn])
        draws.append(describe_numbers(target[rows], score[rows]))
    low, high = np.nanpercentile(np.array(draws), [2.5, 97.5], axis=0)
    np.testing.assert_allclose(found.low[:2], low, rtol=1e-8)
    np.testing.assert_allclose(found.high[:2], high, rtol=1e-8)


def test_interval_of_r2_holds_the_true_value_in_most_studies() -> None:
    holds = []
    for seed in range(120):
        generator = np.random.default_rng([7, seed])
        signal = np.repeat(generator.normal(size=100), 2)
        target = (signal + generator.normal(size=200))[:, None]
        found = bootstrap_numbers(
            target, signal[:, None], np.repeat(np.arange(100), 2), n_resamples=200,
            generator=generator,
        )  # fmt: skip
        holds.append(found.low[0, 0] <= 0.5 <= found.high[0, 0])
    assert 0.88 <= np.mean(holds) <= 0.99


def test_means_are_over_targets_of_what_has_no_unit() -> None:
    target, score, patients = _numbers()
    found = bootstrap_numbers(
        target, score, patients, n_resamples=20, generator=np.random.default_rng(0)
    )
    r2, mae = ORDER.index("r2"), ORDER.index("mae")
    assert found.values[2, r2] == pytest.approx(found.values[:2, r2].mean())
    assert np.isnan(found.values[2, mae])
    one = bootstrap_numbers(
        target[:, :1], score[:, :1], patients, n_resamples=20, generator=np.random.default_rng(0)
    )
    assert one.values[1, mae] == one.values[0, mae]


def test_what_cannot_be_measured_is_undefined() -> None:
    target, score, patients = _numbers()
    target[:, 1] = np.nan
    target[:, 0] = 7.0
    found = bootstrap_numbers(
        target, score, patients, n_resamples=20, generator=np.random.default_rng(0)
    )
    assert np.isnan(found.values[1]).all()
    assert np.isnan(found.values[0, ORDER.index("r2")])
    assert np.isfinite(found.values[0, ORDER.index("mae")])
    assert found.n.tolist() == [N, 0]


def test_target_measured_of_few_patients_has_no_interval() -> None:
    target, score, patients = _numbers()
    target[40:, 1] = np.nan
    found = bootstrap_numbers(
        target, score, patients, n_resamples=20, generator=np.random.default_rng(0)
    )
    assert np.isnan(found.low[1]).all()
    assert np.isfinite(found.low[0]).all()
