"""Run fairseq-signals' training as a child process and read what it prints."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecg_assets.errors import EcgAssetsError
from ecg_assets.training.engine.history import History
from ecg_assets.training.fairseq_signals.causes import find_cause
from ecg_assets.training.fairseq_signals.install import CONFIG_NAME, FairseqInstall

MODULE = "fairseq_cli.hydra_train"
"""Run by module: its script `fairseq-hydra-train` is plain fairseq's too."""
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


# Read fairseq-signals' JSON log lines, whose values are strings and whose losses are base 2.


_LINE = re.compile(r"\[(train_inner|train|valid|test)\]\[INFO\] - (\{.*\})\s*$")
_LOSSES = ("loss", "nll_loss", "best_loss")


@dataclass(frozen=True)
class LogEntry:
    """One line of numbers.

    Attributes
    ----------
    tag
        ``train_inner`` while an epoch runs, ``train``, ``valid`` and ``test`` at its end.
    values
        By name without the tag; losses in natural logarithm, where fairseq-signals writes
        them in base 2. What is no number is left out.
    """

    tag: str
    values: dict[str, float]


def read_log_line(line: str) -> LogEntry | None:
    """Read a line; None for one that is not JSON numbers.

    >>> entry = read_log_line('[valid][INFO] - {"epoch": 2, "valid_loss": "1.000"}')
    >>> entry.tag, entry.values["epoch"], round(entry.values["loss"], 4)
    ('valid', 2.0, 0.6931)
    """
    match = _LINE.search(line)
    if match is None:
        return None
    tag, text = match.groups()
    try:
        content: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError:
        return None
    prefix = "" if tag == "train_inner" else f"{tag}_"
    values = {}
    for name, value in content.items():
        number = _number(value)
        if number is not None:
            short = name.removeprefix(prefix)
            values[short] = number * math.log(2) if short in _LOSSES else number
    return LogEntry(tag, values)


def epoch_history(entries: Iterable[LogEntry]) -> History:
    """Rows of `ecg_assets.training.engine.history.COLUMNS`, one for each complete epoch.

    An epoch's ``train`` line comes last; what was not measured is None.
    """
    history: History = []
    found: dict[str, dict[str, float]] = {}
    wall_s = 0.0
    for entry in entries:
        found[entry.tag] = entry.values
        if entry.tag == "train" and "valid" in found:
            history.append(_row(found, entry.values["wall"] - wall_s))
            wall_s = entry.values["wall"]
            found = {}
    return history


def best_epoch(history: History) -> dict[str, Any]:
    """Find the row of checkpoint_best.pt: the lowest validation loss, of equal ones the last.

    fairseq-signals compares the losses rounded to three decimals, as it logs them, and
    replaces the file when they are equal.

    Raises
    ------
    EcgAssetsError
        When no epoch has a validation loss that is a number.
    """
    rows = [row for row in reversed(history) if row["valid_loss"] is not None]
    if not rows:
        raise EcgAssetsError(
            f"fairseq-signals validated {len(history)} epochs and none gave a loss that is a "
            "number. Lower the learning rate, or use fp32."
        )
    return min(rows, key=lambda row: row["valid_loss"])


def _row(found: dict[str, dict[str, float]], seconds: float) -> dict[str, Any]:
    train, valid, test = found["train"], found["valid"], found.get("test", {})
    return {
        "epoch": int(train["epoch"]),
        "train_loss": train.get("loss"),
        "valid_loss": valid.get("loss"),
        # What it logs is the micro AUROC, of all segments and labels together.
        "valid_macro_auroc": None,
        "valid_accuracy": None,
        "test_loss": test.get("loss"),
        "test_macro_auroc": None,
        "learning_rate": train.get("lr"),
        "seconds": seconds,
    }


def _number(value: Any) -> float | None:
    """Turn a logged value into a number; None where it is none, or not finite."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
