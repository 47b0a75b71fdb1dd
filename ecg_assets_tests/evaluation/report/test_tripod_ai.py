from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ecg_assets.evaluation import EvaluationResult, Findings, find_wrong_numbers, write_report
from ecg_assets.evaluation.report.document import describe_checkpoint
from ecg_assets.evaluation.report.numbers import resolve_pointer
from ecg_assets.evaluation.report.tripod_ai import fill_checklist, read_items
from ecg_assets.evaluation.sets import Relation
from ecg_assets.models.checkpoint_folder import CONFIG, LABEL_VOCABULARY, RUN, SIGNAL_SPEC, WEIGHTS
from ecg_assets.models.predictions import Predictions
from ecg_assets_tests.evaluation.report.report_material import (
    evaluate_simulated,
    make_document,
    make_findings,
)
from ecg_assets_tests.evaluation.report.test_checkpoint_facts import RUN_RECORD
from ecg_assets_tests.evaluation.simulation import simulate_predictions

NUMBERS = (
    "1 2 3a 3b 3c 4 5a 5b 6a 6b 6c 7 8a 8b 8c 9a 9b 9c 10 11 12a 12b 12c 12d 12e 12f 12g 13 14 15 "
    "16 17 18a 18b 18c 18d 18e 18f 19 20a 20b 20c 21 22 23a 23b 24 25 26 27a 27b 27c"
)
"""27 items, 52 with their parts, in the guideline's order."""
AUTHORS_ALONE = "2 3a 3b 3c 5b 6a 6c 8b 8c 9c 12f 17 18a 18b 18c 18d 18e 19 20c 24 25 27b 27c"


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    simulated = simulate_predictions(120)
    subjects = np.array([f"subject-{row // 2}" for row in range(120)])
    return replace(simulated, subject_ids=subjects)


@pytest.fixture(scope="module")
def result(predictions: Predictions) -> EvaluationResult:
    """Evaluate, with the facts that a stored evaluation of recordings carries."""
    facts = {
        "label_set": "ecg-fm-17",
        "label_threshold": 0.5,
        "exclusion": {"allow_flat": False, "max_missing_share": 0.2},
    }
    seen = {"training": "tiny-1", "kind": "fine-tuning", "source": "synthetic", "is_leak": False}
    return replace(
        evaluate_simulated(predictions),
        made_with=facts,
        seen_in_training=[{**seen, "evaluated_patients_seen": 0, "statement": "Compared."}],
        lineage={"weights": "c" * 64},
        relation=Relation.OWN,
    )


@pytest.fixture(scope="module")
def document(
    predictions: Predictions, result: EvaluationResult, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Build the document of a checkpoint that was trained here, with all findings."""
    folder = tmp_path_factory.mktemp("checkpoint")
    (folder / WEIGHTS).write_bytes(b"weights")
    files = {SIGNAL_SPEC: result.signal_spec, LABEL_VOCABULARY: result.label_vocabulary}
    for name, value in {CONFIG: {}, RUN: RUN_RECORD, **files}.items():
        (folder / name).write_text(json.dumps(value))
    plain = make_document(predictions, result, make_findings(predictions, result))
    recipe = {**RUN_RECORD["request"]["recipe"], "objective": "multi-label"}
    card = {**describe_checkpoint(folder), "recipe": recipe}
    return {**plain, "model_card": card, "tripod_ai": fill_checklist({**plain, "model_card": card})}


def _by_item(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["item"]: row for row in fill_checklist(document)["items"]}


def test_items_are_those_of_the_guideline_in_its_order() -> None:
    items = read_items()
    assert " ".join(one.item for one in items) == NUMBERS
    assert len(items) == 52
    of_one = {
        kind: [one.item for one in items if one.applies == kind]
        for kind in ("development", "evaluation")
    }
    assert of_one["development"] == ["9a", "12a", "12b", "12c", "15", "22", "27a", "27b"]
    assert of_one["evaluation"] == ["12f", "12g", "20c", "24"]
    assert all(one.known or one.authors for one in items)


def test_every_place_is_one_that_a_full_report_fills(document: dict[str, Any]) -> None:
    missing = {row["item"]: row["missing"] for row in document["tripod_ai"]["items"]}
    assert {item: what for item, what in missing.items() if what} == {}


def test_what_is_stated_stands_where_the_checklist_points(document: dict[str, Any]) -> None:
    for row in document["tripod_ai"]["items"]:
        assert (row["status"] == "not stated") == (not row["evidence"])
        for one in row["evidence"]:
            assert resolve_pointer(document, one["at"]) not in (None, "", "unknown", [], {})


def test_what_only_authors_know_is_never_stated(document: dict[str, Any]) -> None:
    rows = _by_item(document)
    not_stated = [row for row in rows.values() if row["status"] == "not stated"]
    assert " ".join(row["item"] for row in not_stated) == AUTHORS_ALONE
    assert all(row["authors"] for row in not_stated)
    assert all(row["status"] != "stated" for row in rows.values() if row["authors"])
    assert rows["12a"]["status"] == rows["21"]["status"] == rows["23a"]["status"] == "stated"


def test_a_fact_that_the_results_lack_is_not_claimed(
    predictions: Predictions, result: EvaluationResult
) -> None:
    unrelated = replace(result, relation=Relation.UNKNOWN)
    alone = _by_item(make_document(predictions, unrelated, Findings()))
    assert alone["12c"]["status"] == alone["14"]["status"] == "not stated"
    assert "by age, sex and other groups" in alone["23a"]["missing"]
    assert alone["23a"]["status"] == "partly stated"
    assert alone["4"]["status"] == "not stated"  # of a checkpoint of kind "unknown"
    assert alone["16"]["missing"] == ["training data", "the one to the other"]


def test_an_overlap_that_is_unknown_is_missing(document: dict[str, Any]) -> None:
    changed = json.loads(json.dumps(document))
    changed["evaluation"]["seen_in_training"][0]["evaluated_patients_seen"] = None
    row = _by_item(changed)["12a"]
    assert row["missing"] == ["evaluated patients that its training saw"]
    assert row["status"] == "partly stated"
    assert _by_item(document)["12a"]["status"] == "stated"  # 0 is a number


def test_page_and_table_stand_beside_the_report(
    document: dict[str, Any], result: EvaluationResult, tmp_path: Path
) -> None:
    write_report(document, tmp_path, pictures={}, tables={"metrics.parquet": result.to_table()})
    html = (tmp_path / "tripod_ai.html").read_text(encoding="utf-8")
    stored = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert find_wrong_numbers(html, stored) == []
    assert stored["tripod_ai"] == document["tripod_ai"]
    assert 'href="tripod_ai.html"' in (tmp_path / "report.html").read_text(encoding="utf-8")
    table = pd.read_csv(tmp_path / "tripod_ai.csv", dtype=str, keep_default_na=False)
    assert " ".join(table["item"]) == NUMBERS
    row = table.set_index("item").loc["20a"]
    assert "patients evaluated: 60 (metrics.json /evaluation/n_patients)" in row["stated"]
    assert row["status"] == "partly stated"
