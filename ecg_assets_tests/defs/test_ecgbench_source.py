"""ECG_SOURCE=ecgbench:<slug> through the graph: to manifests, with what made them."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest

from ecg_assets.errors import SettingsError
from ecg_assets.evaluation.external.evaluate_sets import choose_sources
from ecg_assets.made_with import SOURCE, SOURCE_SETTINGS, read_facts
from ecg_assets.sources import open_source
from ecg_assets.sources.synthetic.made import write_made
from ecg_assets.store import Store
from ecg_assets_tests.defs.small_job import TABLES, SmallJob

pytest.importorskip("ecgbench", reason="it comes with the extra ecgbench, and with dev")


def test_version_and_configuration_travel_from_the_list_to_manifests(tmp_path: Path) -> None:
    write_made("ptb-xl", tmp_path / "raw", n_records=30)
    folds = open_source("ptb-xl", tmp_path / "raw").read_folds()  # type: ignore[attr-defined]
    with dg.DagsterInstance.ephemeral() as instance:
        job = SmallJob.at(
            tmp_path,
            instance,
            source="ecgbench:ptbxl",
            raw_root=str(tmp_path / "raw"),
            label_set="ptb-xl-super-keep",
            split="folds",
        )
        job.materialize(*TABLES)
        job.materialize("signal_shards", shards=job.shards)
        job.materialize("manifests")
    facts = job.settings.source_facts()
    assert facts[SOURCE] == "ecgbench:ptbxl"
    assert set(facts[SOURCE_SETTINGS]) == {"ecgbench", "config_sha256"}
    stored = job.settings.stored.root.rglob("*.parquet")
    said = {path.stem: read_facts(pq.read_schema(path)) or {} for path in stored}
    for name in ("record_list", "machine_reports", "labels", "split"):
        assert said[name].items() >= facts.items(), name
    manifests = json.loads((job.settings.stored.root / "manifests" / "made_with.json").read_text())
    assert manifests.items() >= facts.items()
    split = pq.read_table(job.settings.stored.root / "split.parquet").to_pandas()
    names = dict.fromkeys(range(1, 9), "train") | {9: "valid", 10: "test"}
    expected = {int(name[-5:]): names[fold] for name, fold in folds.items()}
    assert (
        dict(zip(split["record_id"].str[6:].astype(int), split["split"], strict=True)) == expected
    )


def test_dataset_of_ecgbench_with_results_is_a_set_to_evaluate_on(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in ("ptb-xl", "ecgbench:ludb"):
        store.source(name).root.mkdir()
    assert choose_sources(store.source("synthetic"), []) == ["ptb-xl", "ecgbench:ludb"]
    assert choose_sources(store.source("synthetic"), ["ecgbench:ludb"]) == ["ecgbench:ludb"]
    with pytest.raises(SettingsError, match=r"names the sets \['ecgbench:mitdb'\]"):
        choose_sources(store.source("synthetic"), ["ecgbench:mitdb"])
