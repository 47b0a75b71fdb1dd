from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ecg_assets.evaluation.shift.recording_facts import align_facts, describe_recordings
from ecg_assets.evaluation.shift.slices import (
    FEW,
    SLICE_METRICS,
    SLICES,
    draw_slice_forest,
    evaluate_slices,
    group_recordings,
    order_groups,
)
from ecg_assets.evaluation.thresholds import Thresholds
from ecg_assets.metrics.metrics import pick_macro
from ecg_assets.models.predictions import Predictions
from ecg_assets_tests.evaluation.simulation import simulate_predictions, simulate_validation


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    return simulate_predictions(400, seed=2)


@pytest.fixture(scope="module")
def groups() -> pd.DataFrame:
    sex = np.where(np.arange(400) % 8 == 0, "unknown", np.where(np.arange(400) % 3, "M", "F"))
    return pd.DataFrame({"all": "all recordings", "sex": sex, "source": "synthetic"})


def _evaluate(predictions: Predictions, groups: pd.DataFrame) -> pd.DataFrame:
    thresholds = Thresholds.from_validation(simulate_validation(100, seed=9))
    return evaluate_slices(predictions, thresholds, groups, n_resamples=50, seed=0)


def test_a_groups_numbers_are_those_of_its_recordings(
    predictions: Predictions, groups: pd.DataFrame
) -> None:
    table = _evaluate(predictions, groups)
    SLICE_METRICS.from_pandas(table)
    threshold = Thresholds.from_validation(simulate_validation(100, seed=9)).values[1]
    for group in ("F", "M", "unknown"):
        rows = (groups["sex"] == group).to_numpy()
        target, score = predictions.target[rows, 1], predictions.score[rows, 1]
        found = table[(table["group"] == group) & (table["label"] == "label 1")]
        found = found.set_index("metric")
        assert found["value"]["auroc"] == pytest.approx(roc_auc_score(target, score), abs=1e-12)
        called = score >= threshold
        assert found["value"]["sensitivity"] == pytest.approx(called[target == 1].mean())
        assert found["n_pos"]["auroc"] == target.sum()
        assert found["n"]["auroc"] == rows.sum()
        assert found["n_patients"]["auroc"] == len(set(predictions.subject_ids[rows]))
        assert found["low"]["auroc"] < found["value"]["auroc"] < found["high"]["auroc"]


def test_macro_stands_beside_that_of_all_recordings_over_the_same_labels(
    predictions: Predictions, groups: pd.DataFrame
) -> None:
    """A group without positives of a hard label must not look better for it."""
    target = predictions.target.copy()
    target[(groups["sex"] == "F").to_numpy(), 2] = 0
    changed = Predictions(
        predictions.record_ids,
        predictions.subject_ids,
        predictions.vocabulary,
        target,
        predictions.score,
    )
    table = _evaluate(changed, groups)
    macro = pick_macro(table).set_index("group")
    assert macro["n_labels"][["F", "M", "all recordings"]].tolist() == [2, 3, 3]
    of_all = [roc_auc_score(target[:, k], predictions.score[:, k]) for k in range(3)]
    assert macro["whole_set"]["F"] == pytest.approx(np.mean(of_all[:2]))
    assert macro["value"]["all recordings"] == pytest.approx(np.mean(of_all))
    lost = table[(table["group"] == "F") & (table["label"] == "label 2")].set_index("metric")
    assert np.isnan(lost["value"]["auroc"]) and np.isnan(lost["whole_set"]["auroc"])
    assert lost["n_labels"]["auroc"] == 0


def test_few_positives_or_negatives_are_marked(
    predictions: Predictions, groups: pd.DataFrame
) -> None:
    target = predictions.target.copy()
    target[:, 0] = 0
    target[: FEW - 1, 0] = 1
    target[:, 1] = 1 - target[:, 0]
    changed = Predictions(
        predictions.record_ids,
        predictions.subject_ids,
        predictions.vocabulary,
        target,
        predictions.score,
    )
    table = _evaluate(changed, groups[["all"]])
    marked = table[table["metric"] == "auroc"].set_index("label")["is_uncertain"]
    assert marked.to_dict() == {"label 0": True, "label 1": True, "label 2": False, "macro": True}


def test_a_slice_of_one_group_equals_the_whole_set(
    predictions: Predictions, groups: pd.DataFrame
) -> None:
    table = _evaluate(predictions, groups)
    numbers = ["value", "low", "high", "whole_set"]
    first, last = (table[table["slice"] == name][numbers] for name in ("all", "source"))
    np.testing.assert_array_equal(first, last)


def test_groups_of_other_recordings_are_refused(predictions: Predictions) -> None:
    with pytest.raises(ValueError, match="groups has 3 rows for 400"):
        _evaluate(predictions, pd.DataFrame({"all": ["x"] * 3}))


def _facts(**changes: object) -> pd.DataFrame:
    known = {
        "age": 40.0,
        "sex": "F",
        "heart_rate_bpm": 60.0,
        "flat": False,
        "missing": False,
        "limb_fault": False,
        "clipped": False,
        "signal_quality": None,
        "source": "synthetic",
        "year": 2001.0,
        "n_statements": 3,
        "is_certain": True,
    }
    return pd.DataFrame([{**known, **changes}])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"age": 39.9}, {"age": "18-39"}),
        ({"age": 40.0}, {"age": "40-59"}),
        ({"age": np.nan}, {"age": "unknown"}),
        ({"sex": None}, {"sex": "unknown"}),
        ({"heart_rate_bpm": 59.9}, {"heart_rate": "under 60"}),
        ({"heart_rate_bpm": 100.0}, {"heart_rate": "60-100"}),
        ({"heart_rate_bpm": 100.1}, {"heart_rate": "over 100"}),
        ({"heart_rate_bpm": np.nan}, {"heart_rate": "unknown"}),
        ({"clipped": True}, {"signal_flags": "clipped samples"}),
        ({"clipped": True, "flat": True}, {"signal_flags": "flat lead"}),
        ({"flat": None}, {"signal_flags": "unknown"}),
        ({}, {"signal_flags": "none", "signal_quality": "unknown", "year": "2001"}),
        ({"n_statements": 0}, {"statements": "none"}),
        ({"n_statements": 5}, {"statements": "4-5"}),
        ({"n_statements": pd.NA}, {"statements": "unknown"}),
        ({"is_certain": False}, {"label_certainty": "some hedged"}),
        ({"is_certain": pd.NA}, {"label_certainty": "unknown"}),
    ],
)
def test_every_fact_has_a_band_and_what_is_not_known_its_own(
    changes: dict[str, object], expected: dict[str, str]
) -> None:
    found = group_recordings(_facts(**changes)).iloc[0].to_dict()
    assert set(found) == set(SLICES)
    assert {name: found[name] for name in expected} == expected


def test_bands_are_in_order_and_unknown_is_last() -> None:
    assert order_groups("age", ["unknown", "80 and over", "18-39", "under 18"]) == [
        "under 18",
        "18-39",
        "80 and over",
        "unknown",
    ]


def _tables() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    records = pd.DataFrame(
        {
            "record_id": ["a", "b", "c"],
            "subject_id": ["1", "1", "2"],
            "source": "folder",
            "shard": "p0",
            "ecg_time": pd.to_datetime(["2001-05-01", "NaT", "2003-01-01"]),
            "age": [50.0, np.nan, 70.0],
            "sex": ["F", "M", None],
        }
    )
    reports = pd.DataFrame(
        {
            "record_id": ["c", "a", "b"],
            "lines": [["(none)"], ["x", "y"], []],
            "rr_interval": [0.0, 600.0, np.nan],
        }
    )
    labels = pd.DataFrame({"record_id": ["a", "a", "c", "c"], "probability": [1.0, 0.7, 1.0, 0.0]})
    return records, reports, labels


def test_facts_join_by_recording_and_say_what_is_not_known() -> None:
    facts = describe_recordings(*_tables()).set_index("record_id")
    assert facts["heart_rate_bpm"]["a"] == 100
    assert facts["heart_rate_bpm"].isna().tolist() == [False, True, True]
    assert facts["n_statements"].tolist() == [2, 0, 0]
    assert facts["is_certain"].astype(object).where(facts["is_certain"].notna(), None).tolist() == [
        False,
        None,
        True,
    ]


def test_interval_that_no_heart_has_gives_no_heart_rate() -> None:
    records, reports, labels = _tables()
    reports["rr_interval"] = [65_535.0, 5.0, 2000.0]
    facts = describe_recordings(records, reports, labels).set_index("record_id")
    assert facts["heart_rate_bpm"]["b"] == 30
    assert facts["heart_rate_bpm"].isna().tolist() == [True, False, True]


def test_facts_of_recordings_that_are_in_no_table_are_counted() -> None:
    facts = describe_recordings(*_tables())
    signals = pd.DataFrame({"record_id": ["a"], "flat": [False]})
    aligned, lacking = align_facts(["z", "a", "b"], facts, signals)
    assert aligned["record_id"].tolist() == ["z", "a", "b"]
    assert lacking == {
        "not_in_record_list": 1,
        "without_report": 1,
        "without_labels": 2,
        "without_signal": 2,
    }


def test_a_recording_that_stands_twice_in_a_table_is_refused() -> None:
    records, reports, labels = _tables()
    with pytest.raises(pd.errors.MergeError):
        describe_recordings(records, pd.concat([reports, reports]), labels)


def test_same_numbers_give_the_same_forest(
    predictions: Predictions, groups: pd.DataFrame, tmp_path: Path
) -> None:
    table = _evaluate(predictions, groups)
    assert draw_slice_forest(table) == draw_slice_forest(table)
