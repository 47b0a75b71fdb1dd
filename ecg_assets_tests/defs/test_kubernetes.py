"""Steps as pods: which ask for a GPU, and what a run may not choose. No cluster is needed."""

from __future__ import annotations

import builtins
import inspect
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

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
    made: Any = executor.apply_config_mapping({"config": of_the_run}).value
    configuration: dict[str, Any] = made["config"]
    return configuration


def _uses_a_model(op: dg.OpDefinition) -> bool:
    compute: Any = op.compute_fn
    return "trainer.computing(" in inspect.getsource(inspect.unwrap(compute.decorated_fn))


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


class Cluster(ThreadingHTTPServer):
    """What Dagster asks of a cluster's API; the container of a job is a process of this machine."""

    def __init__(self, config_maps: dict[str, dict[str, str]]) -> None:
        super().__init__(("127.0.0.1", 0), _Api)
        self.config_maps, self.jobs = config_maps, dict[str, dict[str, Any]]()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, job: dict[str, Any]) -> None:
        """Start a job's container with the environment that the pod would have, and no other."""
        (container,) = job["spec"]["template"]["spec"]["containers"]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
        for source in container["envFrom"]:
            environment |= self.config_maps[source["configMapRef"]["name"]]
        environment |= {one["name"]: one["value"] for one in container["env"] if "value" in one}
        program = [str(Path(sys.executable).with_name(container["args"][0]))]
        self.jobs[job["metadata"]["name"]] = job
        self.processes[job["metadata"]["name"]] = subprocess.Popen(
            [*program, *container["args"][1:]], env=environment
        )

    def status(self, name: str) -> dict[str, Any]:
        """Give a job as the API does."""
        ended = self.processes[name].poll()
        status = {} if ended is None else {"failed": 1} if ended else {"succeeded": 1}
        return {**self.jobs[name], "status": status}


class _Api(BaseHTTPRequestHandler):
    server: Cluster

    def do_POST(self) -> None:
        job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.start(job)
        self._answer(job)

    def do_GET(self) -> None:
        parts = self.path.split("/")
        if "jobs" in parts:
            self._answer(self.server.status(parts[parts.index("jobs") + 1]))
        else:
            self._answer({"metadata": {"name": parts[-1], "uid": f"uid of {parts[-1]}"}})

    def _answer(self, what: dict[str, Any]) -> None:
        body = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    settings = {
        "ECG_EXECUTOR": "k8s",
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "ECG_SOURCE": "synthetic",
        "ECG_SYNTHETIC_RECORDS": "20",
        "ECG_DATA_DIR": str(tmp_path / "data"),
    }
    with Cluster({"ecg-settings": settings}) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        for process in server.processes.values():
            process.kill()
        server.shutdown()


def _write_instance(home: Path, cluster: Cluster) -> None:
    """Write an instance whose launcher knows the cluster, as the chart's does."""
    home.mkdir()
    host, port = cluster.server_address[:2]
    kubeconfig = {
        "current-context": "here",
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "ecg"}}
        ],
        "clusters": [{"name": "c", "cluster": {"server": f"http://{host!s}:{port}"}}],
        "users": [{"name": "u", "user": {}}],
    }
    (home / "kubeconfig").write_text(yaml.safe_dump(kubeconfig), "utf-8")
    launcher = {
        "load_incluster_config": False,
        "kubeconfig_file": str(home / "kubeconfig"),
        "job_namespace": "ecg",
        "job_image": "ecg-assets:0.1.0",
        "service_account_name": "dagster",
        "dagster_home": str(home),
        "instance_config_map": "dagster-instance",
        "env_config_maps": ["ecg-settings"],
    }
    instance = {
        "telemetry": {"enabled": False},
        "run_launcher": {"module": "dagster_k8s", "class": "K8sRunLauncher", "config": launcher},
    }
    (home / "dagster.yaml").write_text(yaml.safe_dump(instance), "utf-8")


@needs_k8s
def test_a_step_is_a_job_that_gets_its_settings_from_the_cluster_and_goes_with_its_run(
    cluster: Cluster, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    _write_instance(home, cluster)
    command = [sys.executable, "-m", "dagster_dg_cli.cli", "launch"]
    done = subprocess.run(
        [*command, "-m", "ecg_assets.definitions", "--assets", "record_list"],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("ECG_")},
            **cluster.config_maps["ecg-settings"],
            "DAGSTER_HOME": str(home),
            "HOSTNAME": "pod-of-the-run",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (job,) = cluster.jobs.values()
    assert (
        f'Executing step "record_list" in Kubernetes job {job["metadata"]["name"]}' in done.stderr
    )
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == (
        "Pod",
        "pod-of-the-run",
        "uid of pod-of-the-run",
    )
    assert (tmp_path / "data" / "synthetic" / "record_list.parquet").is_file()
