"""The finished checkpoint folder of a pre-training, put together from its training folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from ecg_assets.finetune.history import History, best_row
from ecg_assets.finetune.run_record import describe_hardware
from ecg_assets.finetune.training_data import TrainingData
from ecg_assets.finetune.work_folder import best_checkpoint, list_checkpoints
from ecg_assets.lineage import git_commit, package_versions
from ecg_assets.models.checkpoint import load_weights, save_model
from ecg_assets.models.checkpoint_files import (
    CURVES,
    HISTORY,
    PRETRAINING_WEIGHTS,
    RUN,
    WEIGHTS,
)
from ecg_assets.pretrain.architecture import encoder_class, encoder_config, pretraining_class
from ecg_assets.pretrain.curves import draw_curves
from ecg_assets.pretrain.history import history_frame, measured, read_history
from ecg_assets.pretrain.paired_segments import find_pairs
from ecg_assets.pretrain.request import PretrainRequest
from ecg_assets.storage import replace_folder


def write_result(request: PretrainRequest, data: TrainingData, work: Path, folder: Path) -> None:
    """Put the best epoch's encoder and heads, and the run's record, into `folder`.

    The encoder is what fine-tuning starts from. The heads stand beside it under
    fairseq-signals' names, as an import keeps them.

    Parameters
    ----------
    work
        Training folder; it has all that is needed, in whichever process training ended.
    """
    recipe = request.recipe
    state = load_file(best_checkpoint(work).folder / WEIGHTS)
    heads = pretraining_class(recipe).select_heads(state)
    weights = {name: value for name, value in state.items() if name.startswith("encoder.")}
    config = encoder_config(recipe, n_channels=data.manifest.spec.n_channels)
    encoder = load_weights(encoder_class(recipe)(config), weights, where=str(work))
    history = read_history(list_checkpoints(work)[-1].state["log_history"])
    frame = history_frame(history)
    record = _run_record(request, data, history)
    record["n_parameters"] = sum(p.numel() for p in encoder.parameters())
    with replace_folder(folder) as temporary:
        save_model(temporary, encoder, data.manifest.spec, None)
        save_file(heads, temporary / PRETRAINING_WEIGHTS, metadata={"format": "pt"})
        frame.to_csv(temporary / HISTORY, index=False)
        draw_curves(frame, temporary / CURVES)
        (temporary / RUN).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _run_record(request: PretrainRequest, data: TrainingData, history: History) -> dict[str, Any]:
    """Collect what a run was asked for, made from, and came to; JSON values without paths."""
    best = best_row(history)
    return {
        "checkpoint_id": request.checkpoint_id,
        "request": request.identity,
        "request_fingerprint": request.fingerprint,
        "inputs": dict(request.inputs),
        "trained_on": dict(request.trained_on),
        "seed": request.seed,
        "best_epoch": best["epoch"],
        "epochs_trained": history[-1]["epoch"],
        **{f"valid_{name}": best[f"valid_{name}"] for name in measured(request.recipe.objective)},
        "splits": {name: _count(data, name, request.recipe.pairs) for name in ("train", "valid")},
        "seconds": sum(row["seconds"] for row in history),
        "code": {"git_commit": git_commit(), "versions": package_versions()},
        "hardware": describe_hardware(),
    }


def _count(data: TrainingData, split: str, kind: str) -> dict[str, int]:
    pairs = find_pairs(data, split, kind)
    return {
        "n_records": len(set(pairs.rows.ravel().tolist())),
        "n_patients": len(set(pairs.patients.tolist())),
        "n_pairs": len(pairs),
    }
