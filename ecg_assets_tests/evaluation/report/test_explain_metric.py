from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ecg_assets.evaluation import EvaluationResult, explain
from ecg_assets.evaluation.__main__ import main
from ecg_assets.metrics.metrics import METRICS, SUMMARIES
from ecg_assets_tests.evaluation.report.report_material import evaluate_simulated, make_document
from ecg_assets_tests.evaluation.simulation import simulate_predictions


@pytest.fixture(scope="module")
def result() -> EvaluationResult:
    predictions = simulate_predictions(120)
    predictions.target[:, 2] = 0
    return evaluate_simulated(predictions)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("scope", ["label 0", *SUMMARIES])
def test_every_metric_has_a_meaning(result: EvaluationResult, scope: str, name: str) -> None:
    found = explain(result, f"{scope}.{name}")
    assert found.title.startswith(METRICS[name].title)
    assert found.facts["formula"] and found.facts["read it as"]


@pytest.mark.parametrize("name", ["label 0.auroc", "labels/label 0/auroc", "label 0/auroc"])
def test_label_is_found_by_each_way_of_writing(result: EvaluationResult, name: str) -> None:
    found = explain(result, name)
    assert found.value == result.labels["auroc"][0]
    assert found.low == result.labels["auroc_low"][0]
    assert f"{result.labels['n_pos'][0]} positive" in found.facts["counts"]
    assert found.fingerprints == result.lineage


def test_text_names_everything_behind_a_number(result: EvaluationResult) -> None:
    text = str(explain(result, "macro.sensitivity"))
    for part in (
        "sensitivity of macro: tiny-1 on synthetic, test split",
        "95 % interval",
        "120 recordings",
        "2 of 3 labels defined",
        "true positives ÷ positive recordings",
        "rule youden",
        "60 recordings of the validation split",
        "20 bootstrap resamples of patients, seed 0",
        "c" * 64,
        "a" * 64,
    ):
        assert part in text


def test_number_of_few_patients_says_why_it_has_no_interval() -> None:
    found = explain(evaluate_simulated(simulate_predictions(30)), "macro.auroc")
    assert re.search(r"no interval: \d+ patients, fewer\s+than 30", str(found))


def test_number_without_threshold_says_so(result: EvaluationResult) -> None:
    assert explain(result, "macro.auroc").facts["threshold"].startswith("none")


def test_undefined_number_has_its_reason(result: EvaluationResult) -> None:
    found = explain(result, "labels/label 2/auroc")
    assert found.value is None
    assert "no positive record" in found.facts["undefined"]
    assert "value         –" in str(found)


@pytest.mark.parametrize("name", ["macro.nothing", "label 9.auroc", "auroc"])
def test_unknown_number_is_an_error_that_lists_the_known(
    result: EvaluationResult, name: str
) -> None:
    with pytest.raises(LookupError, match=r"auroc|macro"):
        explain(result, name)


def test_command_reads_metrics_json(result: EvaluationResult, tmp_path: Path) -> None:
    document = make_document(simulate_predictions(120), result)
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(document))
    text = main(["explain", str(path), "micro.auprc"])
    assert "AUPRC of micro" in text
    assert "split_rule" not in text
    assert "hash of patient, seed 1, 80/10/10" in text
    assert "label_set ecg-fm-17" in text
