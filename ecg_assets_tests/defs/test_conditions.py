"""Automation conditions on stand-ins of the assets: what makes whom again, and what does not."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ecg_assets.defs.conditions import (
    ANY_EVALUATION_CHANGED,
    EVALUATED_ON_OTHER_DATA,
    MANIFESTS_ARE_BEHIND,
    WITH_ITS_INPUTS,
)
from ecg_assets.defs.data_versions import manifest_inputs
from ecg_assets.defs.partitions import CHECKPOINTS, SHARDS

WHOLE = ("record_list", "machine_reports", "labels", "split")


@dataclass
class StandIns:
    """Assets of the same names and dependencies whose content is a word."""

    instance: dg.DagsterInstance
    checkpoints: Path
    content: dict[str, str] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    cursor: object = None

    def _result(self, name: str, **metadata: Any) -> dg.MaterializeResult[None]:
        if name in self.broken:
            raise RuntimeError(name)
        version = dg.DataVersion(self.content.get(name, "first"))
        return dg.MaterializeResult(data_version=version, metadata=metadata)

    def _plain(self, name: str, deps: tuple[str, ...] = ()) -> dg.AssetsDefinition:
        @dg.asset(name=name, deps=list(deps))
        def stand_in() -> dg.MaterializeResult[None]:
            return self._result(name)

        return stand_in

    @property
    def definitions(self) -> dg.Definitions:
        @dg.asset(partitions_def=SHARDS, deps=["record_list"])
        def signal_shards() -> dg.MaterializeResult[None]:
            return self._result("signal_shards")

        inputs: list[Any] = ["record_list", "labels", "split", signal_shards]

        @dg.asset(deps=inputs, automation_condition=MANIFESTS_ARE_BEHIND)
        def manifests() -> dg.MaterializeResult[None]:
            parts = (self.content.get(str(n), "first") for n in ("labels", "signal_shards"))
            self.content["manifests"] = " ".join(parts)
            return self._result("manifests")

        @dg.asset(partitions_def=CHECKPOINTS)
        def checkpoint(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
            return self._result("checkpoint", folder=str(self.checkpoints / context.partition_key))

        @dg.asset(
            partitions_def=CHECKPOINTS,
            deps=[checkpoint, manifests, signal_shards],
            automation_condition=EVALUATED_ON_OTHER_DATA,
        )
        def predictions() -> dg.MaterializeResult[None]:
            return self._result("predictions")

        @dg.asset(
            partitions_def=CHECKPOINTS, deps=[predictions], automation_condition=WITH_ITS_INPUTS
        )
        def eval_metrics(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
            return self._result("eval_metrics", lineage=manifest_inputs(context.instance))

        @dg.asset(deps=[eval_metrics], automation_condition=ANY_EVALUATION_CHANGED)
        def leaderboard() -> dg.MaterializeResult[None]:
            return self._result("leaderboard")

        plain = [self._plain("record_list")]
        plain += [self._plain(n, ("record_list",)) for n in ("machine_reports", "split")]
        plain += [self._plain("labels", ("machine_reports",))]
        rest = [signal_shards, manifests, checkpoint, predictions, eval_metrics, leaderboard]
        return dg.Definitions([*plain, *rest])

    def make(self, *names: str, partition: str | None = None) -> None:
        """Materialize some, as a person or a run does."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        job.execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(name) for name in names],
            partition_key=partition,
            raise_on_error=not self.broken,
        )

    def evaluate(self, checkpoint: str) -> None:
        (self.checkpoints / checkpoint).mkdir(exist_ok=True)
        (self.checkpoints / checkpoint / "model.safetensors").touch()
        self.instance.add_dynamic_partitions("checkpoint", [checkpoint])
        self.make("checkpoint", "predictions", "eval_metrics", partition=checkpoint)

    def tick(self) -> set[tuple[str, str | None]]:
        """One evaluation of all conditions: what is asked for."""
        result = dg.evaluate_automation_conditions(
            self.definitions,
            self.instance,
            cursor=self.cursor,  # type: ignore[arg-type]
        )
        self.cursor = result.cursor
        keys = ("manifests", "predictions", "eval_metrics", "leaderboard")
        return {
            (name, partition)
            for name in keys
            for partition in result.get_requested_partitions(dg.AssetKey(name))
        }


@pytest.fixture
def made(tmp_path: Path) -> Iterator[StandIns]:
    """Everything made once, two checkpoints evaluated, nothing left to do."""
    with dg.DagsterInstance.ephemeral() as instance:
        found = StandIns(instance, tmp_path)
        instance.add_dynamic_partitions("shard", ["p0", "p1"])
        assert found.tick() == set()
        found.make(*WHOLE)
        for shard in ("p0", "p1"):
            found.make("signal_shards", partition=shard)
        assert found.tick() == set()
        found.make("manifests")
        for name in ("one", "two"):
            found.evaluate(name)
        assert found.tick() == {("leaderboard", None)}
        found.make("leaderboard")
        assert found.tick() == set()
        yield found


AGAIN = {(name, key) for name in ("predictions", "eval_metrics") for key in ("one", "two")}


def test_an_identical_rerun_asks_for_nothing(made: StandIns) -> None:
    made.make(*WHOLE)
    for shard in ("p0", "p1"):
        made.make("signal_shards", partition=shard)
    made.make("manifests")
    made.evaluate("one")
    assert made.tick() == set()


@pytest.mark.parametrize("changed", ["labels", "signal_shards"])
def test_changed_data_reach_every_checkpoint_once(made: StandIns, changed: str) -> None:
    made.content[changed] = "second"
    made.make(changed, partition="p1" if changed == "signal_shards" else None)
    assert made.tick() == {("manifests", None)}
    made.make("manifests")
    assert made.tick() == AGAIN
    assert made.tick() == set()
    made.evaluate("one")
    made.content["eval_metrics"] = "second"
    made.evaluate("two")
    assert made.tick() == {("leaderboard", None)}
    made.make("leaderboard")
    assert made.tick() == set()


def test_a_change_that_nobody_watched_is_found_later(made: StandIns) -> None:
    made.content["labels"] = "second"
    made.make("labels")
    made.make("manifests")
    made.cursor = None
    assert made.tick() == AGAIN


def test_it_waits_while_a_table_behind_is_not_made_again_yet(made: StandIns) -> None:
    made.content["machine_reports"] = "second"
    made.make("machine_reports")
    assert made.tick() == set()
    made.content["labels"] = "second"
    made.make("labels")
    assert made.tick() == {("manifests", None)}


def test_a_failing_evaluation_is_asked_for_once(made: StandIns) -> None:
    made.content["labels"] = "second"
    made.make("labels")
    made.make("manifests")
    assert made.tick() == AGAIN
    made.broken = {"predictions"}
    made.evaluate("one")
    assert made.tick() == set()
    made.broken = set()
    made.content["labels"] = "third"
    made.make("labels")
    made.make("manifests")
    assert made.tick() == AGAIN


def test_a_removed_checkpoint_is_not_evaluated_again(made: StandIns) -> None:
    (made.checkpoints / "two" / "model.safetensors").unlink()
    made.content["labels"] = "second"
    made.make("labels")
    made.make("manifests")
    assert made.tick() == {entry for entry in AGAIN if entry[1] == "one"}


def test_a_new_checkpoint_brings_the_leaderboard_up_to_date(made: StandIns) -> None:
    made.evaluate("three")
    assert made.tick() == {("leaderboard", None)}


def test_nothing_is_made_before_any_checkpoint_was_evaluated(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        found = StandIns(instance, tmp_path)
        instance.add_dynamic_partitions("shard", ["p0"])
        found.make(*WHOLE)
        found.make("signal_shards", partition="p0")
        found.make("manifests")
        found.content["labels"] = "second"
        found.make("labels")
        instance.add_dynamic_partitions("checkpoint", ["one"])
        assert found.tick() == set()
