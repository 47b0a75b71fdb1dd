"""What is deployed: the image's recipe, and the values and manifests for Kubernetes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.instance.ref import InstanceRef

import ecg_assets
from ecg_assets.defs.instance import DRIVER
from ecg_assets.defs.jobs import choose_executor
from ecg_assets.defs.settings import VARIABLES, Settings

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
VALUES: dict[str, Any] = yaml.safe_load((DEPLOY / "values.yaml").read_text("utf-8"))
CLUSTER: list[dict[str, Any]] = list(
    yaml.safe_load_all((DEPLOY / "cluster.yaml").read_text("utf-8"))
)
INSTANCE_FILE = ROOT / "dagster_home" / "dagster.yaml"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text("utf-8")
(CODE_SERVER,) = VALUES["dagster-user-deployments"]["deployments"]
LAUNCHER = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
(UI,) = VALUES["dagsterDaemon"]["extraContainers"]
GPU = "nvidia.com/gpu"


def _snake_case(values: dict[str, Any]) -> dict[str, Any]:
    return {
        re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name): (
            _snake_case(value) if isinstance(value, dict) else value
        )
        for name, value in values.items()
    }


def _named(kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in CLUSTER if one["kind"] == kind}


# The same instance on one machine and on a cluster.


def _of_the_instance(values: dict[str, Any]) -> dict[str, Any]:
    """What values say of the instance, as dagster.yaml would."""
    daemon, concurrency = values["dagsterDaemon"], _snake_case(values["concurrency"])
    assert concurrency.pop("enabled") is True
    return {
        **values["additionalInstanceConfig"],
        "telemetry": values["telemetry"],
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": daemon["runCoordinator"]["type"],
        },
        "concurrency": concurrency,
        "run_monitoring": _snake_case(daemon["runMonitoring"]),
        "run_retries": _snake_case(daemon["runRetries"]),
    }


def test_a_cluster_s_instance_differs_from_that_of_one_machine_in_fetching_the_image_alone() -> (
    None
):
    one_machine = yaml.safe_load(INSTANCE_FILE.read_text("utf-8"))
    cluster = _of_the_instance(VALUES)
    assert cluster["run_monitoring"].pop("start_timeout_seconds") >= 1800
    assert one_machine["run_monitoring"].pop("start_timeout_seconds") == 300
    assert cluster["run_monitoring"].pop("poll_interval_seconds") == 120  # Dagster's default
    one_machine.pop("instance_class")  # which reads ECG_POSTGRES_URL: the chart names its database
    assert cluster == one_machine
    assert VALUES["postgresql"]["postgresqlScheme"] == DRIVER


# Values and what they expect in the namespace.


def test_code_server_and_runs_see_the_same_files_and_settings() -> None:
    for field in ("volumes", "volumeMounts", "envConfigMaps", "envSecrets"):
        assert CODE_SERVER[field] == LAUNCHER[field], field
    assert CODE_SERVER["includeConfigInLaunchedRuns"] == {"enabled": False}


def test_volumes_and_settings_that_pods_ask_for_are_in_cluster_yaml() -> None:
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in LAUNCHER["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert set(claims.values()) == set(_named("PersistentVolumeClaim"))
    (settings,) = [one["name"] for one in LAUNCHER["envConfigMaps"]]
    data = _named("ConfigMap")[settings]["data"]
    mounts = {mount["name"]: mount for mount in LAUNCHER["volumeMounts"]}
    assert data["ECG_DATA_DIR"] == mounts["results"]["mountPath"]
    assert data["ECG_RAW_ROOT"] == mounts["raw"]["mountPath"]
    assert mounts["raw"]["readOnly"]
    assert f"ECG_DATA_DIR={data['ECG_DATA_DIR']}" in DOCKERFILE
    assert mounts["shm"]["mountPath"] == "/dev/shm"
    results = _named("PersistentVolumeClaim")[claims["results"]]
    assert results["spec"]["accessModes"] == ["ReadWriteMany"]


def test_settings_of_the_cluster_are_settings_and_count_the_cores_that_steps_ask_for() -> None:
    (settings,) = _named("ConfigMap").values()
    data = settings["data"]
    assert {name for name in data if name.startswith("ECG_")} <= set(VARIABLES)
    assert all(isinstance(value, str) for value in data.values())
    assert data["ECG_EXECUTOR"] == "k8s"
    asked = LAUNCHER["resources"]["requests"]["cpu"]
    assert data["ECG_WORKERS"] == data["OMP_NUM_THREADS"] == asked


def test_all_pods_run_one_image_of_this_version_as_a_user_without_rights() -> None:
    image = CODE_SERVER["image"]
    assert image["tag"] == ecg_assets.__version__
    assert image == VALUES["dagsterDaemon"]["image"] == VALUES["dagsterWebserver"]["image"]
    assert UI["image"] == f"{image['repository']}:{image['tag']}"
    assert "image" not in LAUNCHER  # runs take the code server's
    pods = (
        CODE_SERVER["podSecurityContext"],
        VALUES["dagsterDaemon"]["podSecurityContext"],
        LAUNCHER["runK8sConfig"]["podSpecConfig"]["securityContext"],
    )
    for pod in pods:
        assert pod["runAsNonRoot"]
        assert f"USER {pod['runAsUser']}:" in DOCKERFILE
    for container in (CODE_SERVER, VALUES["dagsterDaemon"], LAUNCHER, UI):
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_no_ui_listens_to_the_cluster() -> None:
    assert VALUES["dagsterWebserver"]["replicaCount"] == 0
    assert VALUES["ingress"] == {"enabled": False}
    assert UI["command"] == ["python", "-m", "ecg_assets.defs.ui"]
    assert "ports" not in UI and "--no-daemon" in UI["args"]
    (policy,) = _named("NetworkPolicy").values()
    assert policy["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": {}}]}],
    }


def test_values_hold_no_password() -> None:
    assert VALUES["generatePostgresqlPasswordSecret"] is False
    secret = VALUES["global"]["postgresqlSecretName"]
    assert VALUES["postgresql"]["existingSecret"] == secret
    assert "postgresqlPassword" not in VALUES["postgresql"]
    assert UI["env"][0]["valueFrom"]["secretKeyRef"]["name"] == secret


# The image's recipe.


def _steps() -> list[list[str]]:
    """Instructions of the Dockerfile, each a list of words, without comments."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE)
    return [line.split() for line in re.sub(r"\\\n", " ", text).splitlines() if line.strip()]


def _copied_from_the_folder() -> set[str]:
    copies = [step[1:-1] for step in _steps() if step[0] == "COPY"]
    own = [words for words in copies if not any(word.startswith("--from") for word in words)]
    return {word for words in own for word in words if not word.startswith("--")}


def test_the_image_gets_what_its_recipe_copies_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == (
        _copied_from_the_folder()
    )
    assert [rule for rule in rules[1:] if not rule.startswith("!")] == ["**/__pycache__"]
    assert [name for name in _copied_from_the_folder() if not (ROOT / name).exists()] == []


def test_the_image_runs_as_a_number_that_is_not_root_and_listens_to_itself() -> None:
    steps = _steps()
    last = [step[0] for step in steps][::-1].index("FROM")
    final = {step[0]: step[1:] for step in steps[-last:]}
    assert re.fullmatch(r"[1-9]\d+:0", final["USER"][0])
    assert "EXPOSE" not in final and "ENTRYPOINT" not in final
    assert json.loads(" ".join(final["CMD"])) == ["python", "-m", "ecg_assets.defs.ui"]


def test_the_image_takes_the_releases_of_constraints_txt() -> None:
    (command,) = [
        " ".join(step) for step in _steps() if "requirements.txt" in step and "pip" in step
    ]
    for install in command.split("pip install")[1:]:
        assert "--constraint constraints.txt" in install
    extras = re.search(r"ARG EXTRAS=(\S+)", DOCKERFILE)
    assert extras and set(extras[1].split(",")) == {"k8s", "postgres"}


# The page.


def test_the_page_names_files_that_exist_and_releases_that_are_pinned() -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
    files = set(re.findall(r"deploy/\w[\w.]*", page))
    assert files == {f"deploy/{path.name}" for path in DEPLOY.iterdir()}
    (dagster,) = re.findall(r"^dagster==(\S+)", (ROOT / "constraints.txt").read_text(), re.M)
    assert f"helm upgrade --install dagster dagster/dagster --version {dagster} " in page
    assert f"version {dagster}" in (DEPLOY / "values.yaml").read_text("utf-8")
    assert set(re.findall(r"ecg-assets:([\d.]+\d)", page)) == {ecg_assets.__version__}
    assert f"create secret generic {VALUES['global']['postgresqlSecretName']} " in page
    arguments = dict(re.findall(r"^ARG (\w+)=(.*)", DOCKERFILE, re.M))
    rows = re.findall(r"^\| `([A-Z_]+)` \| (?:`(\S+)`)? ?\|", page, re.M)
    assert dict(rows) == arguments


# Rendered by Helm, where it and Dagster's chart are at hand.


@pytest.fixture(scope="module")
def chart() -> Path:
    folder = os.environ.get("DAGSTER_HELM_CHART", "")
    if not shutil.which("helm") or not folder:
        pytest.skip("no helm on PATH, or DAGSTER_HELM_CHART does not name Dagster's chart")
    return Path(folder)


@pytest.fixture(scope="module")
def rendered(chart: Path) -> list[dict[str, Any]]:
    # The chart's schema names definitions by their address, and needs a network.
    command = ["helm", "template", "dagster", str(chart), "--namespace", "ecg"]
    command += ["--values", str(DEPLOY / "values.yaml"), "--skip-schema-validation"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def _one(rendered: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = [
        one for one in rendered if one["kind"] == kind and one["metadata"]["name"].endswith(name)
    ]
    return found


@pytest.mark.helm
def test_values_fit_the_schema_of_the_chart(chart: Path) -> None:
    validator = pytest.importorskip("jsonschema").Draft202012Validator

    def own(schema: Any) -> Any:
        """Leave out what the schema takes from elsewhere."""
        if isinstance(schema, list):
            return [own(one) for one in schema]
        if not isinstance(schema, dict):
            return schema
        if str(schema.get("$ref", "")).startswith("http"):
            return {}
        return {name: own(value) for name, value in schema.items() if name != "required"}

    schema = own(json.loads((chart / "values.schema.json").read_text("utf-8")))
    assert list(validator(schema).iter_errors(VALUES)) == []


@pytest.mark.helm
def test_the_rendered_instance_is_what_values_and_dagster_yaml_say(
    rendered: list[dict[str, Any]],
) -> None:
    instance = yaml.safe_load(_one(rendered, "ConfigMap", "-instance")["data"]["dagster.yaml"])
    for name, said in _of_the_instance(VALUES).items():
        if name == "run_coordinator":
            assert instance[name]["class"] == said["class"]
            # The limit of runs stands with `concurrency`; here it would be another.
            assert "max_concurrent_runs" not in instance[name]["config"]
        else:
            assert instance[name] == said, name


@pytest.mark.helm
def test_services_are_of_the_cluster_alone_and_the_ui_of_its_pod(
    rendered: list[dict[str, Any]],
) -> None:
    assert {
        one["spec"].get("type", "ClusterIP") for one in rendered if one["kind"] == "Service"
    } == {"ClusterIP"}
    assert not [one for one in rendered if one["kind"] == "Ingress"]
    assert _one(rendered, "Deployment", "-webserver")["spec"]["replicas"] == 0
    daemon = _one(rendered, "Deployment", "-daemon")["spec"]["template"]["spec"]
    main, ui = daemon["containers"]
    assert ui["image"] == main["image"]
    mounted = {mount["mountPath"]: mount["name"] for mount in main["volumeMounts"]}
    assert mounted == {mount["mountPath"]: mount["name"] for mount in ui["volumeMounts"]}
    password = [one for one in main["env"] if one["name"] == "DAGSTER_PG_PASSWORD"]
    assert ui["env"] == password


@pytest.mark.helm
def test_the_rendered_code_server_mounts_the_volumes_and_reads_the_settings(
    rendered: list[dict[str, Any]],
) -> None:
    pod = _one(rendered, "Deployment", "-ecg-assets")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"][:6] == ["dagster", "api", "grpc", "-h", "0.0.0.0", "-p"]
    assert container["args"][-2:] == ["--module-name", "ecg_assets.definitions"]
    assert container["volumeMounts"] == CODE_SERVER["volumeMounts"]
    assert pod["volumes"] == CODE_SERVER["volumes"]
    assert pod["securityContext"] == CODE_SERVER["podSecurityContext"]
    assert {"configMapRef": {"name": "ecg-settings"}} in container["envFrom"]
    assert GPU not in container["resources"]["limits"]


@pytest.fixture
def launcher(
    rendered: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """The launcher of runs, as Dagster reads it from the rendered instance."""
    if not (find_spec("dagster_k8s") and find_spec("dagster_postgres")):
        pytest.skip("dagster-k8s and dagster-postgres are not installed (extras k8s, postgres)")
    text = _one(rendered, "ConfigMap", "-instance")["data"]["dagster.yaml"]
    (tmp_path / "dagster.yaml").write_text(text, "utf-8")
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "none")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("ECG_EXECUTOR", "k8s")
    monkeypatch.setattr("kubernetes.config.load_incluster_config", lambda: None)
    return InstanceRef.from_dir(str(tmp_path)).run_launcher


def _pod(launcher: Any, of_step: dict[str, Any]) -> dict[str, Any]:
    """The pod of a run, or of a step with what the executor adds for it."""
    from dagster_k8s.container_context import K8sContainerContext
    from dagster_k8s.job import UserDefinedDagsterK8sConfig, construct_dagster_k8s_job
    from kubernetes.client import ApiClient

    run = dg.DagsterRun(job_name="finetune", run_id="0" * 8)
    context = K8sContainerContext.create_for_run(run, launcher, include_run_tags=False).merge(
        K8sContainerContext(run_k8s_config=UserDefinedDagsterK8sConfig.from_dict(of_step))
    )
    job = construct_dagster_k8s_job(
        context.get_k8s_job_config("ecg-assets:0.1.0", launcher),
        ["dagster", "api", "execute_run"],
        "dagster-run",
        user_defined_k8s_config=context.run_k8s_config,
    )
    pod: dict[str, Any] = ApiClient().sanitize_for_serialization(job)["spec"]["template"]["spec"]
    return pod


@pytest.mark.helm
def test_pods_of_runs_and_steps_differ_in_the_gpu_alone(launcher: Any) -> None:
    made: Any = choose_executor(Settings(device="cuda"), ["predictions"]).apply_config_mapping({})
    of_steps = made.value["config"]["per_step_k8s_config"]
    run, step = _pod(launcher, {}), _pod(launcher, of_steps["predictions"])
    (container,) = run["containers"]
    instance = [one for one in container["volumeMounts"] if one["mountPath"].endswith(".yaml")]
    assert [one for one in container["volumeMounts"] if one not in instance] == (
        LAUNCHER["volumeMounts"]
    )
    assert [one for one in run["volumes"] if one in LAUNCHER["volumes"]] == LAUNCHER["volumes"]
    assert {"configMapRef": {"name": "ecg-settings"}} in container["envFrom"]
    assert run["securityContext"] == LAUNCHER["runK8sConfig"]["podSpecConfig"]["securityContext"]
    assert container["securityContext"] == LAUNCHER["securityContext"]
    assert container["resources"] == LAUNCHER["resources"]
    assert step["containers"][0]["resources"]["limits"].pop(GPU) == "1"
    assert step == run
