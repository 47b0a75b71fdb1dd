from __future__ import annotations

import numpy as np

from ecg_assets.evaluation import bootstrap_by_patient
from ecg_assets.evaluation.metrics import METRICS
from ecg_assets_tests.evaluation.simulation import simulate_predictions

THRESHOLDS = np.full(3, 0.5)


def test_same_seed_gives_the_same_interval() -> None:
    p = simulate_predictions(60)
    found = [
        bootstrap_by_patient(
            p.target,
            p.score,
            THRESHOLDS,
            p.subject_ids,
            n_resamples=50,
            generator=np.random.default_rng(7),
        ).low
        for _ in range(2)
    ]
    np.testing.assert_array_equal(found[0], found[1])


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
        widths.append((found.high - found.low)[:, METRICS.index("auroc")])
    np.testing.assert_allclose(widths[0], widths[1], atol=1e-12)


def test_label_that_loses_a_class_in_most_resamples_has_no_interval() -> None:
    p = simulate_predictions(40)
    target = p.target.copy()
    target[:, 2] = 0
    target[0, 2] = 1
    found = bootstrap_by_patient(
        target,
        p.score,
        THRESHOLDS,
        np.arange(40).astype(str),
        n_resamples=200,
        generator=np.random.default_rng(0),
    )
    share = found.n_undefined[2, METRICS.index("auroc")] / 200
    # A patient is missing from a resample with probability 1/e.
    assert 0.25 < share < 0.5
    target[0, 2] = 0
    found = bootstrap_by_patient(
        target,
        p.score,
        THRESHOLDS,
        p.subject_ids,
        n_resamples=20,
        generator=np.random.default_rng(0),
    )
    assert np.isnan(found.low[2, METRICS.index("auroc")])


def test_interval_of_sensitivity_is_near_the_textbook_one() -> None:
    """One record a patient: the bootstrap of a proportion is close to the normal interval."""
    p = simulate_predictions(600, n_labels=1)
    found = bootstrap_by_patient(
        p.target,
        p.score,
        np.array([0.5]),
        np.arange(600).astype(str),
        n_resamples=1000,
        generator=np.random.default_rng(0),
    )
    positive = p.target[:, 0] == 1
    share = (p.score[positive, 0] >= 0.5).mean()
    half = 1.96 * np.sqrt(share * (1 - share) / positive.sum())
    column = METRICS.index("sensitivity")
    assert abs(found.low[0, column] - (share - half)) < 0.25 * half
    assert abs(found.high[0, column] - (share + half)) < 0.25 * half
