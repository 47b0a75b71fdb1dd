from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ecg_assets.errors import SpecMismatch
from ecg_assets.evaluation import EvaluationResult, choose_examples
from ecg_assets.evaluation.reference_metrics import write_reference_metrics
from ecg_assets.models.predictions import Predictions
from ecg_assets_tests.evaluation.report.report_material import evaluate_simulated
from ecg_assets_tests.evaluation.simulation import simulate_predictions


@pytest.fixture
def one_sided() -> Predictions:
    predictions = simulate_predictions(50)
    predictions.target[:, 2] = 0
    return predictions


def test_result_survives_json_with_undefined_numbers(one_sided: Predictions) -> None:
    result = evaluate_simulated(one_sided)
    text = json.dumps(result.to_json(), allow_nan=False)
    again = EvaluationResult.from_json(json.loads(text))
    assert json.dumps(again.to_json(), allow_nan=False) == text
    assert np.isnan(again.labels["auroc"][2])


def test_intervals_without_width_of_another_version_are_not_read() -> None:
    result = evaluate_simulated(simulate_predictions(120))
    value = result.to_json()
    value["labels"][0] |= {"auroc": 1.0, "auroc_low": 1.0, "auroc_high": 1.0}
    value["macro"] |= {"auroc": 1.0, "auroc_low": 1.0, "auroc_high": 1.0}
    read = EvaluationResult.from_json(value)
    assert read.labels["auroc"][0] == read.macro["auroc"] == 1.0
    assert np.isnan([read.labels["auroc_low"][0], read.macro["auroc_high"]]).all()
    assert read.macro["auprc_low"] == result.macro["auprc_low"]
    assert type(read.macro["auprc_low"]) is float


def test_macro_is_the_mean_of_defined_labels_and_the_others_are_named(
    one_sided: Predictions,
) -> None:
    result = evaluate_simulated(one_sided)
    assert result.macro["auroc"] == pytest.approx(result.labels["auroc"][:2].mean())
    assert list(result.undefined) == ["label 2"]


def test_thresholds_do_not_depend_on_the_evaluated_set() -> None:
    first, second = (
        evaluate_simulated(simulate_predictions(50)),
        evaluate_simulated(simulate_predictions(90, seed=5)),
    )
    np.testing.assert_array_equal(first.labels["threshold"], second.labels["threshold"])


def test_other_labels_than_those_of_validation_are_refused() -> None:
    with pytest.raises(SpecMismatch, match="label 3"):
        evaluate_simulated(simulate_predictions(50, n_labels=4))


def test_examples_are_the_clearest_hits_and_the_worst_errors() -> None:
    predictions = simulate_predictions(80)
    result = evaluate_simulated(predictions)
    for strip in choose_examples(predictions, result):
        label = predictions.vocabulary.names.index(strip.label)
        target, score = predictions.target[:, label], predictions.score[:, label]
        if strip.kind == "false negative":
            assert strip.score == score[target == 1].min() < strip.threshold
        else:
            wanted = 1 if strip.kind == "true positive" else 0
            assert strip.score == score[target == wanted].max() >= strip.threshold


def test_reference_metrics_have_the_reference_columns(tmp_path: Path) -> None:
    predictions = simulate_predictions(60)
    write_reference_metrics(predictions, tmp_path / "metrics.csv")
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines[0] == (
        "label,n_pos,n_neg,auroc,auprc,accuracy,recall,precision,f1,specificity,npv"
    )
    assert [line.split(",")[0] for line in lines[-2:]] == ["__macro__", "__micro__"]
