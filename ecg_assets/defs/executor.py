"""Where the steps of a run execute: processes of this machine, or jobs of a Ray cluster."""

from __future__ import annotations

import os

import dagster as dg

from ecg_assets.defs.resources import Settings
from ecg_assets.errors import SettingsError

MAX_PROCESSES = 2
"""Steps of one run that run at the same time on this machine."""


def choose_executor(settings: Settings) -> dg.ExecutorDefinition:
    """Choose by ECG_EXECUTOR: ``processes``, ``one-process`` or ``ray``.

    One process for all steps of a run spares small runs the start of a process a step; a
    step that dies takes its run with it.
    A step on Ray is a job of the cluster at RAY_ADDRESS. Its machines must see the same
    DAGSTER_HOME, ECG_DATA_DIR and ECG_RAW_ROOT, which go to them with all other ECG_ variables.

    Raises
    ------
    SettingsError
        When the name is unknown, dagster-ray is not installed, or RAY_ADDRESS is not set.
    """
    name = os.environ.get("ECG_EXECUTOR", "processes")
    if name == "processes":
        return dg.multiprocess_executor.configured({"max_concurrent": MAX_PROCESSES})
    if name == "one-process":
        return dg.in_process_executor
    if name != "ray":
        allowed = ("processes", "one-process", "ray")
        raise SettingsError(f"ECG_EXECUTOR is {name!r}; allowed: {allowed}.")
    try:
        from dagster_ray.core.executor import ray_executor
    except ImportError as error:
        raise SettingsError(
            "ECG_EXECUTOR=ray needs dagster-ray and Ray: pip install 'ecg-assets[ray]'."
        ) from error
    if not os.environ.get("RAY_ADDRESS"):
        raise SettingsError(
            "ECG_EXECUTOR=ray needs RAY_ADDRESS, the address of the cluster's dashboard; "
            "RAY_ADDRESS=http://127.0.0.1:8265 after `ray start --head` on this machine."
        )
    variables = {k: v for k, v in os.environ.items() if k.startswith(("ECG_", "DAGSTER_HOME"))}
    # A job has another working folder.
    variables["ECG_DATA_DIR"] = str(settings.data_path)
    configured: dg.ExecutorDefinition = ray_executor.configured(
        {
            "ray": {
                "address": os.environ["RAY_ADDRESS"],
                "env_vars": [f"{name}={value}" for name, value in sorted(variables.items())],
            }
        }
    )
    return configured
