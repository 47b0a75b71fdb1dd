from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from markupsafe import Markup

from ecg_assets.errors import ReportError
from ecg_assets.evaluation import (
    EvaluationResult,
    Findings,
    bootstrap_curves,
    draw_report_pictures,
    find_wrong_numbers,
    render_report,
    write_report,
)
from ecg_assets.evaluation.report.numbers import NumberMarker
from ecg_assets.labels import LabelVocabulary
from ecg_assets.models.predictions import Predictions
from ecg_assets.preprocess import SignalSpec
from ecg_assets_tests.evaluation.report.report_material import (
    PLANTED_LINE,
    PLANTED_RECORD,
    evaluate_simulated,
    make_document,
    make_findings,
)
from ecg_assets_tests.evaluation.simulation import simulate_predictions, simulate_validation

ABSENT = ("slice_metrics", "external_metrics", "lead_degradation", "label_noise")
PNG = {"ROC curves": b"\x89PNG", "Examples of AV/block, °": b"\x89PNG"}


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    simulated = simulate_predictions(60)
    simulated.target[:, 2] = 0
    return replace(
        simulated,
        record_ids=np.array([f"planted-{row}-id" for row in range(60)]),
        subject_ids=np.array([f"subject-{row // 2}" for row in range(60)]),
    )


@pytest.fixture(scope="module")
def result(predictions: Predictions) -> EvaluationResult:
    return evaluate_simulated(predictions)


@pytest.fixture(scope="module")
def document(predictions: Predictions, result: EvaluationResult) -> dict[str, Any]:
    return make_document(predictions, result, make_findings(predictions, result))


def _tables(result: EvaluationResult) -> dict[str, pd.DataFrame]:
    return {"metrics.parquet": result.to_table()}


def test_page_is_one_file_without_outside_requests_or_scripts(document: dict[str, Any]) -> None:
    html = render_report(document, PNG)
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", html)
    assert "<script" not in html
    assert not re.search(r"@import|url\(", html)


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        (SignalSpec(), r"<dt>record \(s\)</dt><dd><data [^>]*>10</data>"),
        (SignalSpec(record_s=None), r"<dt>record \(s\)</dt><dd>all of each recording</dd>"),
        (SignalSpec(start_s=5.0), r"<dt>start \(s\)</dt><dd><data [^>]*>5</data>"),
    ],
)
def test_card_says_which_part_of_a_recording_was_used(
    predictions: Predictions, result: EvaluationResult, spec: SignalSpec, shown: str
) -> None:
    of_spec = replace(result, signal_spec=spec.to_json())
    html = render_report(make_document(predictions, of_spec), PNG)
    assert re.search(shown, html), re.findall(r"<dt>(?:record|start).{80}", html)


def test_names_from_outside_cannot_add_markup(predictions: Predictions) -> None:
    result = evaluate_simulated(predictions, checkpoint="<script>alert(1)</script>")
    assert "<script" not in render_report(make_document(predictions, result), PNG)


def test_names_may_look_like_numbers(predictions: Predictions) -> None:
    vocabulary = LabelVocabulary(("1", "2.5", "300"), ("max", "mean", "mean"))
    numbered = replace(predictions, vocabulary=vocabulary)
    validation = replace(simulate_validation(60, seed=1), vocabulary=vocabulary)
    result = evaluate_simulated(numbered, "2024", validation=validation)
    document = make_document(numbered, result)
    document["code"] = {"git_commit": None, "versions": {"numpy": "2.4"}}
    assert "2024" in render_report(document, {"Examples of 300": b"\x89PNG"})


def test_few_patients_have_a_box_instead_of_intervals(
    predictions: Predictions, document: dict[str, Any]
) -> None:
    assert "Too few patients for intervals" not in render_report(document, PNG)
    few = replace(predictions, subject_ids=(np.arange(60) % 2).astype(str))
    html = render_report(make_document(few, evaluate_simulated(few)), PNG)
    assert "Too few patients for intervals and verdicts." in html
    shown = re.search(r'data-path="/summary/least_patients" data-kind="count">(\d+)<', html)
    assert shown is not None and shown[1] == "30"
    assert "<small>[<data" not in html
    assert "no interval: too few patients" in html


def test_page_shows_labels_reasons_fingerprints_and_sections(document: dict[str, Any]) -> None:
    html = render_report(document, PNG)
    for part in (
        *(f"label {k}" for k in range(3)),
        "no positive record in the evaluation set",
        *(letter * 64 for letter in "abce"),
        "d" * 40,
        "hash of patient, seed 1, 80/10/10",
        "not run: the shards hold 1 lead (I)",
        "compared with the runner-up",
        "</data> recordings (no signal)",
        "This cohort is simulated",
        "nothing shows that it has not seen these recordings",
    ):
        assert part in html
    assert "Nothing is stored: materialize" not in html
    for path in ("/slices/0/value", "/external/0/macro/auroc", "/lead_degradation/1/value"):
        assert f'data-path="{path}"' in html
    for path in ("/difference/table/0/difference", "/label_noise/pairs", "/evaluation/macro/ece"):
        assert f'data-path="{path}"' in html


def test_what_is_not_materialized_is_named(
    predictions: Predictions, result: EvaluationResult
) -> None:
    alone = Findings(not_compared="no other checkpoint has metrics on this set")
    html = render_report(make_document(predictions, result, alone), {})
    for asset in ABSENT:
        assert f"Nothing is stored: materialize <code>{asset}</code>" in html
    assert "no other checkpoint has metrics on this set" in html


def test_no_recording_patient_or_report_line_is_written(
    document: dict[str, Any], result: EvaluationResult, tmp_path: Path
) -> None:
    write_report(document, tmp_path / "report", pictures=PNG, tables=_tables(result))
    for name in ("report.html", "metrics.json", "tripod_ai.html", "tripod_ai.csv"):
        text = (tmp_path / "report" / name).read_text()
        for planted in (PLANTED_RECORD, PLANTED_LINE, "planted-", "subject-"):
            assert planted not in text
    assert list(pd.read_parquet(tmp_path / "report" / "metrics.parquet")) == list(result.to_table())


def test_numbers_on_the_page_are_those_of_metrics_json(
    document: dict[str, Any], result: EvaluationResult, tmp_path: Path
) -> None:
    path = write_report(document, tmp_path / "report", pictures=PNG, tables=_tables(result))
    stored = json.loads((tmp_path / "report" / "metrics.json").read_text())
    html = path.read_text()
    assert html.count("<data ") > 200
    assert find_wrong_numbers(html, stored) == []
    stored["evaluation"]["labels"][0]["auroc"] += 0.001
    faults = find_wrong_numbers(html, stored)
    assert faults
    assert all("/evaluation/labels/0/auroc" in fault for fault in faults)


def test_page_with_a_number_of_its_own_is_not_written(
    document: dict[str, Any],
    result: EvaluationResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    marked = NumberMarker.__call__

    def write_wrong(marker: NumberMarker, path: str, kind: str = "ratio") -> Markup:
        return Markup(re.sub(r">[^<]*<", ">0.999<", marked(marker, path, kind)))

    monkeypatch.setattr(NumberMarker, "__call__", write_wrong)
    with pytest.raises(ReportError, match=r"0\.999"):
        write_report(document, tmp_path / "report", pictures=PNG, tables=_tables(result))
    assert not list(tmp_path.iterdir())


def test_pictures_get_file_names_whatever_the_label(
    document: dict[str, Any], result: EvaluationResult, tmp_path: Path
) -> None:
    write_report(document, tmp_path, pictures=PNG, tables=_tables(result))
    names = sorted(path.name for path in tmp_path.glob("*.png"))
    assert names == ["examples_of_av_block.png", "roc_curves.png"]


def test_two_runs_give_the_same_bytes(
    predictions: Predictions, result: EvaluationResult, tmp_path: Path
) -> None:
    found = []
    for name in ("first", "second"):
        bands = bootstrap_curves(predictions, result.reliability, n_resamples=3)
        pictures = draw_report_pictures(result, bands, Findings())
        document = make_document(predictions, result)
        tables = {"metrics.parquet": result.to_table(), "curves.parquet": bands.to_table()}
        write_report(document, tmp_path / name, pictures=pictures, tables=tables)
        found.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert found[0] == found[1]
    assert len(found[0]) == 11
