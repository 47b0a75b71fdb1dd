"""A checkpoint on other sources and with fewer leads, through the graph."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from ecg_assets.errors import SettingsError
from ecg_assets.evaluation.external.evaluate_sets import choose_sources
from ecg_assets.evaluation.leads import DIFFERENCE
from ecg_assets.labels import ECG_FM_LABELS
from ecg_assets.models.checkpoint import save_trained
from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.models.predictions import Predictions
from ecg_assets.models.seen_patients import (
    FINE_TUNING,
    SeenPatients,
    TrainingStage,
    hash_patients,
)
from ecg_assets.preprocess import STANDARD_LEADS
from ecg_assets.sources.physionet2021 import SNOMED_CT
from ecg_assets.sources.ptb_xl import SCP_ECG
from ecg_assets.sources.schema import MACHINE_REPORTS, NO_LABEL
from ecg_assets_tests.defs.small_job import TABLES, SmallJob
from ecg_assets_tests.labels.reports import make_reports

CODES = {
    "ptb-xl": (SCP_ECG, {"Sinus rhythm": "SR 0", "Right bundle branch block": "CRBBB 100"}, "NORM"),
    "code-15": ("code-15", {"Right bundle branch block": "RBBB"}, NO_LABEL),
    "physionet-2021": (SNOMED_CT, {"Right bundle branch block": "713427006"}, "39732003"),
}
"""Coding, codes of labels, and the line of a recording without any, by source."""


@pytest.fixture(scope="module")
def beside_others(
    finished: SmallJob, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SmallJob]:
    """Store the synthetic cohort again as three other sources, under their codes."""
    folder = tmp_path_factory.mktemp("others")
    shutil.copytree(finished.settings.store.checkpoints, folder / "data" / "checkpoints")
    for source in CODES:
        _store_as(source, finished.settings.stored.root, folder / "data" / source)
    (folder / "data" / "folder").mkdir()
    with dg.DagsterInstance.ephemeral() as instance:
        job = SmallJob.at(folder, instance)
        instance.add_dynamic_partitions("checkpoint", finished.checkpoints)
        job.materialize("external_metrics", partition=finished.checkpoints[0])
        yield job


def _store_as(source: str, results: Path, folder: Path) -> None:
    folder.mkdir()
    for name in ("signal_shards", "manifests", "record_list.parquet", "split.parquet"):
        (folder / name).symlink_to(results / name)
    coding, code_of, otherwise = CODES[source]
    labels = pq.read_table(results / "labels.parquet").to_pandas()
    positive = labels[labels["value"] == 1].groupby("record_id", observed=True)["label"].agg(list)
    lines = {
        record: [code_of[label] for label in positive.get(record, []) if label in code_of]
        for record in labels["record_id"].unique()
    }
    reports = make_reports({k: v or [otherwise] for k, v in lines.items()}, coding=coding)
    pq.write_table(MACHINE_REPORTS.from_pandas(reports), folder / "machine_reports.parquet")


def _results(job: SmallJob) -> dict[str, dict[str, Any]]:
    path = job.settings.stored.folder("external_metrics") / f"{job.checkpoints[0]}.json"
    return {result["evaluation_set"]["source"]: result for result in json.loads(path.read_text())}


def _overview(job: SmallJob) -> dict[str, dict[str, Any]]:
    folder = job.settings.stored.folder("external_predictions") / job.checkpoints[0]
    return {row["source"]: row for row in json.loads((folder / "sets.json").read_text())}


def test_without_another_source_there_is_nothing_to_evaluate(finished: SmallJob) -> None:
    assert _results(finished) == {}
    assert _overview(finished) == {}


def test_crosswalk_says_what_each_source_expresses(finished: SmallJob) -> None:
    path = finished.settings.stored.root / "label_crosswalk.parquet"
    table = pq.read_table(path).to_pandas()
    is_mapped = table.groupby(["evaluation_source", "label"])["is_mapped"].any()
    assert is_mapped["synthetic"].all()
    assert not is_mapped["ptb-xl"]["Poor data quality"]
    assert not is_mapped["folder"].any()


def test_every_stored_source_is_a_set_and_others_are_skipped_with_a_reason(
    beside_others: SmallJob,
) -> None:
    results = _results(beside_others)
    assert set(results) == set(CODES)
    for source, result in results.items():
        assert (result["evaluation_set"]["part"], result["relation"]) == ("all", "external")
        row = _overview(beside_others)[source]
        assert row["evaluation_set"] == f"{source}, all recordings (external)"
        assert row["records"] == result["n_records"]
    skipped = _overview(beside_others)["folder"]
    assert skipped["state"] == "skipped"
    assert "ECG_SOURCE=folder" in skipped["note"]


def test_unmapped_labels_are_named_and_have_no_numbers(beside_others: SmallJob) -> None:
    result = _results(beside_others)["ptb-xl"]
    rows = {row["label"]: row for row in result["labels"]}
    assert list(rows) == list(ECG_FM_LABELS.names)
    for label in ("Poor data quality", "Ventricular tachycardia"):
        assert result["undefined"][label].startswith("No SCP-ECG statement of PTB-XL names")
        assert rows[label]["n"] == rows[label]["n_pos"] == 0
        assert rows[label]["brier"] is None
    assert rows["Right bundle branch block"]["n"] == result["n_records"]
    assert result["undefined"]["Infarction"] == "no positive record in the evaluation set"


def test_a_recording_has_the_score_and_target_that_it_has_at_home(
    finished: SmallJob, beside_others: SmallJob
) -> None:
    name = finished.checkpoints[0]
    at_home = Predictions.from_table(
        pq.read_table(finished.settings.stored.folder("predictions") / f"{name}.parquet")
    )
    folder = beside_others.settings.stored.folder("external_predictions") / name
    for source in CODES:
        found = Predictions.from_table(pq.read_table(folder / f"{source}.parquet"))
        rows = pd.Index(found.record_ids).get_indexer(pd.Index(at_home.record_ids))
        columns = [at_home.vocabulary.names.index(label) for label in found.vocabulary.names]
        assert np.allclose(found.score[rows], at_home.score[:, columns], atol=1e-6)
        label = "Right bundle branch block"
        ours, theirs = (p.vocabulary.names.index(label) for p in (found, at_home))
        assert np.array_equal(found.target[rows, ours], at_home.target[:, theirs])


def test_training_source_gives_its_test_split_and_an_overlap_is_not_external(
    beside_others: SmallJob, tmp_path: Path
) -> None:
    name = beside_others.checkpoints[0]
    shutil.copytree(beside_others.settings.data_path, tmp_path / "data", symlinks=True)
    path = tmp_path / "data" / "checkpoints" / name / "run.json"
    run = json.loads(path.read_text())
    path.write_text(json.dumps({**run, "trained_on": {"source": "ptb-xl"}}))
    stage = TrainingStage("planted", FINE_TUNING, "ptb-xl")
    SeenPatients((stage,), (hash_patients(["another"], stage),)).write(path.parent)
    with dg.DagsterInstance.ephemeral() as instance:
        job = SmallJob.at(tmp_path, instance)
        instance.add_dynamic_partitions("checkpoint", [name])
        config = {"sets": ["ptb-xl", "physionet-2021"], "n_resamples": 50}
        run_result = job.materialize(
            "external_metrics", partition=name, config={"external_metrics": {"config": config}}
        )
        found = {source: row["evaluation_set"] for source, row in _overview(job).items()}
    assert found == {
        "ptb-xl": "ptb-xl, test split",
        "physionet-2021": "physionet-2021, all recordings (overlaps with the training data)",
    }
    (check,) = run_result.get_asset_check_evaluations()
    assert not check.passed
    overlapping = check.metadata["overlapping"].value
    assert "PhysioNet 2021 contains the recordings of PTB-XL" in str(overlapping)


def test_sets_to_evaluate_on_can_be_named(beside_others: SmallJob) -> None:
    stored = beside_others.settings.stored
    assert choose_sources(stored, ["code-15", "synthetic"]) == ["code-15"]
    with pytest.raises(SettingsError, match="names the sets \\['ptbxl'\\]"):
        choose_sources(stored, ["ptbxl"])


def test_lead_i_alone_is_one_point_and_the_others_say_why(finished: SmallJob) -> None:
    name = finished.checkpoints[0]
    folder = finished.settings.stored.folder("lead_degradation")
    table = pq.read_table(folder / f"{name}.parquet").to_pandas()
    macro = table[table["label"] == "macro"].set_index("leads")
    assert macro["value"].notna().sum() == 1
    assert macro["undefined"]["2 leads (I, II)"].startswith("not run: ")
    metrics = json.loads(
        (finished.settings.stored.folder("eval_metrics") / f"{name}.json").read_text()
    )
    assert macro["value"]["Lead I × 12"] == metrics["macro"]["auroc"]
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_twelve_stored_leads_give_the_whole_curve(finished: SmallJob, tmp_path: Path) -> None:
    """A model that reads twelve channels was made for Lead I in all of them."""
    torch.manual_seed(0)
    config = ecg_fm_config("tiny", n_channels=12, n_labels=len(ECG_FM_LABELS))
    folder = tmp_path / "data" / "checkpoints" / "twelve"
    folder.mkdir(parents=True)
    save_trained(
        folder, EcgFmForClassification(config), finished.settings.signal_spec, ECG_FM_LABELS
    )
    with dg.DagsterInstance.ephemeral() as instance:
        raw_root = str(finished.settings.source_root)
        job = SmallJob.at(tmp_path, instance, raw_root=raw_root, stored_leads=list(STANDARD_LEADS))
        job.materialize(*TABLES)
        job.materialize("signal_shards", shards=job.shards)
        job.materialize("manifests")
        instance.add_dynamic_partitions("checkpoint", ["twelve"])
        evaluated = ("predictions", "eval_metrics", "lead_degradation")
        job.materialize("checkpoint", *evaluated, partition="twelve")
        results = job.settings.stored.root
    table = pq.read_table(results / "lead_degradation" / "twelve.parquet").to_pandas()
    assert table["undefined"][table["label"] == "macro"].str.contains("not run").sum() == 0
    auroc = table[table["metric"] == "auroc"].set_index(["leads", "label"])
    metrics = json.loads((results / "eval_metrics" / "twelve.json").read_text())
    ordinary = {row["label"]: row for row in metrics["labels"]} | {"macro": metrics["macro"]}
    for label, row in auroc.loc["Lead I × 12"].iterrows():
        expected = [ordinary[str(label)][f"auroc{end}"] for end in ("", "_low", "_high")]
        found = row[["value", "low", "high"]].astype(float).to_list()
        assert found == pytest.approx([np.nan if e is None else e for e in expected], nan_ok=True)
    values = auroc["value"].unstack("leads").dropna()
    assert values.nunique(axis=1).max() == 4
    differences = table[(table["metric"] == DIFFERENCE) & (table["label"] == "macro")]
    assert len(differences) == 3


@pytest.mark.reference
def test_real_recordings_are_an_external_set_of_a_synthetic_checkpoint(
    finished: SmallJob, reference_data: Path, tmp_path: Path
) -> None:
    name = finished.checkpoints[0]
    with dg.DagsterInstance.ephemeral() as instance:
        raw_root = str(reference_data / "real_ecg" / "physionet2021")
        job = SmallJob.at(tmp_path, instance, source="physionet-2021", raw_root=raw_root)
        job.materialize(*TABLES)
        job.materialize("signal_shards", shards=job.shards)
        job.materialize("manifests")
        shutil.copytree(
            finished.settings.store.checkpoints / name, job.settings.store.checkpoints / name
        )
        instance.add_dynamic_partitions("checkpoint", [name])
        here = SmallJob(instance, job.settings_with(source="synthetic", raw_root=""))
        here.materialize("external_metrics", partition=name)
        result = _results(here)["physionet-2021"]
    assert (result["evaluation_set"]["part"], result["relation"]) == ("all", "external")
    assert result["n_records"] == 25
    assert "lead reversal alone has a code" in result["undefined"]["Poor data quality"]
    rows = {row["label"]: row for row in result["labels"]}
    assert rows["Poor data quality"]["n"] == 0
    assert rows["Sinus rhythm"]["n_pos"] > 0
    assert rows["Sinus rhythm"]["auroc"] is not None
    assert result["macro"]["auroc"] is not None
