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
from pydantic import Field

from ecg_assets.errors import EcgAssetsError


class Trainer(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Starts a child interpreter in its own process group.

    When the run is cancelled the whole group gets SIGTERM, then SIGKILL after
    `grace_s`. When this process itself is killed, the child sees its standard input
    close and ends its own group (`ecg_assets.defs.training_process`).
    """

    python: str = Field(default=sys.executable, description="Interpreter of the child process.")
    launcher: list[str] = Field(
        default_factory=list,
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
        with dg.open_pipes_session(
            context=context,
            context_injector=dg.PipesTempFileContextInjector(),
            message_reader=dg.PipesTempFileMessageReader(),
            extras=extras,
        ) as session:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                env={**os.environ, **session.get_bootstrap_env_vars()},
                start_new_session=True,
            )
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
