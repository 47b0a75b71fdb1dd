"""Fine-tune with fairseq-signals: from a request to a finished checkpoint folder like any other."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from pathlib import Path

from ecg_assets.errors import CheckpointError
from ecg_assets.finetune.fairseq_call import override_tokens
from ecg_assets.finetune.fairseq_log import LogEntry, epoch_history, read_log_line
from ecg_assets.finetune.fairseq_process import (
    run_training,
    training_command,
    training_environment,
)
from ecg_assets.finetune.fairseq_request import FairseqRequest
from ecg_assets.finetune.finetuning import read_finished_run
from ecg_assets.finetune.history import History
from ecg_assets.finetune.request import PRETRAINED_INPUT
from ecg_assets.finetune.run_once import Report, run_once, work_folder_of
from ecg_assets.lineage import fingerprint_file
from ecg_assets.storage import replace_file

_SECONDS_BETWEEN_STEPS = 10.0


def finetune_with_fairseq(request: FairseqRequest, report: Report) -> Path:
    """Train a request's model with fairseq-signals, or return its finished folder.

    It trains in ``<output_folder>/.training-<fingerprint>``. A killed run starts again from
    its first epoch: the reference's call keeps no state to resume from. Once it has trained,
    only what comes after is done again.

    Parameters
    ----------
    request
        What to train.
    report
        Gets events as `ecg_assets.finetune.finetune` gives them.

    Returns
    -------
    Path
        ``<output_folder>/<checkpoint_id>``.

    Raises
    ------
    EcgAssetsError
        When fairseq-signals fails; the message has the probable cause and its last lines.
    CheckpointError
        When the pretrained file was changed since the request, or is no ECG-FM.
    """
    return run_once(request, report, read_run=read_finished_run, train=_train_and_write)


def _train_and_write(request: FairseqRequest, report: Report, folder: Path) -> None:
    from ecg_assets.finetune.fairseq_result import write_fairseq_result

    work = work_folder_of(request)
    save_folder, trained = work / "checkpoints", work / "history.json"
    if not trained.is_file():
        # A checkpoint_best of an earlier try would be taken for this one's.
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        history = _train(request, report, work, save_folder)
        with replace_file(trained) as temporary:
            temporary.write_text(json.dumps(history), encoding="utf-8")
    history = json.loads(trained.read_text(encoding="utf-8"))
    write_fairseq_result(request, history, find_best(save_folder), work, folder)
    shutil.rmtree(work)


def find_best(save_folder: Path) -> Path:
    """Find the best checkpoint: checkpoint_best.pt, or the ``checkpoint.best_loss_*`` left.

    Raises
    ------
    CheckpointError
        When there is none.
    """
    if (save_folder / "checkpoint_best.pt").is_file():
        return save_folder / "checkpoint_best.pt"
    kept = list(save_folder.glob("checkpoint.best_loss_*.pt"))
    if kept:
        return min(kept, key=lambda path: float(path.stem.rsplit("_", 1)[1]))
    raise CheckpointError(
        f"fairseq-signals ended without a checkpoint in {save_folder}; it holds "
        f"{sorted(path.name for path in save_folder.glob('*'))}. See log.txt beside it."
    )


def _train(request: FairseqRequest, report: Report, work: Path, save_folder: Path) -> History:
    pretrained = _require_unchanged(request)
    tokens = override_tokens(
        request.options,
        data=request.data_folder,
        labels=request.data_folder / "y.npy",
        pretrained=pretrained,
        save_folder=save_folder,
        encoder_width=_encoder_width(pretrained),
    )
    command = training_command(request.install, tokens)
    report(
        {"event": "start", "checkpoint_id": request.checkpoint_id, "command": shlex.join(command)}
    )
    reader = _Reader(request.options.epochs, report)
    run_training(
        command,
        environment=training_environment(request.install, request.device),
        work=work,
        on_line=reader.read,
    )
    return reader.history


class _Reader:
    """Turns lines into a history and reports: a step at most every 10 s, and every epoch."""

    def __init__(self, epochs: int, report: Report) -> None:
        self.history: History = []
        self._entries: list[LogEntry] = []
        self._epochs = epochs
        self._report = report
        self._reported = time.monotonic()

    def read(self, line: str) -> None:
        entry = read_log_line(line)
        if entry is None:
            return
        if entry.tag == "train_inner":
            self._report_step(entry)
            return
        self._entries.append(entry)
        if entry.tag == "train":
            self.history = epoch_history(self._entries)
            if self.history:
                last = {k: v for k, v in self.history[-1].items() if v is not None}
                self._report({"event": "epoch", "of_epochs": self._epochs, **last})

    def _report_step(self, entry: LogEntry) -> None:
        if time.monotonic() - self._reported < _SECONDS_BETWEEN_STEPS:
            return
        self._reported = time.monotonic()
        values = entry.values
        named = {"step": "num_updates", "epoch": "update", "train_loss": "loss"}
        self._report({"event": "step", **{k: values[v] for k, v in named.items() if v in values}})


def _require_unchanged(request: FairseqRequest) -> Path:
    """Give the pretrained file if it still is the request's."""
    expected = request.inputs.get(PRETRAINED_INPUT)
    if request.pretrained is None or fingerprint_file(request.pretrained) != expected:
        raise CheckpointError(
            f"{request.pretrained} is not the pretrained file of the request "
            f"({str(expected)[:12]}) any more. Make a new request."
        )
    return request.pretrained


def _encoder_width(pretrained: Path) -> int:
    """Width of the pretrained encoder; nothing in the file is run, and no other kind passes."""
    from ecg_assets.models.ecg_fm.fairseq_config import read_architecture
    from ecg_assets.models.ecg_fm.fairseq_file import read_fairseq

    return int(read_architecture(read_fairseq(pretrained)).config.hidden_size)
