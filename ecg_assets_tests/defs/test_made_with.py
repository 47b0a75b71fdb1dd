"""A number comes from what made it: settings that changed since are refused or do not count."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ecg_assets.build import read_manifest
from ecg_assets.defs.checks.evaluation import no_evaluated_patient_was_trained_on
from ecg_assets.errors import LeakageError, StaleInput
from ecg_assets.models.seen_patients import (
    FINE_TUNING,
    SeenPatients,
    TrainingStage,
    hash_patients,
)
from ecg_assets_tests.defs.small_job import SmallJob


@pytest.fixture
def copy(finished: SmallJob, tmp_path: Path) -> Iterator[SmallJob]:
    """The finished job's results and events, to be changed by a test."""
    with finished.copied_to(tmp_path / "home") as job:
        yield job


def _with(job: SmallJob, **changes: Any) -> SmallJob:
    return SmallJob(job.instance, job.settings_with(**changes))


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"seed": 2}, "split_rule: manifests .*seed 1.*, settings now .*seed 2"),
        ({"test_share": 0.3}, "split_rule: .*80/10/10.*60/10/30"),
        ({"label_threshold": 0.9}, "label_threshold: manifests 0.5, settings now 0.9"),
        ({"label_set": "six-conditions"}, "label_set: .*ecg-fm-17.*six-conditions"),
        ({"signal_kind": "ecg-founder"}, "signal_spec: .*z-score-per-lead.*z-score-all-leads"),
        ({"flawed_records": "keep"}, "exclusion: .*false.*true"),
        ({"max_per_condition": "20"}, "train_limit: manifests null, settings now .*20"),
        ({"n_synthetic_records": 60}, "source_settings: .*160.*60"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_training_on_manifests_of_other_settings_is_refused(
    copy: SmallJob, changes: dict[str, Any], fact: str
) -> None:
    job = _with(copy, **changes)
    with pytest.raises(StaleInput, match=f"(?s)manifests was made with other.*{fact}"):
        job.train()


def test_pre_training_reads_no_labels_and_is_refused_for_its_split(copy: SmallJob) -> None:
    with pytest.raises(StaleInput, match="split_rule"):
        _with(copy, seed=2).pretrain()
    before = copy.version("pretrained_checkpoint")
    _with(copy, label_threshold=0.9).pretrain()
    assert copy.version("pretrained_checkpoint") == before


def test_a_checkpoint_says_what_its_manifests_were_made_with(finished: SmallJob) -> None:
    folder = finished.settings.store.checkpoints / finished.checkpoints[0]
    run = json.loads((folder / "run.json").read_text())
    manifest = read_manifest(finished.settings.stored.folder("manifests"))
    assert run["trained_on"] == json.loads(json.dumps(dict(manifest.made_with)))
    assert run["trained_on"]["split_rule"] == "hash of patient, seed 1, 80/10/10"
    assert run["trained_on"]["label_threshold"] == 0.5


def test_another_split_never_evaluates_a_patient_that_was_trained_on(copy: SmallJob) -> None:
    """The leak: manifests of seed 1, training, then split and manifests of seed 2."""
    name = copy.checkpoints[0]
    other = _with(copy, seed=2)
    other.materialize("split")
    other.materialize("manifests")
    with pytest.raises(LeakageError, match=f"in train or valid of {name}"):
        other.materialize("predictions", partition=name)
    with pytest.raises(LeakageError):
        other.materialize("lead_degradation", partition=name)


def test_the_check_counts_patients_of_a_planted_checkpoint(copy: SmallJob) -> None:
    name = copy.checkpoints[0]
    path = copy.settings.stored.table_path("predictions", name)
    evaluated = sorted(set(pq.read_table(path)["subject_id"].to_pylist()))
    stage = TrainingStage("planted", FINE_TUNING, "synthetic")
    planted = SeenPatients((stage,), (hash_patients(evaluated[:3], stage),))
    planted.write(copy.settings.store.checkpoints / name)
    selection = dg.AssetSelection.checks(no_evaluated_patient_was_trained_on)
    mine = dg.Definitions(jobs=[dg.define_asset_job("one_check", selection)])
    job = dg.Definitions.merge(copy.definitions, mine).resolve_job_def("one_check")
    result = job.execute_in_process(
        instance=copy.instance, tags={"dagster/partition": name}, raise_on_error=False
    )
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed and check.severity == dg.AssetCheckSeverity.ERROR
    assert check.metadata["patients_seen_in_training"].value == 3
    copy.materialize("eval_metrics", partition=name)
    metrics = json.loads((copy.settings.stored.folder("eval_metrics") / f"{name}.json").read_text())
    (seen,) = metrics["seen_in_training"]
    assert (seen["evaluated_patients_seen"], seen["is_leak"]) == (3, True)


def test_the_report_states_facts_whatever_the_settings_are_now(copy: SmallJob) -> None:
    name = copy.checkpoints[0]
    changed = _with(copy, label_threshold=0.0, seed=9)
    changed.materialize("eval_report", partition=name)
    folder = copy.settings.stored.folder("eval_report") / name
    rules = json.loads((folder / "metrics.json").read_text())["rules"]
    assert rules["label_threshold"] == 0.5
    assert rules["split_rule"] == "hash of patient, seed 1, 80/10/10"
    assert "seed 9" not in (folder / "report.html").read_text()


def test_tables_of_different_cohorts_are_not_joined(copy: SmallJob, tmp_path: Path) -> None:
    """The cohort became smaller, and only some of what follows was made again."""
    smaller = _with(
        copy, n_synthetic_records=100, raw_root=str(tmp_path / "smaller"), max_rejected_share=0.5
    )
    smaller.materialize("record_list")
    with pytest.raises(StaleInput, match=r"(labels|split) was made with other|different things"):
        smaller.materialize("manifests")
    smaller.materialize("machine_reports", "labels", "label_evidence", "unmatched_statements")
    smaller.materialize("split")
    with pytest.raises(StaleInput, match="shards"):
        smaller.materialize("manifests")
    smaller.materialize("signal_shards", shards=smaller.shards)
    smaller.materialize("manifests")
    manifest = read_manifest(smaller.settings.stored.folder("manifests"))
    assert manifest.made_with["source_settings"] == {"n_records": 100}


def test_a_table_of_an_earlier_version_says_what_to_do(copy: SmallJob) -> None:
    path = copy.settings.stored.table_path("split")
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata(None), path)
    with pytest.raises(StaleInput, match=r"split does not say what it was made with.*Materialize"):
        copy.materialize("manifests")


def test_results_of_another_version_are_skipped_with_a_row_by_every_reader(
    copy: SmallJob, capsys: pytest.CaptureFixture[str]
) -> None:
    name = copy.checkpoints[0]
    folder = copy.settings.stored.folder("eval_metrics")
    old = json.loads((folder / f"{name}.json").read_text())
    (folder / "removed.json").write_text(json.dumps({**old, "checkpoint": "removed", "x": 1}))
    (folder / "cut.json").write_text('{"checkpoint": ')
    for removed in ("removed", "cut"):
        copy.instance.add_dynamic_partitions("checkpoint", [removed])
    copy.materialize("eval_report", partition=name)
    page = copy.settings.stored.folder("eval_report") / name / "report.html"
    assert "2 evaluations of another version were skipped" in page.read_text()
    copy.materialize("leaderboard")
    shown = copy.metadata("leaderboard")["skipped_results"]
    assert {row.data["checkpoint"] for row in shown.records} == {"removed", "cut"}
    from ecg_assets.defs.demo_run import summary_text

    text = summary_text(copy.settings)
    assert "'removed'" in text and "cut.json" in text


def test_stored_facts_are_in_the_files_themselves(finished: SmallJob) -> None:
    from ecg_assets.made_with import read_facts

    stored = finished.settings.stored
    labels = read_facts(pq.read_schema(stored.table_path("labels")))
    split = read_facts(pq.read_schema(stored.table_path("split")))
    shard = read_facts(pq.read_schema(stored.shards / f"{finished.shards[0]}.parquet"))
    predictions = read_facts(
        pq.read_schema(stored.table_path("predictions", finished.checkpoints[0]))
    )
    assert labels is not None and labels["label_set"] == "ecg-fm-17"
    assert split is not None and split["split_rule"] == "hash of patient, seed 1, 80/10/10"
    assert shard is not None and shard["stored_leads"] == ["I"]
    assert predictions is not None
    for fact in ("source", "source_settings", "label_threshold", "split_rule", "signal_spec"):
        assert fact in predictions, fact
    assert isinstance(pq.read_table(stored.table_path("labels")).to_pandas(), pd.DataFrame)
