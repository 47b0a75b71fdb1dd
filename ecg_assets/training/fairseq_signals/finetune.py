"""Fine-tune with fairseq-signals: from a request to a finished checkpoint folder like any other."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from ecg_assets.build import read_manifest
from ecg_assets.errors import CheckpointError
from ecg_assets.lineage import fingerprint_file
from ecg_assets.models.checkpoint import TrainedModel, load_trained
from ecg_assets.models.ecg_fm.fairseq_import import import_fairseq
from ecg_assets.models.families import FAMILIES
from ecg_assets.models.signals import ModelInput, require_readable
from ecg_assets.storage import replace_file, replace_folder
from ecg_assets.training.engine.data import TrainingData, open_training_data
from ecg_assets.training.engine.history import History
from ecg_assets.training.engine.run import SECONDS_BETWEEN_LINES, Report, run_once, work_folder_of
from ecg_assets.training.fairseq_signals.process import (
    LogEntry,
    best_epoch,
    epoch_history,
    read_log_line,
    run_training,
    training_command,
    training_environment,
)
from ecg_assets.training.fairseq_signals.request import FairseqRequest, override_tokens
from ecg_assets.training.finetune.finetune import FinetuneTraining
from ecg_assets.training.finetune.request import PRETRAINED_INPUT
from ecg_assets.training.finetune.result import (
    count_parameters,
    finetuning_record,
    validation_logits,
    write_labelled_run,
)
from ecg_assets.training.finetune.validate import Validation, validate_logits, weighted_loss


def finetune_with_fairseq(request: FairseqRequest, report: Report) -> Path:
    """Train a request's model with fairseq-signals, or return its finished folder.

    It trains in ``<output_folder>/.training-<request id>``. A killed run starts again from
    its first epoch: the reference's call keeps no state to resume from. Once it has trained,
    only what comes after is done again.

    Parameters
    ----------
    request
        What to train.
    report
        Gets events as `train_request` gives them.

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
    SpecMismatch
        When the manifest's signals are of another kind, or give other channels, than it reads.
    """
    return run_once(request, report, read_run=FinetuneTraining.read_run, train=_train_and_write)


def _train_and_write(request: FairseqRequest, report: Report, folder: Path) -> None:
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
    config = _read_config(pretrained)
    known = ModelInput(FAMILIES[config.model_type], config.n_channels, where=str(pretrained))
    require_readable(known, read_manifest(request.manifest_folder).spec)
    tokens = override_tokens(
        request.options,
        data=request.data_folder,
        labels=request.data_folder / "y.npy",
        pretrained=pretrained,
        save_folder=save_folder,
        encoder_width=int(config.hidden_size),
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
        if time.monotonic() - self._reported < SECONDS_BETWEEN_LINES:
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


def _read_config(pretrained: Path) -> Any:
    """Read the pretrained encoder's shape; nothing in the file is run, no other kind passes."""
    from ecg_assets.models.ecg_fm.fairseq_config import read_architecture
    from ecg_assets.models.ecg_fm.fairseq_file import read_fairseq

    return read_architecture(read_fairseq(pretrained)).config


# The finished checkpoint folder of a training by fairseq-signals.


def write_fairseq_result(
    request: FairseqRequest, history: History, best: Path, work: Path, folder: Path
) -> None:
    """Put the converted checkpoint, its validation scores and the run's record into `folder`.

    The scores are made here, from the stored signals and not the .mat files, and loss and
    AUROC with them, as those of every other checkpoint are. What fairseq-signals logged
    stays in history.csv.

    Parameters
    ----------
    best
        The .pt file to take.
    work
        Folder for what is made on the way.
    """
    data = open_training_data(request)
    spec, vocabulary = data.manifest.spec, data.manifest.vocabulary
    imported = import_fairseq(
        best, work / "imported", spec=spec, vocabulary=vocabulary, pretrained=request.pretrained
    )
    trained = load_trained(imported)
    rows = data.rows("valid")
    logits = validation_logits(request, data, trained)
    validation = validate_logits(data, rows, logits)
    targets = np.repeat(data.manifest.targets[rows], data.n_segments(rows), axis=0)
    loss = weighted_loss(logits, targets, np.asarray(request.options.pos_weight))
    record = _record(request, data, trained, history, validation, loss=loss)
    with replace_folder(folder) as temporary:
        shutil.copytree(imported, temporary, dirs_exist_ok=True)
        write_labelled_run(
            temporary,
            request,
            data,
            history=history,
            record=record,
            validation=validation,
            trained=trained,
        )


def _record(
    request: FairseqRequest,
    data: TrainingData,
    trained: TrainedModel,
    history: History,
    validation: Validation,
    *,
    loss: float,
) -> dict[str, Any]:
    """Record the run as a native one is, and what is fairseq-signals' own.

    `loss` is that of the converted model with the weights of the call: where every shard is
    exported it must be the logged one to three decimals in base 2.
    """
    if request.options.freeze_convolutions:
        trained.model.freeze_convolutions()
    best = best_epoch(history)
    validated = [row for row in history if row["valid_loss"] is not None]
    record = finetuning_record(
        request, data, count_parameters(trained.model), validated, validation
    )
    auroc = validation.macro_auroc
    return {
        **record,
        "optimizer": "fairseq-adam",  # it has no other, whatever the recipe says
        "valid_loss": validation.loss,
        "valid_macro_auroc": None if np.isnan(auroc) else auroc,
        "test_loss": None,
        "test_macro_auroc": None,
        "best_epoch": best["epoch"],
        "epochs_trained": history[-1]["epoch"],
        "fairseq_signals": {
            "versions": request.install.versions,
            "gpus": list(request.install.gpus),
            "n_segments": _count_segments(request.data_folder),
            "logged_valid_loss": best["valid_loss"],
            "valid_loss_of_converted_model": loss,
            "history": "losses as logged, in base 2, are given in natural logarithm here; the "
            "logged AUROC is micro, of all segments and labels together, and is left out",
        },
    }


def _count_segments(folder: Path) -> dict[str, int]:
    """Lines of each .tsv without its first, which names the root."""
    counts = {}
    for path in sorted(folder.glob("*.tsv")):
        with path.open(encoding="utf-8") as lines:
            counts[path.stem] = sum(1 for line in lines if line.strip()) - 1
    return counts
