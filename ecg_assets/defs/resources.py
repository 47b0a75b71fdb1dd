"""Run a training process that reports through Dagster Pipes and dies with its run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import AssetExecutionContext
from pydantic import BaseModel, Field

from ecg_assets.defs.failures import FailsInWords
from ecg_assets.defs.settings import CodeLocation
from ecg_assets.errors import EcgAssetsError, hide_password
from ecg_assets.training.fairseq_signals.install import FairseqInstall, probe_fairseq


def fixed(resource: Any, *beside: BaseModel) -> Any:
    """Take a resource out of the runs' configuration: it is what the deployment says.

    Interpreters, launchers and paths would be the choice of whoever can send the UI a request.
    Its description in the UI lists its values, and those of other settings beside it.
    """
    if isinstance(resource, dg.ConfigurableIOManagerFactory):
        return dg.IOManagerDefinition(
            lambda context: FailsInWords(resource.create_io_manager(context)), config_schema={}
        )
    if not isinstance(resource, dg.ConfigurableResource):
        return resource

    def deployment(context: dg.InitResourceContext) -> Any:  # the UI shows this name
        resource.setup_for_execution(context)
        return resource

    return dg.ResourceDefinition(
        deployment, config_schema={}, description=_describe(resource, *beside)
    )


def _describe(resource: Any, *beside: BaseModel) -> str:
    """Write values as a table; what may hold a password without it."""
    rows = [
        f"| {name} | {hide_password(str(value))} |"
        for settings in (resource, *beside)
        for name, value in settings.model_dump().items()
        if value not in ("", [], None)
    ]
    return "\n".join([(resource.__doc__ or "").strip(), "", "| | |", "| --- | --- |", *rows])


class Trainer(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Starts a child interpreter in its own process group.

    When the run is cancelled the whole group gets SIGTERM, then SIGKILL after
    `grace_s`. When this process itself is killed, the child sees its standard input
    close and ends its own group (`ecg_assets.defs.child`).
    """

    python: str = Field(default=sys.executable, description="Interpreter of the child process.")
    launcher: list[str] = Field(
        default_factory=lambda: CodeLocation().launcher,
        description="Put before the module: ['-m', 'torch.distributed.run', '--nproc-per-node=4'].",
    )
    grace_s: float = Field(default=20.0, description="Seconds between SIGTERM and SIGKILL.")

    def run(
        self,
        context: AssetExecutionContext,
        module: str,
        arguments: Sequence[str | Path],
        extras: dict[str, Any] | None = None,
    ) -> Sequence[Any]:
        """Run ``python [launcher] -m module arguments``; return its custom messages.

        Raises
        ------
        EcgAssetsError
            When the child ends with a non-zero status; with what it reported as ``error``.
        """
        command = [self.python, *self.launcher, "-m", module, *map(str, arguments)]
        with (
            dg.open_pipes_session(
                context=context,
                context_injector=dg.PipesTempFileContextInjector(),
                message_reader=dg.PipesTempFileMessageReader(),
                extras=extras,
            ) as session,
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                env={**os.environ, **session.get_bootstrap_env_vars()},
                start_new_session=True,
            ) as process,
        ):
            try:
                status = process.wait()
            finally:
                self._end_group(process)
        messages = session.get_custom_messages()
        if status != 0:
            said = [str(message["error"]) for message in messages if "error" in message]
            raise EcgAssetsError(
                "\n".join(said)
                or f"{' '.join(command)} ended with status {status}; its output is in this step's "
                "stderr log. Run the asset again to resume from its last complete epoch."
            )
        return messages

    def _end_group(self, process: subprocess.Popen[bytes]) -> None:
        """End what is left of the child's process group."""
        for number, wait_s in ((signal.SIGTERM, self.grace_s), (signal.SIGKILL, self.grace_s)):
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                return
            try:
                process.wait(timeout=wait_s)
            except subprocess.TimeoutExpired:
                continue


# The user's installation of fairseq-signals, in an interpreter of its own.


class FairseqSignalsResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Finds fairseq-signals and says what is missing; nothing of it is imported here."""

    python: str = Field(
        default_factory=lambda: os.environ.get("FAIRSEQ_SIGNALS_PYTHON", ""),
        description="Interpreter with fairseq-signals (FAIRSEQ_SIGNALS_PYTHON).",
    )
    config_folder: str = Field(
        default_factory=lambda: os.environ.get("FAIRSEQ_SIGNALS_CONFIG", ""),
        description="Folder of its diagnosis.yaml (FAIRSEQ_SIGNALS_CONFIG); empty: the one in "
        "its clone.",
    )
    n_gpus: int = Field(
        default=1, description="GPUs that it trains on; the batch size is for each of them."
    )
    n_workers: int = Field(default=6, description="Processes that load .mat files.")
    needs_gpu: bool = Field(
        default=True,
        description="Refuse to start without a GPU. Only a changed fairseq-signals trains on a "
        "CPU.",
    )

    def probe(self) -> FairseqInstall:
        """Look at the interpreter; raises `SettingsError` that lists what is missing."""
        return probe_fairseq(self.python, self.config_folder, needs_gpu=self.needs_gpu)
