from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from ecg_assets.metrics.calibration import fit_line
from ecg_assets.metrics.intervals import (
    BootstrapIntervals,
    bootstrap_by_patient,
    describe_labels,
    draw_patients,
)
from ecg_assets.metrics.metrics import METRICS, places_of
from ecg_assets.models.predictions import Predictions
from ecg_assets_tests.evaluation.simulation import simulate_predictions

THRESHOLDS = np.array([0.3, 0.5, 0.7])
Metric = Callable[[NDArray[np.uint8], NDArray[np.float64], NDArray[np.bool_]], float]
BY_SCIKIT_LEARN: dict[str, Metric] = {
    "auroc": lambda target, score, called: roc_auc_score(target, score),
    "auprc": lambda target, score, called: average_precision_score(target, score),
    "f1": lambda target, score, called: f1_score(target, called),
    "sensitivity": lambda target, score, called: recall_score(target, called),
    "specificity": lambda target, score, called: recall_score(1 - target, ~called),
    "ppv": lambda target, score, called: precision_score(target, called),
    "npv": lambda target, score, called: precision_score(1 - target, ~called),
    "brier": lambda target, score, called: brier_score_loss(target, score),
}


def _bootstrap(
    p: Predictions, *, n_resamples: int, seed: int = 0, is_pooled: bool = False
) -> BootstrapIntervals:
    return bootstrap_by_patient(
        p.target,
        p.score,
        THRESHOLDS[: len(p.vocabulary)],
        p.subject_ids,
        n_resamples=n_resamples,
        generator=np.random.default_rng(seed),
        is_pooled=is_pooled,
        least_patients=1,
    )


def _resampled_rows(subject_ids: NDArray[np.str_], n_resamples: int) -> list[NDArray[np.intp]]:
    """Rows of each resample written out: a patient drawn twice has all its rows twice."""
    patients = np.unique(subject_ids)
    (counts,) = draw_patients(len(patients), n_resamples, np.random.default_rng(0))
    of_patient = [np.flatnonzero(subject_ids == patient) for patient in patients]
    return [
        np.concatenate([np.tile(rows, n) for rows, n in zip(of_patient, row, strict=True)])
        for row in counts
    ]


def test_intervals_equal_those_of_scikit_learn_on_rows_written_out() -> None:
    """Same draws; each label, and macro, weighted and micro as scikit-learn averages."""
    p, n = simulate_predictions(150), 40
    found = _bootstrap(p, n_resamples=n, is_pooled=True)
    score = p.score.astype(np.float64)
    called = score >= THRESHOLDS
    draws = np.empty((n, 6, len(BY_SCIKIT_LEARN)))
    for draw, rows in enumerate(_resampled_rows(p.subject_ids, n)):
        for column, metric in enumerate(BY_SCIKIT_LEARN.values()):
            target = p.target[rows]
            by_label = [metric(target[:, k], score[rows, k], called[rows, k]) for k in range(3)]
            draws[draw, :3, column] = by_label
            draws[draw, 3, column] = np.mean(by_label)
            draws[draw, 4, column] = np.average(by_label, weights=target.sum(axis=0))
            flat = target.ravel(), score[rows].ravel(), called[rows].ravel()
            draws[draw, 5, column] = metric(*flat)
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    np.testing.assert_allclose(found.low[:, : len(BY_SCIKIT_LEARN)], low, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.high[:, : len(BY_SCIKIT_LEARN)], high, rtol=0, atol=1e-9)


def test_interval_of_calibration_is_near_the_one_of_lines_fitted_again() -> None:
    """One Newton step from the full data's line stands for a new fit in each resample."""
    p, n = simulate_predictions(600, n_labels=1), 150
    found = _bootstrap(p, n_resamples=n)
    refitted = np.array(
        [fit_line(p.target[r, 0], p.score[r, 0]) for r in _resampled_rows(p.subject_ids, n)]
    )
    low, high = np.percentile(refitted, [2.5, 97.5], axis=0)
    columns = places_of(["calibration_slope", "calibration_intercept"])
    allowed = 0.1 * (high - low)
    assert (np.abs(found.low[0, columns] - low) < allowed).all()
    assert (np.abs(found.high[0, columns] - high) < allowed).all()


def test_calibration_error_is_resampled_by_bins() -> None:
    p, n = simulate_predictions(90), 30
    found = _bootstrap(p, n_resamples=n)
    column = places_of(["ece"])[0]
    draws = [
        describe_labels(p.target[rows], p.score[rows], THRESHOLDS)[:, column]
        for rows in _resampled_rows(p.subject_ids, n)
    ]
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    np.testing.assert_allclose(found.low[:3, column], low, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.high[:3, column], high, rtol=0, atol=1e-9)


def test_size_of_blocks_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    p = simulate_predictions(120, decimals=6)
    expected = _bootstrap(p, n_resamples=30, is_pooled=True)
    for counts, cells in ((1, 1), (7 * 40, 500), (10**9, 10**9)):
        monkeypatch.setattr("ecg_assets.metrics.intervals._MOST_COUNTS", counts)
        monkeypatch.setattr("ecg_assets.metrics.ranks._MOST_CELLS", cells)
        found = _bootstrap(p, n_resamples=30, is_pooled=True)
        assert found.low.tobytes() == expected.low.tobytes()
        assert found.high.tobytes() == expected.high.tobytes()


def test_intervals_cover_the_true_value_in_95_percent_of_studies() -> None:
    """100 simulated studies of 10 labels and 300 patients, each with 1 to 3 recordings.

    The label is the patient's; a recording's log odds is the label, plus a patient's own
    shift and a recording's noise (variance 1 each). So recordings of a patient are
    strongly correlated, and the true values are known: a pair of patients is ranked right
    with probability Φ(1.2 / 2), a threshold of 0.5 has a sensitivity of Φ(0.6 / √2) and as
    much specificity.
    """
    generator, truth = np.random.default_rng(0), norm.cdf([1.2 / 2, 0.6 / 2**0.5, 0.6 / 2**0.5])
    columns = places_of(("auroc", "sensitivity", "specificity"))
    covered = []
    for study in range(100):
        patient = np.repeat(np.arange(300), generator.integers(1, 4, 300))
        target = (generator.random((300, 10)) < 0.5).astype(np.uint8)[patient]
        noise = generator.normal(size=(300, 10))[patient] + generator.normal(size=target.shape)
        found = bootstrap_by_patient(
            target,
            expit(1.2 * target - 0.6 + noise),
            np.full(10, 0.5),
            patient,
            n_resamples=500,
            generator=np.random.default_rng(study),
            has_lines=False,
        )
        low, high = found.low[:10, columns], found.high[:10, columns]
        covered.append((low <= truth) & (truth <= high))
    shares = np.mean(covered, axis=(0, 1))
    assert ((shares >= 0.93) & (shares <= 0.97)).all(), shares


def test_copies_of_a_patients_record_do_not_narrow_the_interval() -> None:
    """Ten copies of each record under its patient hold no more information than one."""
    p = simulate_predictions(60)
    widths = []
    for copies in (1, 10):
        found = bootstrap_by_patient(
            np.repeat(p.target, copies, axis=0),
            np.repeat(p.score, copies, axis=0),
            THRESHOLDS,
            np.repeat(p.subject_ids, copies),
            n_resamples=100,
            generator=np.random.default_rng(0),
        )
        widths.append(found.high - found.low)
    np.testing.assert_allclose(widths[0], widths[1], rtol=0, atol=1e-7)


def test_label_that_loses_a_class_in_most_resamples_has_no_interval() -> None:
    p = simulate_predictions(40)
    p.target[:, 2] = 0
    p.target[0, 2] = 1
    p.subject_ids[:] = np.arange(40).astype(str)
    share = _bootstrap(p, n_resamples=200).n_undefined[2, places_of(["auroc"])[0]] / 200
    # A patient is missing from a resample with probability 1/e.
    assert 0.25 < share < 0.5
    p.target[0, 2] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = _bootstrap(p, n_resamples=20)
    assert np.isnan(found.low[2, places_of(["auroc"])[0]])


def test_interval_of_sensitivity_is_near_the_textbook_one() -> None:
    """One record a patient: the bootstrap of a proportion is close to the normal interval."""
    p = simulate_predictions(600, n_labels=1)
    p.subject_ids[:] = np.arange(600).astype(str)
    found = _bootstrap(p, n_resamples=1000)
    positive = p.target[:, 0] == 1
    share = (p.score[positive, 0].astype(np.float64) >= THRESHOLDS[0]).mean()
    half = 1.96 * np.sqrt(share * (1 - share) / positive.sum())
    column = places_of(["sensitivity"])[0]
    assert abs(found.low[0, column] - (share - half)) < 0.25 * half
    assert abs(found.high[0, column] - (share + half)) < 0.25 * half


def _interval(found: BootstrapIntervals, metric: str, row: int = 0) -> tuple[float, float]:
    column = list(METRICS).index(metric)
    return float(found.low[row, column]), float(found.high[row, column])


def _perfect(
    n_patients: int, *, records: int = 1, wrong: bool = False, least_patients: int = 1
) -> BootstrapIntervals:
    """Every positive and every negative is called right; or every one wrong."""
    target = np.tile([1, 0], n_patients * records).astype(np.uint8)[:, np.newaxis]
    score = np.where((target == 1) ^ wrong, 0.9, 0.1)
    patients = np.repeat(np.arange(2 * n_patients), records)
    return bootstrap_by_patient(
        target if records == 1 else np.repeat(target[: 2 * n_patients], records, axis=0),
        score if records == 1 else np.repeat(score[: 2 * n_patients], records, axis=0),
        np.array([0.5]),
        patients,
        n_resamples=200,
        generator=np.random.default_rng(0),
        least_patients=least_patients,
    )


@pytest.mark.parametrize("n", [2, 10])
def test_all_right_is_no_certainty(n: int) -> None:
    """Clopper and Pearson's interval of n of n is [0.025 ** (1 / n), 1]."""
    found = _perfect(n)
    for metric in ("sensitivity", "specificity", "ppv", "npv"):
        assert _interval(found, metric) == pytest.approx((0.025 ** (1 / n), 1.0))
    for metric in ("auroc", "auprc", "f1", "brier"):
        assert np.isnan(_interval(found, metric)).all()


def test_all_wrong_is_no_certainty() -> None:
    assert _interval(_perfect(2, wrong=True), "sensitivity") == pytest.approx((0.0, 1 - 0.025**0.5))


def test_recordings_of_a_patient_are_no_further_trials() -> None:
    assert _interval(_perfect(2, records=20), "sensitivity") == pytest.approx((0.025**0.5, 1.0))


def test_one_patient_has_no_interval_but_the_exact_one() -> None:
    generator = np.random.default_rng(1)
    target = generator.integers(0, 2, (40, 1), np.uint8)
    found = bootstrap_by_patient(
        target,
        generator.random((40, 1)),
        np.array([0.5]),
        np.zeros(40, int),
        n_resamples=50,
        generator=generator,
        is_pooled=True,
        least_patients=1,
    )
    assert np.isfinite(found.values).all()
    assert np.isnan(found.low).all() and np.isnan(found.high).all()


@pytest.mark.parametrize(("n_patients", "has_intervals"), [(29, False), (30, True)])
def test_few_patients_have_no_interval(n_patients: int, has_intervals: bool) -> None:
    """However many recordings they have: neither a resampled one nor an exact one."""
    p = simulate_predictions(300)
    p.score[p.target[:, 0] == 1, 0] = 1.0
    found = bootstrap_by_patient(
        p.target,
        p.score,
        THRESHOLDS,
        np.arange(300) % n_patients,
        n_resamples=50,
        generator=np.random.default_rng(0),
        is_pooled=True,
    )
    assert np.isfinite(found.values[:, :3]).all()
    for ends in (_interval(found, "auroc", 1), _interval(found, "sensitivity", 0)):
        assert np.isfinite(ends).all() == has_intervals
    assert np.isfinite(found.low).any() == has_intervals


def test_positives_of_one_patient_have_no_interval() -> None:
    """All that a resample can do is take the patient or not: nothing is learnt of others."""
    target = np.zeros((40, 1), np.uint8)
    target[:2] = 1
    found = bootstrap_by_patient(
        target,
        np.r_[0.9, 0.9, np.linspace(0.12, 0.4, 38)][:, np.newaxis],
        np.array([0.5]),
        np.r_[0, np.arange(39)],
        n_resamples=200,
        generator=np.random.default_rng(0),
    )
    assert found.values[0, list(METRICS).index("auroc")] == 1
    assert np.isnan(_interval(found, "auroc")).all()
