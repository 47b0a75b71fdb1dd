"""The whole job on real files: what a user finds after it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from ecg_assets.defs.demo_run import summary_text
from ecg_assets.defs.freshness import assets_to_run
from ecg_assets.defs.partitions import SHARDS
from ecg_assets.labels import ECG_FM_LABELS
from ecg_assets.sources import open_source
from ecg_assets_tests.defs.small_job import N_RECORDS, SmallJob


def test_every_asset_was_materialized(finished: SmallJob) -> None:
    graph = finished.definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        assert finished.instance.get_latest_materialization_event(key) is not None, key


def test_every_check_ran_and_no_blocking_one_failed(finished: SmallJob) -> None:
    graph = finished.definitions.resolve_asset_graph()
    records = finished.instance.event_log_storage.get_latest_asset_check_execution_by_key(
        list(graph.asset_check_keys)
    )
    assert set(records) == set(graph.asset_check_keys)
    for key, record in records.items():
        if graph.get(key).blocking:
            assert record.status.value == "SUCCEEDED", key


def test_records_are_kept_or_named_with_a_reason(finished: SmallJob) -> None:
    folder = finished.settings.stored.root
    index = pq.read_table(folder / "manifests" / "index.parquet").to_pandas()
    excluded = pq.read_table(folder / "manifests" / "excluded.parquet").to_pandas()
    assert len(index) + len(excluded) == N_RECORDS
    assert excluded["reason"].str.len().gt(0).all()
    assert not set(index["record_id"]) & set(excluded["record_id"])


def test_planted_file_faults_are_the_rejects(finished: SmallJob) -> None:
    """Unreadable files, and nothing else, stand in the rejects, each with its own reason."""
    source = open_source("synthetic", finished.settings.source_root, n_records=N_RECORDS)
    planted = pd.read_csv(source.root / "planted_faults.csv", dtype=str)
    expected = {
        "truncated_dat": "truncated_file",
        "missing_dat": "missing_file",
        "checksum_mismatch": "checksum_mismatch",
    }
    planted = planted[planted["fault"].isin(list(expected))]
    rejects = pd.concat(
        [pq.read_table(p).to_pandas() for p in finished.settings.stored.folder("rejects").iterdir()]
    )
    found = dict(zip(rejects["record_id"], rejects["reason"], strict=True))
    assert found == {
        f"mimic_iv_ecg_{study}": expected[fault]
        for study, fault in zip(planted["study_id"], planted["fault"], strict=True)
    }


def test_a_shards_version_does_not_depend_on_what_shared_its_run(finished: SmallJob) -> None:
    shard = finished.shards[1]
    before = {s: finished.version("signal_shards", s) for s in finished.shards}
    assert len(set(before.values())) == len(before)
    finished.materialize("signal_shards", partition=shard)
    assert finished.version("signal_shards", shard) == before[shard]


def test_an_identical_rerun_leaves_everything_downstream_fresh(finished: SmallJob) -> None:
    finished.materialize(
        "record_list",
        "machine_reports",
        "labels",
        "label_evidence",
        "unmatched_statements",
        "split",
    )
    finished.materialize("signal_shards", "mat_records", shards=finished.shards)
    definitions = finished.definitions
    graph = definitions.resolve_asset_graph()
    keys = [
        key for key in graph.get_all_asset_keys() if graph.get(key).partitions_def in (None, SHARDS)
    ]
    due = assets_to_run(definitions, finished.instance, finished.settings, keys, finished.shards)
    assert due == []


def test_metrics_name_every_input_and_those_are_stored_now(finished: SmallJob) -> None:
    checkpoint = finished.checkpoints[0]
    path = finished.settings.stored.folder("eval_metrics") / f"{checkpoint}.json"
    lineage = json.loads(path.read_text())["lineage"]
    for asset in ("record_list", "machine_reports", "labels", "split", "manifests"):
        assert lineage[asset] == finished.version(asset)
        assert lineage[f"training: {asset}"] == lineage[asset]
    for shard in finished.shards:
        assert lineage[f"signal_shards[{shard}]"] == finished.version("signal_shards", shard)
    assert lineage["checkpoint"] == finished.version("checkpoint", checkpoint)
    assert lineage["predictions"] == finished.version("predictions", checkpoint)


def test_checkpoint_carries_spec_labels_history_and_lineage(finished: SmallJob) -> None:
    folder = finished.settings.store.checkpoints / finished.checkpoints[0]
    assert json.loads((folder / "signal_spec.json").read_text()) == (
        finished.settings.signal_spec.to_json()
    )
    assert json.loads((folder / "label_vocabulary.json").read_text()) == ECG_FM_LABELS.to_json()
    assert len(pd.read_csv(folder / "history.csv")) == 2
    run = json.loads((folder / "run.json").read_text())
    assert run["trained_on"]["source"] == "synthetic"
    card = (folder / "README.md").read_text()
    assert card.startswith("---\n") and f"\n# {folder.name}\n" in card
    assert f"{run['splits']['train']['n_records']:,} recordings" in card
    assert "random weights" in card


def test_report_and_metadata_show_pictures(finished: SmallJob) -> None:
    checkpoint = finished.checkpoints[0]
    report = finished.settings.stored.folder("eval_report") / checkpoint / "report.html"
    html = report.read_text()
    assert "data:image/png;base64," in html
    assert all(name in html for name in ECG_FM_LABELS.names)
    shown = finished.metadata("eval_report", checkpoint)
    # The page has all pictures, the instance's database one.
    pictures = [name for name, value in shown.items() if "data:image/png;base64," in str(value)]
    assert pictures == ["ROC curves"]
    assert "data:image/png;base64," in finished.metadata("finetuned_checkpoint")["curves"]


def test_summary_names_every_label_and_the_report(finished: SmallJob) -> None:
    text = summary_text(finished.settings)
    assert all(name in text for name in ECG_FM_LABELS.names)
    assert "report.html" in text


def test_no_patient_id_or_report_text_is_in_the_metadata(finished: SmallJob) -> None:
    folder = finished.settings.stored.root
    patients = set(pq.read_table(folder / "record_list.parquet")["subject_id"].to_pylist())
    reports = pq.read_table(folder / "machine_reports.parquet")["lines"].to_pylist()
    lines = {line for record in reports for line in record} - set(ECG_FM_LABELS.names)
    for key in finished.definitions.resolve_asset_graph().get_all_asset_keys():
        event = finished.instance.get_latest_materialization_event(key)
        assert event is not None and event.asset_materialization is not None
        values = [str(value.value) for value in event.asset_materialization.metadata.values()]
        text = "\n".join(value for value in values if "base64" not in value)
        assert not any(patient in text for patient in patients), key
        assert not any(line in text for line in lines), key


def test_fairseq_manifests_point_at_files_with_their_row_of_y(finished: SmallJob) -> None:
    import scipy.io

    folder = finished.settings.stored.folder("fairseq_manifests")
    y = np.load(folder / "y.npy")
    records = pq.read_table(finished.settings.stored.folder("record_list.parquet")).to_pandas()
    lines = (folder / "test.tsv").read_text().splitlines()
    root = finished.settings.stored.folder("mat_records")
    assert lines[0] == str(root)
    for line in lines[1:6]:
        name, n_samples = line.split("\t")
        content = scipy.io.loadmat(root / name)
        assert content["feats"].shape == (12, int(n_samples))
        row = int(content["idx"][0, 0])
        assert records["record_id"][row] == name.split("/")[1].rsplit("_", 1)[0]
        assert set(np.unique(y[row])) <= {0.0, 1.0}
