"""Steps as pods: which ask for a GPU, and what a run may not choose. No cluster is needed."""

from __future__ import annotations

import builtins
import inspect
from importlib.util import find_spec
from typing import Any

import dagster as dg
import pytest

from ecg_assets.defs.build import build_definitions
from ecg_assets.defs.jobs import choose_executor
from ecg_assets.defs.run_processes import ends_dead_runs
from ecg_assets.defs.settings import Settings
from ecg_assets.errors import SettingsError

needs_k8s = pytest.mark.skipif(
    not find_spec("dagster_k8s"), reason="dagster-k8s is not installed (extra k8s)"
)
CLUSTER = {"ECG_EXECUTOR": "k8s", "KUBERNETES_SERVICE_HOST": "127.0.0.1"}


@pytest.fixture
def in_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CLUSTER.items():
        monkeypatch.setenv(name, value)


def _configuration(executor: dg.ExecutorDefinition, **of_the_run: Any) -> dict[str, Any]:
    """What an executor is made with in a run that configures it."""
    made: dict[str, Any] = executor.apply_config_mapping({"config": of_the_run}).value["config"]
    return made


def _uses_a_model(op: dg.OpDefinition) -> bool:
    return "trainer.computing(" in inspect.getsource(inspect.unwrap(op.compute_fn.decorated_fn))


@needs_k8s
@pytest.mark.usefixtures("in_a_pod")
def test_steps_that_run_a_model_ask_for_a_gpu_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def keep(settings: Settings, computing: Any) -> dg.ExecutorDefinition:
        asked.extend(computing)
        return choose_executor(settings, computing)

    monkeypatch.setattr("ecg_assets.defs.build.choose_executor", keep)
    settings = Settings(device="cuda", protocol="ptb-xl-super-tiny", source="ptb-xl")
    definitions = build_definitions({"settings": settings})
    ops = {
        node.definition.name: node.definition
        for job in definitions.resolve_all_job_defs()
        for node in job.graph.nodes
        if isinstance(node.definition, dg.OpDefinition)
    }
    assert {name for name, op in ops.items() if op.pool == "gpu"} == set(asked)
    assert {name for name, op in ops.items() if _uses_a_model(op)} <= set(asked)
    assert {"finetuned_checkpoint", "predictions", "matrix_cell", "protocol_cell"} <= set(asked)
    assert not {"signal_shards", "labels", "eval_metrics"} & set(asked)


@needs_k8s
@pytest.mark.usefixtures("in_a_pod")
@pytest.mark.parametrize(("device", "asks"), [("cuda", True), ("cpu", False), ("auto", False)])
def test_a_gpu_is_asked_for_where_the_device_is_one(device: str, asks: bool) -> None:
    asked = _configuration(choose_executor(Settings(device=device), ["predictions", "saliency"]))
    resources = {
        name: step["container_config"]["resources"]
        for name, step in asked["per_step_k8s_config"].items()
    }
    one_gpu = {"limits": {"nvidia.com/gpu": "1"}}
    assert resources == ({"predictions": one_gpu, "saliency": one_gpu} if asks else {})
    assert asked["enable_owner_references"] is True


@needs_k8s
@pytest.mark.usefixtures("in_a_pod")
def test_a_run_cannot_choose_what_its_steps_execute() -> None:
    executor = ends_dead_runs(choose_executor(Settings(device="cuda"), ["predictions"]))
    chosen = _configuration(executor, job_image="other", job_namespace="other", env_vars=["A=1"])
    assert chosen == _configuration(executor)
    assert not {"job_image", "job_namespace", "env_vars"} & set(chosen)


@needs_k8s
@pytest.mark.usefixtures("in_a_pod")
def test_a_code_server_without_a_gpu_loads_definitions_for_one() -> None:
    assert build_definitions({"settings": Settings(device="cuda", precision="fp16")})


def test_outside_a_cluster_or_without_its_package_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ECG_EXECUTOR", "k8s")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    needed = "this process is in none" if find_spec("dagster_k8s") else r"ecg-assets\[k8s\]"
    with pytest.raises(SettingsError, match=needed):
        choose_executor(Settings())
    load = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name == "dagster_k8s":
            raise ImportError(name)
        return load(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SettingsError, match=r"ecg-assets\[k8s\]"):
        choose_executor(Settings())
