"""Run fairseq-signals' training as a child process and read what it prints."""

from __future__ import annotations

import os
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ecg_assets.errors import EcgAssetsError
from ecg_assets.finetune.fairseq_call import CONFIG_NAME, MODULE
from ecg_assets.finetune.fairseq_causes import find_cause
from ecg_assets.finetune.fairseq_probe import FairseqInstall

_KEPT_LINES = 200
_SHOWN_LINES = 25
_GRACE_S = 20.0


def training_command(install: FairseqInstall, overrides: list[str]) -> list[str]:
    """Build the command: an argument a token, and no shell."""
    config = ["--config-dir", str(install.config_folder), "--config-name", CONFIG_NAME]
    return [install.python, "-m", MODULE, *config, *overrides]


def training_environment(install: FairseqInstall, device: str) -> dict[str, str]:
    """Environment of the process.

    Its own root comes first on the path of modules, because plain fairseq has a package
    fairseq_cli too.
    """
    inherited = os.environ.get("PYTHONPATH")
    changes = {
        "PYTHONPATH": os.pathsep.join([str(install.root), *([inherited] if inherited else [])]),
        "PYTHONUNBUFFERED": "1",
        # Without it hydra 1.0 loses the traceback on Python 3.10.
        "HYDRA_FULL_ERROR": "1",
        # torch 2.6 refuses its checkpoints otherwise; the pretrained file has been read
        # without running anything in it before this process starts.
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
    }
    if device.startswith("cuda:"):
        changes["CUDA_VISIBLE_DEVICES"] = device.removeprefix("cuda:")
    return {**os.environ, **changes}


def run_training(
    command: list[str],
    *,
    environment: Mapping[str, str],
    work: Path,
    on_line: Callable[[str], None],
) -> None:
    """Run until the end; every line goes to `on_line` and to ``log.txt`` in `work`.

    The process is in this one's group, and does not outlive this call.

    Raises
    ------
    EcgAssetsError
        When it fails: the probable cause, its last lines, and where the whole log is.
    """
    log = work / "log.txt"
    tail: deque[str] = deque(maxlen=_KEPT_LINES)
    with log.open("w", encoding="utf-8") as file, _started(command, environment, work) as process:
        for line in process.stdout or ():
            file.write(line)
            tail.append(line.rstrip("\n"))
            on_line(line)
        status = process.wait()
    if status != 0:
        last = [line for line in tail if line.strip()][-_SHOWN_LINES:]
        raise EcgAssetsError(
            f"fairseq-signals ended with status {status}. Probable cause: "
            f"{find_cause(tuple(tail), status)}\nIts last lines (all are in {log}):\n"
            + "\n".join(last)
        )


@contextmanager
def _started(
    command: list[str], environment: Mapping[str, str], work: Path
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=dict(environment),
        cwd=work,  # Hydra makes its folder outputs/ here
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout:
            process.stdout.close()
