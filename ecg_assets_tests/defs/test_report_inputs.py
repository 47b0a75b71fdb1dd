from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
import pytest

from ecg_assets.defs.report_inputs import SHOWN_ASSETS, read_findings
from ecg_assets.defs.settings import Settings
from ecg_assets.evaluation import EvaluationResult, find_wrong_numbers
from ecg_assets.evaluation.shift.slices import SLICE_METRICS
from ecg_assets.models.predictions import Predictions
from ecg_assets_tests.defs.small_job import SmallJob
from ecg_assets_tests.evaluation.report.report_material import evaluate_simulated, make_findings
from ecg_assets_tests.evaluation.simulation import simulate_predictions


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(source="synthetic", data_dir=str(tmp_path), device="cpu")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def predictions() -> Predictions:
    return simulate_predictions(120)


def _made_from(instance: dg.DagsterInstance, asset: str, version: str) -> None:
    tags = {"dagster/input_data_version/predictions": version}
    event = dg.AssetMaterialization(asset_key=asset, partition="tiny-1", tags=tags)
    instance.report_runless_asset_event(event)


def _store_slices(settings: Settings, predictions: Predictions, result: EvaluationResult) -> None:
    slices = make_findings(predictions, result).slices
    assert slices is not None
    path = settings.stored.folder("slice_metrics") / "tiny-1.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(SLICE_METRICS.from_pandas(slices), path)


def _store_evaluation(settings: Settings, name: str, predictions: Predictions) -> None:
    for asset in ("eval_metrics", "predictions"):
        settings.stored.folder(asset).mkdir(parents=True, exist_ok=True)
    result = evaluate_simulated(predictions, name)
    path = settings.stored.folder("eval_metrics") / f"{name}.json"
    path.write_text(json.dumps(result.to_json()))
    pq.write_table(
        predictions.to_table(), settings.stored.folder("predictions") / f"{name}.parquet"
    )


def test_nothing_stored_is_nothing_found(
    instance: dg.DagsterInstance, settings: Settings, predictions: Predictions
) -> None:
    found = read_findings(instance, settings, evaluate_simulated(predictions), predictions)
    shown = (found.slices, found.external, found.lead_degradation, found.label_noise)
    assert shown == (None, None, None, None)
    assert found.difference is None
    assert "no other checkpoint" in found.not_compared


@pytest.mark.parametrize(("version", "is_shown"), [("now", True), ("before", False)])
def test_table_of_other_predictions_counts_as_absent(
    instance: dg.DagsterInstance,
    settings: Settings,
    predictions: Predictions,
    version: str,
    is_shown: bool,
) -> None:
    result = evaluate_simulated(predictions)
    _store_slices(settings, predictions, result)
    _made_from(instance, "eval_metrics", "now")
    _made_from(instance, "slice_metrics", version)
    found = read_findings(instance, settings, result, predictions)
    assert (found.slices is not None) is is_shown


def test_difference_is_from_the_stored_champion(
    instance: dg.DagsterInstance, settings: Settings, predictions: Predictions
) -> None:
    better = np.clip(predictions.score * 0.2 + 0.7 * predictions.target, 0, 1)
    best = Predictions(
        predictions.record_ids,
        predictions.subject_ids,
        predictions.vocabulary,
        predictions.target,
        better.astype(np.float32),
    )
    _store_evaluation(settings, "best", best)
    result = evaluate_simulated(predictions)
    found = read_findings(instance, settings, result, predictions).difference
    assert found is not None
    assert (found.champion, found.other, found.other_weights_sha256) == ("best", "best", None)
    macro = found.to_json()["macro_auroc"]
    expected = result.labels["auroc"].mean() - evaluate_simulated(best).labels["auroc"].mean()
    assert macro["difference"] == pytest.approx(expected)
    (settings.stored.folder("predictions") / "best.parquet").unlink()
    found_nothing = read_findings(instance, settings, result, predictions)
    assert "best are no longer stored" in found_nothing.not_compared


def test_report_of_a_job_shows_everything_and_names_nobody(finished: SmallJob) -> None:
    checkpoint = finished.checkpoints[0]
    folder = finished.settings.stored.folder("eval_report") / checkpoint
    html, text = ((folder / name).read_text() for name in ("report.html", "metrics.json"))
    metrics = json.loads(text)
    stored = finished.settings.stored.folder("eval_metrics") / f"{checkpoint}.json"
    assert metrics["evaluation"] == json.loads(stored.read_text())
    assert find_wrong_numbers(html, metrics) == []
    assert "Nothing is stored: materialize" not in html
    assert set(metrics["shown"]) == set(SHOWN_ASSETS)
    assert metrics["model_card"]["kind"] == "trained here"
    items = {row["item"]: row for row in metrics["tripod_ai"]["items"]}
    assert items["12a"]["status"] == items["12g"]["status"] == items["21"]["status"] == "stated"
    records = pq.read_table(finished.settings.stored.root / "record_list.parquet")
    ids = {*records["subject_id"].to_pylist(), *records["record_id"].to_pylist()}
    described = (finished.settings.stored.root / "croissant.json").read_text()
    checklist = (folder / "tripod_ai.html").read_text()
    shown = re.sub(r"base64,[^\"]+", "", html) + text + checklist + described
    words = set(re.findall(r"[\w./-]+", shown))
    assert not ids & words


def test_report_depends_on_what_it_shows(finished: SmallJob) -> None:
    graph = finished.definitions.resolve_asset_graph()
    parents = {key.to_user_string() for key in graph.get(dg.AssetKey("eval_report")).parent_keys}
    assert {*SHOWN_ASSETS, "predictions", "eval_metrics", "manifests"} <= parents
