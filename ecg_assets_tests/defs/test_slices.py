"""Slices, drift, doubted labels and leakage as assets and checks, with planted faults."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ecg_assets.build import Manifest, read_manifest
from ecg_assets.evaluation.label_noise import LABEL_NOISE
from ecg_assets.evaluation.shift.slices import SLICES
from ecg_assets.labels import LABELS
from ecg_assets.models.predictions import Predictions
from ecg_assets.models.seen_patients import (
    PRE_TRAINING,
    SeenPatients,
    TrainingStage,
    hash_patients,
    read_seen_patients,
)
from ecg_assets_tests.defs.small_job import SmallJob


@pytest.fixture
def job(finished: SmallJob, tmp_path: Path) -> Iterator[SmallJob]:
    """The finished job's tables, shards, manifests and checkpoint, free to be changed."""
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        copy = SmallJob.at(tmp_path, instance)
        for name in ("manifests", "signal_shards"):
            shutil.copytree(
                finished.settings.stored.folder(name), copy.settings.stored.folder(name)
            )
        for name in ("record_list", "machine_reports", "labels", "label_evidence", "split"):
            file = f"{name}.parquet"
            shutil.copy(finished.settings.stored.folder(file), copy.settings.stored.folder(file))
        checkpoint = finished.checkpoints[0]
        copy.settings.store.checkpoints.mkdir()
        source, target = (one.settings.store.checkpoints / checkpoint for one in (finished, copy))
        shutil.copytree(source, target)
        instance.add_dynamic_partitions("checkpoint", [checkpoint])
        instance.add_dynamic_partitions("shard", finished.shards)
        yield copy


def _read(job: SmallJob, name: str) -> pd.DataFrame:
    frame: pd.DataFrame = pq.read_table(job.settings.stored.folder(name)).to_pandas()
    return frame


def _failed(result: dg.ExecuteInProcessResult) -> set[str]:
    return {found.check_name for found in result.get_asset_check_evaluations() if not found.passed}


def _failed_before(finished: SmallJob) -> set[str]:
    """Names of the checks that ran and did not pass in the finished job."""
    keys = list(finished.definitions.resolve_asset_graph().asset_check_keys)
    records = finished.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    return {key.name for key, found in records.items() if found.status.value == "FAILED"}


def test_every_slice_has_each_recording_in_one_group(finished: SmallJob) -> None:
    checkpoint = finished.checkpoints[0]
    table = _read(finished, f"slice_metrics/{checkpoint}.parquet")
    n_records = finished.metadata("predictions", checkpoint)["records"]
    macro = table[(table["label"] == "macro") & (table["metric"] == "auroc")]
    assert macro.groupby("slice")["n"].sum().to_dict() == dict.fromkeys(SLICES, n_records)
    shown = finished.metadata("slice_metrics", checkpoint)
    assert "data:image/png;base64," in shown["macro_auroc_by_group"]
    assert shown["without_signal"] == shown["not_in_record_list"] == 0
    assert "shifted" in shown["note_on_years"]


def test_drift_compares_splits_shards_and_years(finished: SmallJob) -> None:
    table = _read(finished, "drift.parquet")
    groups = table.groupby("comparison")["group"].agg(set)
    assert groups["split"] == {"valid", "test"}
    assert groups["shard"] == set(finished.shards)
    assert {"age", "sex", "label/Sinus rhythm", "signal/std_mv_I"} <= set(table["quantity"])
    shown = finished.metadata("drift")
    assert "data:image/png;base64," in shown["stability"]
    assert shown["without_signal"] > 0  # the planted file faults


def test_labels_that_cannot_be_judged_are_named_with_the_reason(finished: SmallJob) -> None:
    """The small job's model has learned little, from few validation recordings: it says so."""
    checkpoint = finished.checkpoints[0]
    table = _read(finished, f"label_noise/{checkpoint}.parquet")
    shown = finished.metadata("label_noise", checkpoint)
    names = set(finished.metadata("manifests")["label_vocabulary"]["names"])
    assert set(shown["labels_not_judged"]) == names - set(table["label"])
    assert shown["pairs_judged"] == len(table)
    assert (finished.settings.stored.folder("label_review") / checkpoint / "labels.csv").is_file()


def test_planted_wrong_labels_of_the_cohort_are_listed_first(job: SmallJob) -> None:
    """Labels of the synthetic cohort, scores of a good model, and 1 % of labels turned over."""
    checkpoint, generator = job.checkpoints[0], np.random.default_rng(0)
    manifest = read_manifest(job.settings.stored.folder("manifests"))
    scored = _score(manifest, generator)
    folder = job.settings.store.checkpoints / checkpoint
    pq.write_table(scored.to_table(), folder / "validation_predictions.parquet")
    flips = generator.random(scored.target.shape) < 0.01
    scored.target[flips] ^= 1
    predictions = job.settings.stored.folder("predictions") / f"{checkpoint}.parquet"
    predictions.parent.mkdir()
    pq.write_table(scored.to_table(), predictions)
    _state_in_labels(job, scored)
    job.materialize("label_noise", partition=checkpoint)
    table = _read(job, f"label_noise/{checkpoint}.parquet")
    LABEL_NOISE.from_pandas(table)
    planted = pd.DataFrame(flips, scored.record_ids, scored.vocabulary.names).stack()
    pairs = pd.MultiIndex.from_frame(table[["record_id", "label"]])
    is_planted = planted.reindex(pairs).to_numpy()
    assert is_planted.sum() >= 15
    assert is_planted[: round(0.05 * len(table))].sum() > 0.9 * is_planted.sum()
    assert table.loc[table["value"] == 1, "line"].notna().any()
    shown = job.metadata("label_noise", checkpoint)
    assert "data:image/png;base64," in shown["strips"]
    text = json.dumps([str(value) for name, value in shown.items() if name != "strips"])
    assert not any(record in text for record in scored.record_ids)
    lines = set(table["line"].dropna()) - set(scored.vocabulary.names)
    assert lines and not any(line in text for line in lines)


def _score(manifest: Manifest, generator: np.random.Generator) -> Predictions:
    """Scores that tell the labels apart well, not perfectly, for every recording."""
    noise = generator.normal(size=manifest.targets.shape)
    log_odds = 3 * (noise + 5 * (manifest.targets - 0.5))
    return Predictions(
        record_ids=manifest.index["record_id"].to_numpy(dtype=str),
        subject_ids=manifest.index["subject_id"].to_numpy(dtype=str),
        vocabulary=manifest.vocabulary,
        target=manifest.targets.copy(),
        score=(1 / (1 + np.exp(-log_odds))).astype(np.float32),
    )


def _state_in_labels(job: SmallJob, scored: Predictions) -> None:
    """Write the targets as labels that the reports state."""
    n_records, n_labels = scored.target.shape
    frame = pd.DataFrame(
        {
            "record_id": np.repeat(scored.record_ids, n_labels),
            "label": np.tile(scored.vocabulary.names, n_records),
            "value": scored.target.ravel().astype(np.int8),
            "probability": scored.target.ravel().astype(np.float32),
        }
    )
    pq.write_table(LABELS.from_pandas(frame), job.settings.stored.folder("labels.parquet"))


def test_planted_drift_of_the_test_split_is_found(finished: SmallJob, job: SmallJob) -> None:
    assert "no_split_differs_from_train" not in _failed_before(finished)
    split, path = _read(job, "split.parquet"), job.settings.stored.folder("labels.parquet")
    labels = pq.read_table(path)
    tested = set(split.loc[split["split"] == "test", "record_id"])
    frame = labels.to_pandas()
    changed = frame["record_id"].isin(tested) & (frame["label"] == "Electronic pacemaker")
    value = frame["value"].mask(changed, 1).to_numpy()
    column = labels.schema.get_field_index("value")
    pq.write_table(labels.set_column(column, labels.schema.field(column), pa.array(value)), path)
    result = job.materialize("drift")
    assert _failed(result) == {"no_split_differs_from_train"}
    (check,) = result.get_asset_check_evaluations()
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert check.metadata["shifted"].value == 1


def test_a_checkpoint_whose_pre_training_saw_a_test_patient_is_found_by_one_check(
    finished: SmallJob, job: SmallJob
) -> None:
    checkpoint = job.checkpoints[0]
    manifest = read_manifest(job.settings.stored.folder("manifests"))
    patient = manifest.index.loc[manifest.index["split"] == "test", "subject_id"].min()
    folder = job.settings.store.checkpoints / checkpoint
    own = read_seen_patients(folder)
    before = TrainingStage("pre-1", PRE_TRAINING, "synthetic")
    planted = (*own.patients, hash_patients([patient], before))
    SeenPatients((*own.stages, before), planted).write(folder)
    result = job.materialize("checkpoint", "predictions", "eval_metrics", partition=checkpoint)
    assert _failed(result) - _failed_before(finished) == {"no_evaluated_patient_was_trained_on"}
    found = {check.check_name: check for check in result.get_asset_check_evaluations()}
    check = found["no_evaluated_patient_was_trained_on"]
    assert check.metadata["patients_seen_in_training"].value == 1
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert patient not in str(check.metadata)
