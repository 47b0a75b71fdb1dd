"""What run.json says of a training run."""

from __future__ import annotations

import os
import platform
from typing import Any

import torch

from ecg_assets.finetune.history import History, best_row
from ecg_assets.finetune.request import FinetuneRequest
from ecg_assets.finetune.training_data import TrainingData
from ecg_assets.finetune.validate import Validation
from ecg_assets.lineage import git_commit, package_versions
from ecg_assets.models.classifier import EcgClassifier


def run_record(
    request: FinetuneRequest,
    data: TrainingData,
    n_parameters: dict[str, int],
    history: History,
    validation: Validation,
) -> dict[str, Any]:
    """Collect what a run was asked for, made from, and came to; JSON values without paths."""
    best = best_row(history)
    evaluated = dict(data.evaluated_rows(with_test=request.recipe.reports_test))
    return {
        "checkpoint_id": request.checkpoint_id,
        "request": request.identity,
        "request_fingerprint": request.fingerprint,
        "inputs": dict(request.inputs),
        "trained_on": dict(request.trained_on),
        "seed": request.seed,
        "best_epoch": best["epoch"],
        "epochs_trained": history[-1]["epoch"],
        "valid_loss": best["valid_loss"],
        "valid_macro_auroc": best["valid_macro_auroc"],
        "valid_accuracy": best.get("valid_accuracy"),
        "labels_without_auroc": list(validation.undefined),
        "test_loss": best["test_loss"],
        "test_macro_auroc": best["test_macro_auroc"],
        **n_parameters,
        "splits": {name: count_split(data, name) for name in ("train", *evaluated)},
        "labels": _label_counts(data),
        "seconds": sum(row["seconds"] for row in history),
        "code": {"git_commit": git_commit(), "versions": package_versions()},
        "hardware": describe_hardware(),
        "machine": {**request.machine, "n_processes": int(os.environ.get("WORLD_SIZE", "1"))},
    }


def count_parameters(model: EcgClassifier) -> dict[str, int]:
    """Count the weights of the model that was trained, and those that training may change."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return {
        "n_parameters": sum(size for size, _ in sizes),
        "n_trained_parameters": sum(size for size, is_trained in sizes if is_trained),
    }


def count_split(data: TrainingData, split: str) -> dict[str, int]:
    """Count what is used of a split, and of exclusive labels what none or several leave out."""
    chosen = data.manifest.index.iloc[data.rows(split)]
    return {
        "n_records": len(chosen),
        "n_patients": int(chosen["subject_id"].nunique()),
        "n_segments": int(data.n_segments(data.rows(split)).sum()),
        **(_count_left_out(data, split) if data.exclusive else {}),
    }


def _count_left_out(data: TrainingData, split: str) -> dict[str, int]:
    n_labels = data.manifest.targets[data.manifest.rows(split)].sum(axis=1)
    return {
        "n_left_out_without_label": int((n_labels == 0).sum()),
        "n_left_out_with_several_labels": int((n_labels > 1).sum()),
    }


def _label_counts(data: TrainingData) -> dict[str, dict[str, float]]:
    train = data.manifest.targets[data.rows("train")].sum(axis=0)
    valid = data.manifest.targets[data.rows("valid")].sum(axis=0)
    return {
        name: {
            "n_positive_train": int(train[i]),
            "n_positive_valid": int(valid[i]),
            "pos_weight": float(data.manifest.pos_weight[i]),
        }
        for i, name in enumerate(data.manifest.vocabulary.names)
    }


def describe_hardware() -> dict[str, Any]:
    """Processors and GPUs of this machine, as JSON values."""
    gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "n_cpus": os.cpu_count(),
        "n_threads": torch.get_num_threads(),
        "gpus": [gpu.name for gpu in gpus],
        "gpu_memory_gib": [round(gpu.total_memory / 2**30, 1) for gpu in gpus],
        "cuda": torch.version.cuda,
    }
