from __future__ import annotations

import contextlib
import io
import json
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ecg_assets.errors import SchemaError, SpecMismatch
from ecg_assets.evaluation import (
    METRIC_TABLE,
    EvaluationResult,
    Thresholds,
    evaluate,
    evaluate_checkpoint,
)
from ecg_assets.evaluation.sets import EvaluationSet, Part
from ecg_assets.metrics.metrics import METRICS
from ecg_assets.models.predictions import Predictions
from ecg_assets_tests.evaluation.simulation import simulate_predictions, simulate_validation

NAMES = ["label 0", "label 1", "label 2"]
VALIDATION = simulate_validation(80, seed=9)


def _evaluate(
    predictions: Predictions, *, n_resamples: int = 20, unmapped: dict[str, str] | None = None
) -> EvaluationResult:
    return evaluate_checkpoint(
        VALIDATION,
        predictions,
        checkpoint="tiny-1",
        evaluation_set=EvaluationSet("synthetic", Part.TEST),
        signal_spec={},
        lineage={},
        n_resamples=n_resamples,
        unmapped=unmapped,
    )


def _row(table: pd.DataFrame, label: str, metric: str) -> dict[str, Any]:
    chosen = table[(table["label"] == label) & (table["metric"] == metric)]
    (row,) = chosen.to_dict("records")
    return {str(name): value for name, value in row.items()}


def test_columns_of_frames_are_found_by_name() -> None:
    p = simulate_predictions(40)
    expected = evaluate(p.score, p.target, NAMES, p.subject_ids, 20)
    score = pd.DataFrame(p.score, columns=NAMES)
    target = pd.DataFrame(p.target, columns=NAMES)[NAMES[::-1]]
    pd.testing.assert_frame_equal(evaluate(score, target, NAMES, p.subject_ids, 20), expected)
    with pytest.raises(ValueError, match=r"labels has columns .*'other'.* expected .*label_names"):
        evaluate(score, target.rename(columns={NAMES[0]: "other"}), NAMES)
    with pytest.raises(ValueError, match="different indices"):
        evaluate(score, target.iloc[::-1], NAMES)


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_a_record_without_a_group_is_refused(missing: Any) -> None:
    p = simulate_predictions(40)
    groups = [*p.subject_ids[:-1], missing]
    with pytest.raises(ValueError, match="1 of 40 groups are missing"):
        evaluate(p.score, p.target, NAMES, groups)


def test_arrays_give_what_the_checkpoints_predictions_give() -> None:
    p = simulate_predictions(90)
    thresholds = Thresholds.from_validation(VALIDATION)
    table = evaluate(p.score, p.target, NAMES, p.subject_ids, 20, thresholds=thresholds)
    pd.testing.assert_frame_equal(table, _evaluate(p).to_table())
    assert METRIC_TABLE.from_pandas(table).num_rows == 6 * len(METRICS)
    assert table["label"].unique().tolist() == [*NAMES, "macro", "weighted", "micro"]


@pytest.mark.parametrize("dtype", [np.int8, np.bool_, np.int64, np.float32, object])
def test_labels_of_any_type_give_the_same_numbers(dtype: Any) -> None:
    p = simulate_predictions(60)
    expected = evaluate(p.score, p.target, NAMES, replicates=0)
    pd.testing.assert_frame_equal(
        evaluate(p.score, p.target.astype(dtype), NAMES, replicates=0), expected
    )


def test_same_seed_gives_the_same_bytes_and_another_one_does_not() -> None:
    p = simulate_predictions(90, decimals=7)
    texts = [json.dumps(_evaluate(p, n_resamples=50).to_json()) for _ in range(2)]
    assert texts[0] == texts[1]
    low = [evaluate(p.score, p.target, NAMES, None, 50, seed)["low"][0] for seed in (0, 1)]
    assert low[0] != low[1]


def test_summaries_are_those_of_scikit_learn() -> None:
    p = simulate_predictions(90)
    table = evaluate(p.score, p.target, NAMES, replicates=0)
    for average in ("macro", "weighted", "micro"):
        expected = roc_auc_score(p.target, p.score, average=average)
        assert _row(table, average, "auroc")["value"] == pytest.approx(expected, abs=1e-12)


def test_every_missing_number_has_its_reason() -> None:
    p = simulate_predictions(60)
    target, score = p.target.copy(), p.score.copy()
    target[:, 0] = 0
    score[[3, 5], 1] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = evaluate(score, target, NAMES, p.subject_ids, 30, least_patients=1)
    is_missing = table[["value", "low", "high"]].isna().any(axis=1)
    assert table.loc[is_missing, "undefined"].notna().all()
    reason = table.set_index(["label", "metric"])["undefined"]
    assert reason["label 0", "auroc"] == "no positive record in the evaluation set"
    assert reason["label 0", "ppv"] == "no threshold for this label"
    assert reason["label 1", "brier"] == "2 of 60 scores are NaN"
    assert reason["macro", "auroc"] == "without 2 of 3 labels: label 0, label 1"
    assert reason["micro", "auroc"] == "without 1 of 3 labels: label 1"
    assert _row(table, "macro", "auroc")["value"] == _row(table, "label 2", "auroc")["value"]
    assert np.isnan(_row(table, "weighted", "f1")["value"])


def test_value_without_replicates_has_no_interval_and_says_so() -> None:
    p = simulate_predictions(60)
    row = _row(evaluate(p.score, p.target, NAMES, replicates=0), "label 0", "auroc")
    assert np.isfinite(row["value"]) and np.isnan(row["low"])
    assert row["undefined"] == "no interval: no resamples were drawn"


def test_two_patients_have_no_interval_and_it_says_so() -> None:
    p = simulate_predictions(60)
    table = evaluate(p.score, p.target, NAMES, np.arange(60) % 2)
    assert table[["low", "high"]].isna().all(axis=None)
    row = _row(table, "macro", "auroc")
    assert np.isfinite(row["value"])
    assert row["undefined"] == "no interval: 2 patients, fewer than 30"


def test_mean_of_labels_that_are_rarely_all_there_has_no_interval() -> None:
    """Each label's positives are one of three patients'; both are drawn in 12 of 27 resamples."""
    p = simulate_predictions(60, n_labels=2)
    patients = np.arange(60) % 3
    target = p.target * (patients[:, np.newaxis] == [0, 1])
    table = evaluate(p.score, target, NAMES[:2], patients, 1000, least_patients=3)
    assert np.isfinite(_row(table, "label 0", "auroc")["low"])
    macro = _row(table, "macro", "auroc")
    assert np.isfinite(macro["value"]) and np.isnan(macro["low"])
    assert macro["undefined"] == (
        "no interval: 1000 resamples are all the same, or undefined in more than half"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.zeros((4, 2))}, r"\(4, 2\).*\(5, 2\)"),
        ({"scores": np.full((5, 2), 3.0)}, "10 scores are outside 0 to 1"),
        ({"labels": np.full((5, 2), 2)}, r"labels hold \[2\]; expected 0 or 1"),
        ({"label_names": ["a"]}, "1 names, 1 of them distinct; expected 2"),
        ({"label_names": ["a", "a"]}, "2 names, 1 of them distinct; expected 2"),
        ({"groups": np.arange(3)}, r"\(3,\); expected \(5,\)"),
        ({"replicates": -1}, "replicates is -1"),
        ({"thresholds": Thresholds(np.zeros(3), "youden", 1)}, "3 labels; expected 2"),
        ({"scores": np.zeros(5), "labels": np.zeros(5)}, "expected the same shape"),
    ],
)
def test_wrong_arrays_are_refused(change: dict[str, object], message: str) -> None:
    arguments = {"scores": np.zeros((5, 2)), "labels": np.zeros((5, 2)), "label_names": ["a", "b"]}
    with pytest.raises(ValueError, match=message):
        evaluate(**{**arguments, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(0, 2), (1, 2), (3, 1)])
def test_tiny_sets_are_undefined_not_an_error(shape: tuple[int, int]) -> None:
    names = NAMES[: shape[1]]
    table = evaluate(np.zeros(shape), np.zeros(shape), names, replicates=5)
    assert table["undefined"][table["metric"] == "auroc"].notna().all()


def test_thresholds_do_not_depend_on_the_evaluated_set() -> None:
    one, other = simulate_predictions(50), simulate_predictions(90, seed=5)
    flipped = replace(other, target=1 - other.target, score=1 - other.score)
    tables = [_evaluate(p).threshold_table for p in (one, other, flipped)]
    for table in tables[1:]:
        np.testing.assert_array_equal(table["threshold"], tables[0]["threshold"])


def test_evaluated_set_is_refused_as_validation() -> None:
    p = simulate_predictions(50)
    with pytest.raises(TypeError, match="never from the evaluated set"):
        evaluate_checkpoint(
            p,  # type: ignore[arg-type]
            p,
            checkpoint="tiny-1",
            evaluation_set=EvaluationSet("synthetic", Part.TEST),
            signal_spec={},
            lineage={},
        )


def test_other_labels_than_those_of_validation_are_refused() -> None:
    with pytest.raises(SpecMismatch, match="label 3"):
        _evaluate(simulate_predictions(50, n_labels=4))


def test_unmapped_label_has_no_number_and_is_in_no_mean() -> None:
    p = simulate_predictions(90)
    result = _evaluate(p, unmapped={"label 1": "no code of this set names it"})
    expected = evaluate(
        p.score[:, [0, 2]],
        p.target[:, [0, 2]],
        ["label 0", "label 2"],
        p.subject_ids,
        20,
        thresholds=Thresholds(result.labels["threshold"].to_numpy()[[0, 2]], "youden", 80),
    )
    found = result.to_table().drop(columns="undefined")
    kept = found[found["label"] != "label 1"].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, expected.drop(columns="undefined"))
    assert found.loc[found["label"] == "label 1", ["value", "low"]].isna().all(axis=None)
    assert result.undefined == {"label 1": "no code of this set names it"}
    assert result.labels["n"].tolist() == [90, 0, 90]
    assert set(result.threshold_table["label"]) == {"label 0", "label 2"}
    with pytest.raises(ValueError, match="no labels of tiny-1"):
        _evaluate(p, unmapped={"label 9": "no such label"})


def test_result_survives_json_with_undefined_numbers() -> None:
    p = simulate_predictions(50)
    p.target[:, 2] = 0
    result = _evaluate(p)
    text = json.dumps(result.to_json(), allow_nan=False)
    again = EvaluationResult.from_json(json.loads(text))
    assert json.dumps(again.to_json(), allow_nan=False) == text
    pd.testing.assert_frame_equal(again.to_table(), result.to_table())
    assert list(result.undefined) == ["label 2"]


def test_result_without_a_mapped_label_survives_json() -> None:
    p = simulate_predictions(50)
    result = _evaluate(p, unmapped=dict.fromkeys(NAMES, "no code of this set names it"))
    again = EvaluationResult.from_json(json.loads(json.dumps(result.to_json(), allow_nan=False)))
    assert list(again.threshold_table.columns) == list(result.threshold_table.columns)
    assert list(again.reliability.columns) == list(result.reliability.columns)
    assert again.to_table()["value"].isna().all()


def test_result_of_another_version_says_what_to_do() -> None:
    value = _evaluate(simulate_predictions(50)).to_json()
    del value["weighted"]
    with pytest.raises(SchemaError, match=r"\['weighted'\].*Evaluate the checkpoint again"):
        EvaluationResult.from_json(value)


def test_page_shows_what_its_example_prints() -> None:
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    found = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", page, re.DOTALL)
    assert found
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(found[1], {})
    assert printed.getvalue() == found[2]
