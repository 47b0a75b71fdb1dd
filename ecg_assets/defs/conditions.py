"""When an asset of the evaluation is made again without a click: automation conditions.

They look at what is stored, not at what happened since the last look: what changed while
no daemon ran is found, and a rerun that gave the same content asks for nothing. Nothing is
made for the first time here; that is for people, and for the sensor of new checkpoints.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import dagster as dg
from dagster import AssetKey, AutomationCondition, AutomationContext, AutomationResult
from dagster._core.definitions.events import AssetKeyPartitionKey

from ecg_assets.defs.data_versions import latest_metadata, manifest_inputs
from ecg_assets.defs.freshness import Freshness
from ecg_assets.defs.partitions import CHECKPOINTS
from ecg_assets.lineage import fingerprint_json
from ecg_assets.models.checkpoint_folder import WEIGHTS

MANIFESTS = "manifests"


class EvaluatedOnOtherData(AutomationCondition[AssetKey]):
    """True for stored checkpoints whose metrics were made from other data than is stored now.

    It waits until `manifests` were made from what is stored. What was asked for once for
    the same data is not asked for again, so that a failing evaluation fails once.
    """

    @property
    def description(self) -> str:
        """What the UI shows."""
        return "labels, split, shards or manifests are not those behind the stored metrics"

    def evaluate(self, context: AutomationContext[AssetKey]) -> AutomationResult[AssetKey]:
        """Find the due partitions among the candidates."""
        instance = context.asset_graph_view.instance
        asked: dict[str, str] = json.loads(context.cursor or "{}")
        now = manifest_inputs(instance)
        stamp = fingerprint_json(now)
        due = [
            key
            for key in context.candidate_subset.expensively_compute_partition_keys()
            if asked.get(key) != stamp and _is_made_from_other(instance, key, now)
        ]
        if not due or not _are_current(_freshness(context), now):
            due = []
        asked.update(dict.fromkeys(due, stamp))
        subset = context.asset_graph_view.get_asset_subset_from_asset_partitions(
            context.key, {AssetKeyPartitionKey(context.key, key) for key in due}
        )
        return AutomationResult(context, subset, cursor=json.dumps(asked))


class ManifestsAreBehind(AutomationCondition[AssetKey]):
    """True when what `manifests` are made from changed and is current, once for each change.

    Only where a checkpoint was evaluated: before that, people are at work.
    """

    @property
    def description(self) -> str:
        """What the UI shows."""
        return "labels, split or shards changed since the manifests of evaluated checkpoints"

    def evaluate(self, context: AutomationContext[AssetKey]) -> AutomationResult[AssetKey]:
        """Look at the one partition-less candidate."""
        instance = context.asset_graph_view.instance
        is_due, stamp = False, context.cursor or ""
        if not context.candidate_subset.is_empty and evaluated_checkpoints(instance):
            now = manifest_inputs(instance)
            now.pop(MANIFESTS, None)
            # Changed settings alone make nothing: a daemon may have been started without them.
            freshness = _freshness(context)
            is_due = (
                fingerprint_json(now) != stamp
                and freshness.has_other_inputs(AssetKey(MANIFESTS))
                and _are_current(freshness, now)
            )
            stamp = fingerprint_json(now) if is_due else stamp
        view = context.asset_graph_view
        subset = context.candidate_subset if is_due else view.get_empty_subset(key=context.key)
        return AutomationResult(context, subset, cursor=stamp)


def evaluated_checkpoints(instance: dg.DagsterInstance) -> list[str]:
    """List the checkpoints whose folder is stored and which were evaluated, by name."""
    keys = instance.get_dynamic_partitions(str(CHECKPOINTS.name))
    return [key for key in sorted(keys) if _is_stored(instance, key) and _lineage(instance, key)]


EVALUATED_ON_OTHER_DATA = (
    ~AutomationCondition.missing()
    & ~AutomationCondition.in_progress()
    & ~AutomationCondition.any_deps_in_progress()
    & EvaluatedOnOtherData()
).with_label("evaluated_on_other_data")
"""For `predictions`, where a re-evaluation starts."""

WITH_ITS_INPUTS = AutomationCondition.any_deps_match(
    AutomationCondition.will_be_requested()
).with_label("with_its_inputs")
"""For what follows from `predictions` in the same run."""

ANY_EVALUATION_CHANGED = (
    AutomationCondition.any_deps_match(AutomationCondition.data_version_changed())
    .with_label("any_evaluation_changed")
    .since_last_handled()
    & ~AutomationCondition.in_progress()
    & ~AutomationCondition.any_deps_in_progress()
).with_label("any_evaluation_changed_and_all_at_rest")
"""For tables over all checkpoints: also the first evaluation of a checkpoint counts."""

ANY_INPUT_CHANGED = (
    AutomationCondition.any_deps_match(AutomationCondition.data_version_changed())
    .with_label("any_input_changed")
    .since_last_handled()
    & ~AutomationCondition.missing()
    & ~AutomationCondition.in_progress()
    & ~AutomationCondition.any_deps_in_progress()
).with_label("any_input_changed_and_all_at_rest")
"""For tables about the data that were made once."""

MANIFESTS_ARE_BEHIND = (
    ~AutomationCondition.missing()
    & ~AutomationCondition.in_progress()
    & ~AutomationCondition.any_deps_in_progress()
    & ManifestsAreBehind()
).with_label("manifests_are_behind")
"""For `manifests`, between changed labels or shards and the evaluation."""


def _are_current(freshness: Freshness, names: Iterable[str]) -> bool:
    """Tell whether Dagster finds each asset, or ``asset[shard]``, made from what is stored now."""
    parts = (name.rstrip("]").partition("[") for name in names)
    return all(freshness.is_fresh(AssetKey(asset), shard or None) for asset, _, shard in parts)


def _freshness(context: AutomationContext[AssetKey]) -> Freshness:
    return Freshness(context.asset_graph_view.instance, context.asset_graph)


def _is_made_from_other(
    instance: dg.DagsterInstance, checkpoint_id: str, now: Mapping[str, str]
) -> bool:
    lineage = _lineage(instance, checkpoint_id)
    return bool(lineage) and _is_stored(instance, checkpoint_id) and _of(now, lineage) != now


def _of(now: Mapping[str, str], lineage: Mapping[str, str]) -> dict[str, str]:
    """Pick what of a lineage can be compared: inputs known now, and shards of then."""
    return {
        name: version
        for name, version in lineage.items()
        if name in now or name.startswith("signal_shards[")
    }


def _lineage(instance: dg.DagsterInstance, checkpoint_id: str) -> dict[str, str]:
    """Input to fingerprint of a checkpoint's latest metrics; empty if it has none."""
    found = latest_metadata(instance, "eval_metrics", checkpoint_id).get("lineage")
    lineage: dict[str, str] = found.value if found else {}
    return lineage


def _is_stored(instance: dg.DagsterInstance, checkpoint_id: str) -> bool:
    folder = latest_metadata(instance, "checkpoint", checkpoint_id).get("folder")
    return folder is not None and (Path(str(folder.value)) / WEIGHTS).is_file()
