"""What is relied on of Dagster's own status: with another release it may break here first."""

from __future__ import annotations

import dagster as dg

from ecg_assets.defs.freshness import Freshness, find_stale


def _definitions(code: str = "1", content: str = "a") -> dg.Definitions:
    @dg.asset(code_version=code)
    def first() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(data_version=dg.DataVersion(content))

    @dg.asset(code_version="1", deps=[first])
    def second() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(data_version=dg.DataVersion("b"))

    return dg.Definitions([first, second])


def _make(definitions: dg.Definitions, instance: dg.DagsterInstance, *names: str) -> None:
    job = definitions.resolve_implicit_global_asset_job_def()
    job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey(n) for n in names])


def test_another_code_version_is_stale_and_changed_back_it_is_fresh() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        _make(_definitions(), instance, "first", "second")
        assert find_stale(_definitions(), instance) == []
        assert find_stale(_definitions("2"), instance) == [dg.AssetKey("first")]
        assert find_stale(_definitions(), instance) == []


def test_another_content_of_an_input_is_stale_and_the_same_is_not() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        _make(_definitions(), instance, "first", "second")
        _make(_definitions(), instance, "first")
        graph = _definitions().resolve_asset_graph()
        assert Freshness(instance, graph).is_fresh(dg.AssetKey("second"))
        _make(_definitions(content="other"), instance, "first")
        changed = Freshness(instance, graph)
        assert changed.is_stale(dg.AssetKey("second"))
        assert changed.has_other_inputs(dg.AssetKey("second"))
        assert not changed.has_other_inputs(dg.AssetKey("first"))


def test_what_was_never_made_is_neither_fresh_nor_stale() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        freshness = Freshness(instance, _definitions().resolve_asset_graph())
        assert not freshness.is_fresh(dg.AssetKey("first"))
        assert not freshness.is_stale(dg.AssetKey("first"))
