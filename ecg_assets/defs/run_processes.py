"""Runs and the processes that execute them: neither outlives the other.

A run whose process was killed stays STARTED in Dagster's database and keeps its place in the
pool `gpu`; the runs behind it wait for ever. Each run therefore says which process executes it,
and whoever starts a run, and a sensor, ends those whose process is gone. A step's process ends
itself when its run's process is gone.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from typing import Any

import dagster as dg
import psutil

from ecg_assets.defs.instance import require_storage

PROCESS_TAG = "ecg_assets/process"
"""Tag of a run: host, process id, and when that process started, since ids are used again."""

GRACE_S = 30.0
"""What a step's process has for its own ending before it is killed."""

_UNFINISHED = [
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_FINISHED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]


def process_tags() -> dict[str, str]:
    """Give the tags of a run that this process executes."""
    process = psutil.Process()
    return {PROCESS_TAG: json.dumps([socket.gethostname(), process.pid, process.create_time()])}


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Fail the runs whose process on this machine is gone, and free their places in pools.

    Runs on other machines, and those that do not say who executes them, are left alone.

    Returns
    -------
    list of str
        Ids of the runs that were ended.
    """
    ended = []
    for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED)):
        if not _is_dead(run.tags.get(PROCESS_TAG)):
            continue
        instance.report_run_failed(
            run,
            "The process that executed this run was killed. What was stored is kept: start the "
            "run again, and it completes what is missing; a training resumes from its last epoch.",
        )
        ended.append(run.run_id)
    _free_places(instance)
    return ended


def _free_places(instance: dg.DagsterInstance) -> None:
    """Free the places in pools that finished runs still claim."""
    events = instance.event_log_storage
    if claiming := list(events.get_concurrency_run_ids()):
        finished = dg.RunsFilter(run_ids=claiming, statuses=_FINISHED)
        for run in instance.get_runs(finished):
            events.free_concurrency_slots_for_run(run.run_id)


def _is_dead(tag: str | None) -> bool:
    """Tell whether a process of this machine is gone; what says nothing, or elsewhere, is not."""
    try:
        host, pid, started = json.loads(tag or "")
    except ValueError:
        return False
    if host != socket.gethostname():
        return False
    try:
        process = psutil.Process(pid)
        return bool(process.status() == psutil.STATUS_ZOMBIE or process.create_time() != started)
    except psutil.NoSuchProcess:
        return True


def end_with_run(run: dg.DagsterRun | None) -> None:
    """End this process when that of its run ends; nothing if the run is executed here."""
    parent = multiprocessing.parent_process()
    try:
        _, pid, _ = json.loads(run.tags[PROCESS_TAG]) if run is not None else ("", None, 0)
    except (KeyError, ValueError):
        return
    if parent is not None and parent.pid == pid:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)


def ends_dead_runs(executor: dg.ExecutorDefinition) -> dg.ExecutorDefinition:
    """Let each run of an executor say who executes it, and first end those whose process is gone.

    It does so before the run asks for a place in a pool: one that a dead run holds is free then.
    """
    create = executor.executor_creation_fn
    if create is None:
        raise TypeError(f"Executor {executor.name} has no function that creates it.")
    return dg.ExecutorDefinition(
        name=executor.name,
        description=executor.description,
        config_schema=executor.config_schema,  # type: ignore[arg-type]  # it takes one
        requirements=executor.get_requirements,
        executor_creation_fn=lambda context: _Watched(create(context)),
    )


class _Watched(dg.Executor):
    def __init__(self, inner: dg.Executor) -> None:
        self._inner = inner

    @property
    def retries(self) -> Any:
        return self._inner.retries

    @property
    def step_dependency_config(self) -> Any:
        return self._inner.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        instance: dg.DagsterInstance = plan_context.instance
        require_storage(instance)
        instance.add_run_tags(plan_context.run_id, process_tags())
        end_dead_runs(instance)
        yield from self._inner.execute(plan_context, execution_plan)
