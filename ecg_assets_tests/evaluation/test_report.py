from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from ecg_assets.errors import SpecMismatch
from ecg_assets.evaluation import (
    EvaluationResult,
    build_leaderboard,
    choose_examples,
    evaluate,
    write_reference_metrics,
    write_report,
)
from ecg_assets.evaluation.figures import draw_auroc_forest, draw_roc_curves
from ecg_assets.models.predictions import Predictions
from ecg_assets.preprocess import SignalSpec
from ecg_assets_tests.evaluation.simulation import simulate_predictions


def _evaluate(predictions: Predictions, checkpoint: str = "tiny-1") -> EvaluationResult:
    return evaluate(
        simulate_predictions(60, seed=1),
        predictions,
        checkpoint=checkpoint,
        source="synthetic",
        evaluation_set="synthetic, test split",
        signal_spec=SignalSpec().to_json(),
        lineage={"labels": "a" * 64},
        n_resamples=20,
    )


@pytest.fixture
def one_sided() -> Predictions:
    predictions = simulate_predictions(50)
    predictions.target[:, 2] = 0
    return predictions


def test_result_survives_json_with_undefined_numbers(one_sided: Predictions) -> None:
    result = _evaluate(one_sided)
    text = json.dumps(result.to_json(), allow_nan=False)
    again = EvaluationResult.from_json(json.loads(text))
    assert json.dumps(again.to_json(), allow_nan=False) == text
    assert np.isnan(again.labels["auroc"][2])


def test_macro_is_the_mean_of_defined_labels_and_the_others_are_named(
    one_sided: Predictions,
) -> None:
    result = _evaluate(one_sided)
    assert result.macro["auroc"] == pytest.approx(result.labels["auroc"][:2].mean())
    assert list(result.undefined) == ["label 2"]


def test_thresholds_do_not_depend_on_the_evaluated_set() -> None:
    first, second = _evaluate(simulate_predictions(50)), _evaluate(simulate_predictions(90, seed=5))
    np.testing.assert_array_equal(first.labels["threshold"], second.labels["threshold"])


def test_other_labels_than_those_of_validation_are_refused() -> None:
    with pytest.raises(SpecMismatch, match="label 3"):
        _evaluate(simulate_predictions(50, n_labels=4))


def test_report_is_one_page_without_outside_requests(
    one_sided: Predictions, tmp_path: Path
) -> None:
    result = _evaluate(one_sided, checkpoint="<script>alert(1)</script>")
    pictures = {
        "AUROC by label": draw_auroc_forest(result),
        "ROC curves": draw_roc_curves(one_sided, result),
    }
    html = write_report(result, pictures, tmp_path / "report").read_text()
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", html)
    assert "<script" not in html
    for name in one_sided.vocabulary.names:
        assert name in html
    assert "no positive record in the evaluation set" in html
    assert "a" * 64 in html
    assert (tmp_path / "report" / "roc_curves.png").read_bytes().startswith(b"\x89PNG")


def test_same_numbers_give_the_same_pictures(one_sided: Predictions) -> None:
    result = _evaluate(one_sided)
    assert draw_roc_curves(one_sided, result) == draw_roc_curves(one_sided, result)


def test_examples_are_the_clearest_hits_and_the_worst_errors() -> None:
    predictions = simulate_predictions(80)
    result = _evaluate(predictions)
    for strip in choose_examples(predictions, result):
        label = predictions.vocabulary.names.index(strip.label)
        target, score = predictions.target[:, label], predictions.score[:, label]
        if strip.kind == "false negative":
            assert strip.score == score[target == 1].min() < strip.threshold
        else:
            wanted = 1 if strip.kind == "true positive" else 0
            assert strip.score == score[target == wanted].max() >= strip.threshold


def test_leaderboard_marks_the_best_of_each_set() -> None:
    results = [_evaluate(simulate_predictions(60, seed=s), f"tiny-{s}") for s in range(3)]
    table = build_leaderboard(results)
    assert table["macro_auroc"].is_monotonic_decreasing
    assert table["is_champion"].tolist() == [True, False, False]


def test_reference_metrics_have_the_reference_columns(tmp_path: Path) -> None:
    predictions = simulate_predictions(60)
    write_reference_metrics(predictions, tmp_path / "metrics.csv")
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines[0] == (
        "label,n_pos,n_neg,auroc,auprc,accuracy,recall,precision,f1,specificity,npv"
    )
    assert [line.split(",")[0] for line in lines[-2:]] == ["__macro__", "__micro__"]
