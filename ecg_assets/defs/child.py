"""Entry point of a training's child: ``python -m ecg_assets.defs.child TRAINING request.json``.

TRAINING is one of `TRAININGS`. The child reports progress to Dagster through Pipes and ends with
its parent: the parent holds the other end of standard input, so end of file means that the parent
is gone. fairseq-signals runs in this process's group, so that it ends with it.
"""

from __future__ import annotations

import os
import pkgutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dagster_pipes import PipesContext, open_dagster_pipes

from ecg_assets.errors import EcgAssetsError

Report = Callable[[dict[str, Any]], None]


def run_in_child(train: Callable[[Report], Path]) -> None:
    """Run a training in this process and report its events and its checkpoint's folder.

    Of several processes on several GPUs the first one alone talks to Dagster.
    """
    _end_with_parent()
    if os.environ.get("RANK", "0") != "0":
        train(lambda _: None)
        return
    with open_dagster_pipes() as pipes:
        try:
            folder = train(lambda event: _report(pipes, event))
        except EcgAssetsError as error:
            # The parent fails with this sentence rather than with a status alone.
            pipes.report_custom_message({"error": str(error)})
            raise
        pipes.report_custom_message({"checkpoint": str(folder)})


def format_event(event: dict[str, Any]) -> str:
    """Write an event in a line; what is undefined is left out.

    >>> format_event({"event": "epoch", "epoch": 2, "valid_loss": 0.53219, "valid_accuracy": None})
    'epoch: epoch 2, valid_loss 0.5322'
    """
    values = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in event.items()
        if name != "event" and value is not None
    )
    return f"{event.get('event', 'progress')}: {values}"


def _report(pipes: PipesContext, event: dict[str, Any]) -> None:
    line = format_event(event)
    pipes.log.info(line)
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _end_with_parent() -> None:
    def wait_for_end_of_file() -> None:
        while os.read(0, 4096):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=wait_for_end_of_file, daemon=True).start()


def train_request(training: str, path: Path, report: Report) -> Path:
    """Train the request of a file, and give its checkpoint's folder."""
    train, request_class = (pkgutil.resolve_name(name) for name in TRAININGS[training])
    folder: Path = train(request_class.from_json_file(path), report)
    return folder


_ROOM = "ecg_assets.training"
TRAININGS = {
    "finetune": (
        f"{_ROOM}.finetune.finetune:finetune",
        f"{_ROOM}.finetune.request:FinetuneRequest",
    ),
    "pretrain": (
        f"{_ROOM}.pretrain.pretrain:pretrain",
        f"{_ROOM}.pretrain.request:PretrainRequest",
    ),
    "fairseq": (
        f"{_ROOM}.fairseq_signals.finetune:finetune_with_fairseq",
        f"{_ROOM}.fairseq_signals.request:FairseqRequest",
    ),
}
"""Function and class of request of each training, named here and imported in the child alone."""


if __name__ == "__main__":
    run_in_child(lambda report: train_request(sys.argv[1], Path(sys.argv[2]), report))
