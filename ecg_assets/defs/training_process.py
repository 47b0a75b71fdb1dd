"""Entry point of the training child: ``python -m ecg_assets.defs.training_process request.json``.

It reports progress to Dagster through Pipes and ends with its parent: the parent
holds the other end of standard input, so end of file means that the parent is gone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from dagster_pipes import PipesContext, open_dagster_pipes


def main(request_path: Path) -> None:
    """Run the request at a path and report the finished checkpoint's folder."""
    _end_with_parent()
    with open_dagster_pipes() as pipes:
        from ecg_assets.finetune import FinetuneRequest, finetune

        request = FinetuneRequest.from_json_file(request_path)
        folder = finetune(request, lambda event: _report(pipes, event))
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
