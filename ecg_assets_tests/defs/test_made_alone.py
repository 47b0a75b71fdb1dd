"""Assets that one function makes together can each be made alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest

from ecg_assets.defs.build import build_definitions
from ecg_assets.defs.freshness import Freshness
from ecg_assets.evaluation.label_noise import LABEL_NOISE, NO_EVIDENCE
from ecg_assets.lineage import fingerprint_file
from ecg_assets.made_with import LABEL_THRESHOLD, read_facts, write_facts
from ecg_assets_tests.defs.small_job import SmallJob

TOGETHER = {
    "labels": ("labels", "label_evidence", "unmatched_statements"),
    "apply_checkpoint": ("embeddings", "record_scores"),
}


@pytest.fixture
def copy(finished: SmallJob, tmp_path: Path) -> Iterator[SmallJob]:
    """The finished job's results and events, to be changed by a test."""
    with finished.copied_to(tmp_path / "home") as job:
        yield job


def _hashes(job: SmallJob, assets: tuple[str, ...], partition: str | None) -> dict[str, str]:
    paths = {asset: job.settings.stored.table_path(asset, partition) for asset in assets}
    return {asset: fingerprint_file(path) for asset, path in paths.items() if path.is_file()}


def test_these_are_all_that_are_made_together() -> None:
    several = {
        one.op.name: one
        for one in build_definitions().assets or ()
        if isinstance(one, dg.AssetsDefinition) and len(list(one.keys)) > 1
    }
    assert {
        name: sorted(key.to_user_string() for key in one.keys) for name, one in several.items()
    } == {k: sorted(v) for k, v in TOGETHER.items()}
    assert all(one.can_subset for one in several.values())


@pytest.mark.parametrize(
    ("asset", "group"),
    [
        ("labels", "labels"),
        ("embeddings", "apply_checkpoint"),
        ("record_scores", "apply_checkpoint"),
    ],
)
def test_one_alone_is_the_same_and_the_others_stay(copy: SmallJob, asset: str, group: str) -> None:
    assets = TOGETHER[group]
    partition = copy.checkpoints[0] if group == "apply_checkpoint" else None
    before = _hashes(copy, assets, partition)
    (shown,) = [set(copy.metadata(asset, partition))]
    for name in assets:
        copy.settings.stored.table_path(name, partition).unlink()
    result = copy.materialize(asset, partition=partition)
    made = [event.asset_key for event in result.get_asset_materialization_events()]
    assert made == [dg.AssetKey(asset)]
    assert _hashes(copy, assets, partition) == {asset: before[asset]}
    assert set(copy.metadata(asset, partition)) == shown
    assert not list(copy.settings.stored.root.glob(".*"))  # scores that only colour a map
    freshness = Freshness(copy.instance, copy.definitions.resolve_asset_graph())
    assert all(freshness.is_fresh(dg.AssetKey(name), partition) for name in assets)


@pytest.mark.parametrize("reason", ["absent", "of other reports", "of another threshold"])
def test_doubted_labels_do_without_the_lines_and_say_so(copy: SmallJob, reason: str) -> None:
    checkpoint, stored = copy.checkpoints[0], copy.settings.stored
    before = stored.read_table(LABEL_NOISE, partition=checkpoint)
    assert before["line"].notna().any()
    if reason == "absent":
        stored.table_path("label_evidence").unlink()
    elif reason == "of another threshold":
        path = stored.table_path("labels")
        table = pq.read_table(path)
        facts = {**(read_facts(table.schema) or {}), LABEL_THRESHOLD: 0.9}
        pq.write_table(table.cast(write_facts(table.schema, facts)), path)
    else:  # labels were made alone since, of reports that were read anew
        made = {"dagster/input_data_version/machine_reports": "read anew"}
        copy.instance.report_runless_asset_event(dg.AssetMaterialization("labels", tags=made))
    copy.materialize("label_noise", partition=checkpoint)
    after = stored.read_table(LABEL_NOISE, partition=checkpoint)
    assert after["line"].isna().all() and set(after["rule"]) == {NO_EVIDENCE}
    same = ["record_id", "label", "value", "score", "suspicion", "rank"]
    assert after[same].equals(before[same])
    assert "Materialize label_evidence" in copy.metadata("label_noise", checkpoint)["report_lines"]
