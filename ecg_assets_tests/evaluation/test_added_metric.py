"""A metric is one row: added to the registry, it stands in every table, file and page."""

from __future__ import annotations

import json
import logging
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from ecg_assets.entry_points import load_entry_points
from ecg_assets.evaluation import (
    EvaluationResult,
    Findings,
    Thresholds,
    compare_predictions,
    evaluate_slices,
    explain,
    write_report,
)
from ecg_assets.evaluation.thresholds import threshold_table
from ecg_assets.metrics.metrics import METRICS, Metric, added_metrics, best_first
from ecg_assets_tests.evaluation.report.report_material import evaluate_simulated, make_document
from ecg_assets_tests.evaluation.simulation import (
    blur,
    simulate_predictions,
    simulate_validation,
)
from ecg_assets_tests.test_readme import ROOT

PAGE = ROOT / "docs" / "evaluation.md"
SECTION = PAGE.read_text(encoding="utf-8").split("## A metric of your own")[1]


def _run_example() -> Metric:
    """Run the page's code and give the metric that it makes."""
    names: dict[str, Any] = {}
    exec(SECTION.split("```python\n")[1].split("```")[0], names)
    found: Metric = names["BALANCED_ACCURACY"]
    return found


ROW = _run_example()
NAME, TITLE = ROW.name, ROW.title


@pytest.fixture
def result(monkeypatch: pytest.MonkeyPatch) -> EvaluationResult:
    monkeypatch.setitem(METRICS, NAME, ROW)
    predictions = simulate_predictions(120)
    predictions.target[:, 2] = 0
    return evaluate_simulated(predictions)


def test_its_value_is_that_of_scikit_learn(result: EvaluationResult) -> None:
    predictions = simulate_predictions(120)
    for k in range(2):
        called = predictions.score[:, k] >= result.labels["threshold"][k]
        expected = balanced_accuracy_score(predictions.target[:, k], called)
        assert result.labels[NAME][k] == pytest.approx(expected, abs=1e-12)
        assert result.labels[f"{NAME}_low"][k] <= result.labels[NAME][k]
    assert result.macro[NAME] == pytest.approx(result.labels[NAME][:2].mean())


def test_every_table_has_its_row_and_its_reason(result: EvaluationResult) -> None:
    table = result.to_table()
    assert len(table) == (3 + 3) * len(METRICS)
    rows = table[table["metric"] == NAME].set_index("label")
    assert rows["undefined"]["label 2"] == "no positive record in the evaluation set"
    assert rows["value"]["label 0"] == result.labels[NAME][0]
    predictions, validation = simulate_predictions(120), simulate_validation(60, seed=1)
    thresholds = Thresholds.from_validation(validation)
    assert NAME in threshold_table(predictions, [thresholds])
    differences = compare_predictions(
        predictions, blur(predictions, noise=0.1), n_resamples=5, seed=0
    )
    assert NAME in set(differences["metric"])
    groups = np.where(np.arange(120) % 2, "F", "M")
    slices = evaluate_slices(
        predictions, thresholds, pd.DataFrame({"sex": groups}), n_resamples=5, seed=0
    )  # fmt: skip
    assert np.isfinite(slices.loc[slices["metric"] == NAME, "value"]).all()


def test_report_shows_and_explains_it(result: EvaluationResult, tmp_path: Path) -> None:
    document = make_document(simulate_predictions(120), result, Findings(external=[result]))
    page = write_report(document, tmp_path / "report", pictures={}, tables={})
    stored = json.loads((page.parent / "metrics.json").read_text())
    assert stored["glossary"][NAME]["title"] == TITLE
    assert stored["evaluation"]["labels"][0][NAME] == result.labels[NAME][0]
    html = page.read_text()
    assert f'data-path="/evaluation/labels/0/{NAME}" data-kind="percent"' in html
    assert f'data-path="/external/0/macro/{NAME}"' in html
    assert ROW.formula in html and ROW.guide in html
    assert f"{TITLE} of macro" in str(explain(stored, f"macro.{NAME}"))


def test_a_result_from_before_is_read_and_shown(
    result: EvaluationResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(METRICS, NAME)
    old = evaluate_simulated(simulate_predictions(120)).to_json()
    monkeypatch.setitem(METRICS, NAME, ROW)
    read = EvaluationResult.from_json(json.loads(json.dumps(old)))
    assert set(read.to_table()["metric"]) == set(METRICS) - {NAME}
    assert NAME not in make_document(simulate_predictions(120), read)["glossary"]
    with_both = make_document(simulate_predictions(120), result, Findings(external=[read]))
    assert NAME in with_both["glossary"]


def test_versions_name_it(result: EvaluationResult) -> None:
    assert added_metrics() == f"+{NAME}"


def test_page_names_the_group() -> None:
    assert '[project.entry-points."ecg_assets.metrics"]\nbalanced_accuracy = ' in SECTION


def test_another_package_brings_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    entries = [
        EntryPoint(name, f"ecg_assets_tests.evaluation.test_added_metric:{value}", "")
        for name, value in (("mine", "ROW"), ("other", "NAME"))
    ]
    monkeypatch.setattr("ecg_assets.entry_points.entry_points", lambda group: entries)
    with caplog.at_level(logging.WARNING):
        found = load_entry_points("ecg_assets.metrics", Metric)
    assert [metric.name for metric in found.values()] == [NAME]
    assert "expected a Metric" in caplog.text


@pytest.mark.parametrize(("metric", "order"), [("auroc", [2, 0, 1]), ("brier", [0, 2, 1])])
def test_ranking_follows_what_is_better(metric: str, order: list[int]) -> None:
    assert best_first([0.1, np.nan, 0.9], metric=metric) == order


def test_nothing_is_ranked_by_a_slope() -> None:
    with pytest.raises(ValueError, match="neither higher nor lower"):
        best_first([0.1], metric="calibration_slope")
