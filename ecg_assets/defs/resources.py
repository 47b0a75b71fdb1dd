"""Run processes that report through Dagster Pipes and die with their run, here or elsewhere."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Concatenate

import dagster as dg
from dagster import AssetExecutionContext
from pydantic import BaseModel, Field

from ecg_assets.defs.child import COMPUTE, read_result, write_call
from ecg_assets.defs.computing import Compute, P, Report, T
from ecg_assets.defs.failures import FailsInWords
from ecg_assets.defs.settings import CodeLocation, Settings
from ecg_assets.errors import EcgAssetsError, SettingsError, hide_password

Context = AssetExecutionContext | dg.AssetCheckExecutionContext
"""Of the step that a child computes for."""


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
    """Starts a child interpreter in its own process group, here or by ECG_LAUNCH elsewhere.

    When the run is cancelled the whole group gets SIGTERM, then SIGKILL after
    `grace_s`. When this process itself is killed, the child sees its standard input
    close and ends its own group (`ecg_assets.defs.child`).
    """

    python: str = Field(default=sys.executable, description="Interpreter of the child process.")
    launch: list[str] = Field(
        default_factory=lambda: CodeLocation().launch,
        description="Put before the interpreter: ['srun', '--gres=gpu:1'].",
    )
    launcher: list[str] = Field(
        default_factory=lambda: CodeLocation().launcher,
        description="Put before the module: ['-m', 'torch.distributed.run', '--nproc-per-node=4'].",
    )
    grace_s: float = Field(default=20.0, description="Seconds between SIGTERM and SIGKILL.")
    late_s: float = Field(
        default=60.0, description="Seconds after which a shared disk surely shows a line."
    )

    def computing(self, context: Context, settings: Settings) -> Compute:
        """Give what calls a function of a module: in this step, or by ECG_LAUNCH in a child."""

        def compute(
            function: Callable[Concatenate[Report, P], T], /, *args: P.args, **kwargs: P.kwargs
        ) -> T:
            if not self.launch:
                return function(context.log.info, *args, **kwargs)
            with self._shared_folder(settings) as folder:
                call = folder / "call"
                write_call(call, function, *args, **kwargs)
                result: T = read_result(self.run(context, settings, COMPUTE, call, alone=True))
            return result

        return compute

    def run(
        self, context: Context, settings: Settings, task: str, path: Path, *, alone: bool = False
    ) -> Path:
        """Run ``[launch] python [launcher] -m ecg_assets.defs.child task path``.

        Parameters
        ----------
        task, path
            As `ecg_assets.defs.child` takes them.
        alone
            Whether it is one process, whatever the launcher says.

        Returns
        -------
        Path
            Where the child says that its result is.

        Raises
        ------
        EcgAssetsError
            When the child ends with a non-zero status, with what it reported as ``error`` or else
            what the program of `launch` said; or without a result; or there is no such program.
        """
        if self.launch and shutil.which(self.launch[0]) is None:
            raise SettingsError(
                f"ECG_LAUNCH starts with {self.launch[0]!r}, which is no program here. Run Dagster "
                "where jobs are submitted, or unset ECG_LAUNCH to compute on this machine."
            )
        launcher = [] if alone else self.launcher
        child = [self.python, *launcher, "-m", "ecg_assets.defs.child", task, str(path)]
        command, said = [*self.launch, *child], list[str]()
        with (
            self._shared_folder(settings) as folder,
            dg.open_pipes_session(
                context=context.op_execution_context,
                context_injector=dg.PipesFileContextInjector(str(folder / "context")),
                message_reader=dg.PipesFileMessageReader(str(folder / "messages")),
            ) as session,
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE if self.launch else None,
                env={**os.environ, **session.get_bootstrap_env_vars()},
                start_new_session=True,
            ) as process,
        ):
            listener = threading.Thread(target=self._listen, args=(process, said), daemon=True)
            listener.start()
            try:
                status = process.wait()
            finally:
                self._end_group(process)
            listener.join(self.grace_s)
            self._await_message(session, status)
        messages = session.get_custom_messages()
        if status == 0 and messages and "result" in messages[-1]:
            return Path(messages[-1]["result"])
        raise EcgAssetsError(
            "\n".join(str(message["error"]) for message in messages if "error" in message)
            or "\n".join([*said, self._explain(command, status)])
        )

    def _explain(self, command: list[str], status: int) -> str:
        """Say what to do about a child that said nothing."""
        ended = f"{' '.join(command)} ended with status {status}"
        if status == 0:
            return (
                f"{ended} and gave no result. ECG_LAUNCH must run the command that follows it, "
                "hand on the environment, standard input and the status, and both machines must "
                "see the same ECG_DATA_DIR."
            )
        return (
            f"{ended}; its output is in this step's stderr log. Run the asset again: what is "
            "stored is kept, and a training resumes from its last complete epoch."
        )

    @contextmanager
    def _shared_folder(self, settings: Settings) -> Iterator[Path]:
        """Give a folder for this child, which it sees wherever it runs; deleted after the block."""
        root = settings.store.requests if self.launch else None
        if root is not None:
            root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".child-", dir=root) as folder:
            yield Path(folder)

    def _listen(self, process: subprocess.Popen[bytes], said: list[str]) -> None:
        """Hand on what is written to standard error; keep what programs of `launch` say."""
        programs = tuple(f"{Path(word).name}: " for word in self.launch)
        for line in process.stderr or ():
            text = line.decode(errors="replace")
            sys.stderr.write(text)
            if text.startswith(programs):
                said.append(text.strip())

    def _await_message(self, session: dg.PipesSession, status: int) -> None:
        """Wait for what a launched child says at its end, which a shared disk may show late."""
        wait_s = self.late_s if status == 0 else self.late_s / 10
        deadline = time.monotonic() + (wait_s if self.launch else 0.0)
        while not session.get_custom_messages() and time.monotonic() < deadline:
            time.sleep(0.05)

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
