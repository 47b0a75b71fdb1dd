"""The pre-trained checkpoint as an asset."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pandas as pd

from ecg_assets.build import INDEX
from ecg_assets.defs.assets.pretrain import _inputs
from ecg_assets.defs.checkpoint_state import complete_checkpoints
from ecg_assets.lineage import fingerprint_file, fingerprint_table
from ecg_assets_tests.build.cohort import make_cohort
from ecg_assets_tests.defs.small_job import SmallJob


def _folder(finished: SmallJob) -> Path:
    return Path(finished.metadata("pretrained_checkpoint")["folder"])


def test_its_data_version_is_that_of_its_weights(finished: SmallJob) -> None:
    weights = _folder(finished) / "model.safetensors"
    assert finished.version("pretrained_checkpoint") == fingerprint_file(weights)


def test_it_shows_each_term_of_the_loss_and_the_curves(finished: SmallJob) -> None:
    shown = finished.metadata("pretrained_checkpoint")
    terms = ("contrastive", "diversity", "feature_penalty", "cmsc")
    assert shown["terms"] == dict(zip(terms, (1.0, 0.1, 10.0, 1.0), strict=True))
    assert shown["family"] == "ecg_fm"
    for name in ("loss", *terms):
        assert shown[f"valid_{name}"] > 0
    assert "data:image/png;base64," in shown["curves"]
    assert len(pd.read_csv(_folder(finished) / "history.csv")) == shown["best_epoch"] == 1
    assert shown["signal_spec"] == finished.settings.signal_spec.to_json()


def test_it_comes_from_recordings_and_not_from_labels(finished: SmallJob) -> None:
    inputs = json.loads((_folder(finished) / "run.json").read_text())["inputs"]
    shards = {f"signal_shards[{shard}]" for shard in finished.shards}
    assert set(inputs) == {"recordings", "signal_spec", "record_list", "split", *shards}
    for asset in ("record_list", "split"):
        assert inputs[asset] == finished.version(asset)


def test_it_is_not_taken_for_a_checkpoint_to_evaluate(finished: SmallJob) -> None:
    names = {
        found.checkpoint_id for found in complete_checkpoints(finished.settings.store.checkpoints)
    }
    assert _folder(finished).name not in names


def test_recordings_without_labels_change_a_request_s_name_where_there_are_some(
    tmp_path: Path,
) -> None:
    manifest = make_cohort(tmp_path).manifest()
    with dg.DagsterInstance.ephemeral() as instance:
        with_some = _inputs(instance, manifest)
        with_none = _inputs(instance, replace(manifest, unlabelled=INDEX.empty()))
    assert with_none["recordings"] == fingerprint_table(INDEX.from_pandas(manifest.index))
    assert with_some["recordings"] != with_none["recordings"]
