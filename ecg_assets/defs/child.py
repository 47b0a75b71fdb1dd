"""Entry point of a step's child: ``python -m ecg_assets.defs.child TASK FILE``.

TASK is one of `TRAININGS`, and FILE its request; or `COMPUTE`, and FILE a call that `write_call`
wrote. The child reports progress to Dagster through Pipes and ends with its parent: the parent
holds the other end of standard input, so end of file means that the parent is gone.
fairseq-signals runs in this process's group, so that it ends with it.
"""

from __future__ import annotations

import os
import pickle
import pkgutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dagster_pipes import PipesContext, open_dagster_pipes

from ecg_assets.defs.loading import loading
from ecg_assets.errors import EcgAssetsError, SettingsError

COMPUTE = "compute"
"""Not a training: a function is called."""

Report = Callable[[dict[str, Any] | str], None]


def run_in_child(work: Callable[[Report], Path]) -> None:
    """Work in this process, and report what happens and where the result is.

    Of several processes on several GPUs the first one alone talks to Dagster.
    """
    _end_with_parent()
    if os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) != "0":
        _require_one_task()
        work(lambda _: None)
        return
    with open_dagster_pipes() as pipes:
        try:
            _require_one_task()
            result = work(lambda event: _report(pipes, event))
        except EcgAssetsError as error:
            # The parent fails with this sentence rather than with a status alone.
            pipes.report_custom_message({"error": str(error)})
            raise
        pipes.report_custom_message({"result": str(result)})


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


def _report(pipes: PipesContext, event: dict[str, Any] | str) -> None:
    line = event if isinstance(event, str) else format_event(event)
    pipes.log.info(line)
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _end_with_parent() -> None:
    def wait_for_end_of_file() -> None:
        while os.read(0, 4096):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=wait_for_end_of_file, daemon=True).start()


def _require_one_task() -> None:
    """Refuse to do the same several times at once, where srun starts several tasks."""
    n_tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
    if n_tasks > 1 and "RANK" not in os.environ:
        raise SettingsError(
            f"ECG_LAUNCH starts {n_tasks} tasks, and each would do the same. Ask for one "
            "(srun --ntasks=1); several GPUs of one training are started by ECG_LAUNCHER."
        )


def write_call(path: Path, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Write a call of a module's function: its name, and its values, which hold no code."""
    name = f"{function.__module__}:{function.__qualname__}"
    path.write_bytes(pickle.dumps((name, args, kwargs)))


def answer_call(path: Path, report: Report) -> Path:
    """Call what a file says, telling `report` of the progress; give the file of what it returns."""
    with loading():
        name, args, kwargs = pickle.loads(path.read_bytes())
        function = pkgutil.resolve_name(name)
    result = function(report, *args, **kwargs)
    answer = path.with_name("result")
    answer.write_bytes(pickle.dumps(result))
    return answer


def read_result(path: Path) -> Any:
    """Read what a call returned."""
    return pickle.loads(path.read_bytes())


def train_request(training: str, path: Path, report: Report) -> Path:
    """Train the request of a file, and give its checkpoint's folder."""
    train, request_class = load_training(training)
    folder: Path = train(request_class.from_json_file(path), report)
    return folder


def load_training(training: str) -> tuple[Any, Any]:
    """Import the function and the class of request of a training."""
    with loading():
        train, request_class = (pkgutil.resolve_name(name) for name in TRAININGS[training])
    return train, request_class


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
    _task, _path = sys.argv[1], Path(sys.argv[2])
    if _task == COMPUTE:
        run_in_child(lambda report: answer_call(_path, report))
    else:
        run_in_child(lambda report: train_request(_task, _path, report))
