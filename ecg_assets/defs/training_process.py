"""Entry point of the training child: ``python -m ecg_assets.defs.training_process request.json``.

It reports progress to Dagster through Pipes and ends with its parent: the parent
holds the other end of standard input, so end of file means that the parent is gone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dagster_pipes import PipesContext, open_dagster_pipes

from ecg_assets.errors import EcgAssetsError

Report = Callable[[dict[str, Any]], None]


def main(request_path: Path) -> None:
    """Run the request at a path and report the finished checkpoint's folder."""

    def train(report: Report) -> Path:
        from ecg_assets.finetune import FinetuneRequest, finetune

        return finetune(FinetuneRequest.from_json_file(request_path), report)

    run_in_child(train)


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


def _report(pipes: PipesContext, event: dict[str, Any]) -> None:
    values = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in event.items()
        if name != "event"
    )
    line = f"{event.get('event', 'progress')}: {values}"
    pipes.log.info(line)
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _end_with_parent() -> None:
    def wait_for_end_of_file() -> None:
        while os.read(0, 4096):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=wait_for_end_of_file, daemon=True).start()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
