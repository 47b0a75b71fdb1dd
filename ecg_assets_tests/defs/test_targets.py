"""Numbers and a partly measured label, from the table of labels to the report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score, roc_auc_score

from ecg_assets.build import read_manifest
from ecg_assets.errors import SettingsError
from ecg_assets.evaluation.production import export_production
from ecg_assets.evaluation.result import read_result
from ecg_assets.known import NOT_MEASURED
from ecg_assets.models.checkpoint import load_trained
from ecg_assets.models.predictions import Predictions
from ecg_assets_tests.defs.small_job import TABLES, SmallJob

NUMBERS = """
targets:
  heart rate: {of: heart_rate}
  age:
  PR interval: {of: pr_interval}
"""
PARTLY = """
labels:
  Sinus rhythm: {measured_by: [p_axis]}
  Tachycardia:
"""
EVALUATED = (
    *("checkpoint", "predictions", "eval_metrics", "external_metrics", "lead_degradation"),
    *("slice_metrics", "label_noise", "eval_report"),
)


def _job(folder: Path, instance: dg.DagsterInstance, text: str) -> SmallJob:
    path = folder / "labels.yaml"
    path.write_text(text, encoding="utf-8")
    return SmallJob.at(folder, instance, label_set=str(path))


def _run(job: SmallJob, **config: Any) -> str:
    """Run what is needed from the tables to the leaderboard; give the checkpoint's name."""
    job.materialize(*TABLES)
    job.materialize("signal_shards", shards=job.shards)
    job.materialize("computed_labels", "manifests", "signal_quality", "label_crosswalk", "drift")
    job.materialize("finetuned_checkpoint", config={"finetuned_checkpoint": {"config": config}})
    (checkpoint,) = job.checkpoints
    job.materialize(*EVALUATED, partition=checkpoint)
    job.materialize("embeddings", "record_scores", partition=checkpoint)
    job.materialize("refused_checkpoints", "leaderboard")
    return checkpoint


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SmallJob, str]]:
    folder = tmp_path_factory.mktemp("numbers")
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        job = _job(folder, instance, NUMBERS)
        yield job, _run(job, epochs=8, objective="huber", patience=0)


@pytest.fixture(scope="module")
def partly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SmallJob, str]]:
    folder = tmp_path_factory.mktemp("partly")
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        job = _job(folder, instance, PARTLY)
        yield job, _run(job, epochs=2)


def _stored(job: SmallJob, asset: str, checkpoint: str) -> Predictions:
    import pyarrow.parquet as pq

    path = job.settings.stored.folder(asset) / f"{checkpoint}.parquet"
    return Predictions.from_table(pq.read_table(path))


def test_table_of_numbers_holds_what_the_tables_measured(numbers: tuple[SmallJob, str]) -> None:
    job, _ = numbers
    stored = job.settings.stored
    labels = pd.read_parquet(stored.table_path("labels")).astype({"record_id": str, "label": str})
    table = labels.pivot(index="record_id", columns="label", values="value")
    reports = pd.read_parquet(stored.table_path("machine_reports")).set_index("record_id")
    records = pd.read_parquet(stored.table_path("record_list")).set_index("record_id")
    rate = 60_000 / reports["rr_interval"].loc[table.index]
    np.testing.assert_allclose(table["heart rate"], rate, rtol=1e-6)
    np.testing.assert_array_equal(table["age"], records["age"].loc[table.index])
    # Atrial fibrillation has no P wave to measure.
    assert 0 < table["PR interval"].isna().sum() < len(table)


def test_numbers_reach_report_and_leaderboard(numbers: tuple[SmallJob, str]) -> None:
    job, checkpoint = numbers
    stored = job.settings.stored
    result = read_result(stored.folder("eval_metrics") / f"{checkpoint}.json")
    assert not isinstance(result, list)
    predictions = _stored(job, "predictions", checkpoint)
    for place, row in enumerate(result.labels.to_dict("records")):
        known = ~np.isnan(predictions.target[:, place])
        pair = predictions.target[known, place], predictions.score[known, place]
        assert row["n"] == known.sum()
        assert row["r2"] == pytest.approx(r2_score(*pair), rel=1e-6)
    assert result.labels["unit"].tolist() == ["bpm", "years", "ms"]
    page = stored.folder("eval_report") / checkpoint / "report.html"
    text = page.read_text(encoding="utf-8")
    assert "Predicted against measured" in text
    document = json.loads((page.parent / "metrics.json").read_text(encoding="utf-8"))
    assert document["evaluation"]["macro"]["r2"] == pytest.approx(result.macro["r2"])
    table = pd.read_parquet(stored.table_path("leaderboard"))
    assert table["macro_r2"].tolist() == [pytest.approx(result.macro["r2"])]
    assert table["macro_auroc"].isna().all()


def test_heart_rate_is_learned(numbers: tuple[SmallJob, str]) -> None:
    job, checkpoint = numbers
    predictions = _stored(job, "predictions", checkpoint)
    known = ~np.isnan(predictions.target[:, 0])
    assert np.corrcoef(predictions.target[known, 0], predictions.score[known, 0])[0, 1] > 0.5
    # In its unit, about the cohort's mean.
    assert 50 < predictions.score[:, 0].mean() < 130


def test_what_measures_labels_is_skipped_with_the_reason(numbers: tuple[SmallJob, str]) -> None:
    job, checkpoint = numbers
    for asset in ("slice_metrics", "label_noise", "lead_degradation", "external_metrics"):
        assert "numbers" in job.metadata(asset, checkpoint)["skipped"]
    for asset in ("computed_labels", "label_crosswalk"):
        assert "numbers" in job.metadata(asset)["skipped"]
    folder = job.settings.store.checkpoints / checkpoint
    with pytest.raises(SettingsError, match="have no thresholds"):
        export_production(folder, folder.parent / "production")


def test_objective_of_labels_is_refused_with_what_to_set(numbers: tuple[SmallJob, str]) -> None:
    job, _ = numbers
    with pytest.raises(SettingsError, match="Set objective: mean-squared-error or huber"):
        job.materialize(
            "finetuned_checkpoint", config={"finetuned_checkpoint": {"config": {"epochs": 1}}}
        )


def test_partly_measured_label_is_unknown_from_table_to_metrics(
    partly: tuple[SmallJob, str],
) -> None:
    job, checkpoint = partly
    stored = job.settings.stored
    labels = pd.read_parquet(stored.table_path("labels"))
    reports = pd.read_parquet(stored.table_path("machine_reports"))
    missing = set(reports.loc[reports["p_axis"].isna(), "record_id"])
    of_label = labels[labels["label"] == "Sinus rhythm"]
    unknown = of_label[of_label["value"] == -1]
    # A report that says sinus rhythm says it, whatever the cart measured.
    assert set(unknown["record_id"]) <= missing
    assert 0 < len(unknown) < len(of_label)
    manifest = read_manifest(stored.folder("manifests"))
    train = manifest.targets[manifest.rows("train"), 0]
    n_pos, n_neg = int((train == 1).sum()), int((train == 0).sum())
    assert manifest.pos_weight[0] == (n_neg / n_pos)
    predictions = _stored(job, "predictions", checkpoint)
    known = predictions.target[:, 0] != NOT_MEASURED
    assert 0 < known.sum() < len(known)
    result = read_result(stored.folder("eval_metrics") / f"{checkpoint}.json")
    assert not isinstance(result, list)
    row = result.labels.iloc[0]
    assert row["n"] == known.sum()
    target, score = predictions.target[known, 0], predictions.score[known, 0]
    if 0 < target.sum() < len(target):
        assert row["auroc"] == pytest.approx(roc_auc_score(target, score))
    assert (stored.folder("eval_report") / checkpoint / "report.html").is_file()
    trained = load_trained(job.settings.store.checkpoints / checkpoint)
    assert trained.vocabulary.units == ()
