from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from ecg_assets.errors import SpecMismatch
from ecg_assets.evaluation import DIFFERENCES, compare_predictions
from ecg_assets.labels import LabelVocabulary
from ecg_assets.metrics.intervals import draw_patients
from ecg_assets.models.predictions import Predictions
from ecg_assets_tests.evaluation.simulation import blur, simulate_predictions

METRICS = {"auroc": roc_auc_score, "auprc": average_precision_score, "brier": brier_score_loss}


def _pick(p: Predictions, rows: np.ndarray) -> Predictions:
    return replace(
        p,
        record_ids=p.record_ids[rows],
        subject_ids=p.subject_ids[rows],
        target=p.target[rows],
        score=p.score[rows],
    )


def _interval(table: pd.DataFrame, label: str, metric: str) -> tuple[float, float, float]:
    row = table[(table["label"] == label) & (table["metric"] == metric)].iloc[0]
    return float(row["difference"]), float(row["low"]), float(row["high"])


def test_differences_equal_scikit_learn_on_the_same_resampled_rows() -> None:
    champion = simulate_predictions(120)
    challenger = blur(champion, noise=0.2)
    found = compare_predictions(challenger, champion, n_resamples=30, seed=0)
    DIFFERENCES.from_pandas(found)
    order = np.argsort(champion.record_ids)
    champion, challenger = _pick(champion, order), _pick(challenger, order)
    patients = np.unique(champion.subject_ids)
    (counts,) = draw_patients(len(patients), 30, np.random.default_rng(0))
    for label, name in enumerate(champion.vocabulary.names):
        for metric, function in METRICS.items():

            def difference(rows: np.ndarray, label: int = label, function=function) -> float:  # type: ignore[no-untyped-def]
                target = champion.target[rows, label]
                scores = (p.score[rows, label].astype(float) for p in (challenger, champion))
                one, other = (function(target, score) for score in scores)
                return float(one - other)

            draws = [
                difference(np.repeat(np.arange(120), row[np.searchsorted(patients, of)]))
                for row, of in zip(counts, [champion.subject_ids] * 30, strict=True)
            ]
            expected = (difference(np.arange(120)), *np.percentile(draws, [2.5, 97.5]))
            assert _interval(found, name, metric) == pytest.approx(expected, abs=1e-9)


def test_checkpoint_against_itself_differs_by_exactly_nothing() -> None:
    p = simulate_predictions(120)
    found = compare_predictions(p, p, n_resamples=20, seed=0)
    assert (found[["difference", "low", "high"]] == 0).all(axis=None)


def test_two_patients_tell_no_difference() -> None:
    """Two patients, one checkpoint wrong on both: [−0.4, −0.3] would be read as certain."""
    champion = simulate_predictions(120)
    champion.subject_ids[:] = (np.arange(120) % 2).astype(str)
    found = compare_predictions(blur(champion, noise=1), champion, n_resamples=50, seed=0)
    assert found["difference"].notna().all()
    assert found[["low", "high"]].isna().all(axis=None)


def test_pairing_makes_the_interval_narrower() -> None:
    champion = simulate_predictions(200)
    challenger = blur(champion, noise=0.05)
    paired = compare_predictions(challenger, champion, n_resamples=100, seed=0)
    stranger = simulate_predictions(200, seed=8)
    unpaired = compare_predictions(
        replace(champion, score=stranger.score), champion, n_resamples=100, seed=0
    )
    widths = [np.ptp(_interval(t, "macro", "auroc")[1:]) for t in (paired, unpaired)]
    assert widths[0] < widths[1] / 3


def test_worse_checkpoint_is_worse_beyond_its_interval() -> None:
    champion = simulate_predictions(400)
    worse = compare_predictions(blur(champion, noise=1), champion, n_resamples=100, seed=0)
    difference, low, high = _interval(worse, "macro", "auroc")
    assert low < difference < high < 0


def test_only_recordings_and_labels_of_both_are_compared_whatever_their_order() -> None:
    champion = simulate_predictions(100)
    challenger = blur(champion, noise=0.1)
    shuffled = _pick(challenger, np.random.default_rng(0).permutation(100)[:70])
    names, columns = ("label 2", "label 0"), [2, 0]
    fewer = replace(
        shuffled,
        vocabulary=LabelVocabulary(names, ("mean",) * 2),
        target=shuffled.target[:, columns],
        score=shuffled.score[:, columns],
    )
    found = compare_predictions(fewer, champion, n_resamples=10, seed=0)
    assert found["label"].unique().tolist() == ["label 2", "label 0", "macro"]
    assert (found["n"] == 70).all()
    rows = np.isin(champion.record_ids, shuffled.record_ids)
    expected = compare_predictions(
        _pick(challenger, rows), _pick(champion, rows), n_resamples=10, seed=0, labels=names
    )
    pd.testing.assert_frame_equal(found, expected)


def test_label_with_one_class_is_in_no_macro_difference() -> None:
    champion = simulate_predictions(80)
    champion.target[:, 1] = 0
    challenger = blur(champion, noise=0.2)
    found = compare_predictions(challenger, champion, n_resamples=10, seed=0)
    values = [_interval(found, f"label {k}", "auroc")[0] for k in range(3)]
    assert np.isnan(values[1])
    macro = _interval(found, "macro", "auroc")[0]
    assert macro == pytest.approx((values[0] + values[2]) / 2)


def test_what_cannot_be_compared_is_refused() -> None:
    p = simulate_predictions(40)
    other_records = replace(p, record_ids=np.array([f"x{k}" for k in range(40)]))
    with pytest.raises(SpecMismatch, match="no recording is in both"):
        compare_predictions(other_records, p, n_resamples=5, seed=0)
    with pytest.raises(SpecMismatch, match="40 have other targets and 0 other patients"):
        compare_predictions(replace(p, target=1 - p.target), p, n_resamples=5, seed=0)
    with pytest.raises(SpecMismatch, match="label 7"):
        compare_predictions(p, p, n_resamples=5, seed=0, labels=["label 7"])
