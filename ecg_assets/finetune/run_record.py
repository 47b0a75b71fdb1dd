"""What run.json says of a training run."""

from __future__ import annotations

import os
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import ecg_assets
from ecg_assets.finetune.history import History, best_row
from ecg_assets.finetune.request import FinetuneRequest
from ecg_assets.finetune.training_data import TrainingData
from ecg_assets.finetune.validate import Validation
from ecg_assets.models.ecg_fm import EcgFmForClassification

_PACKAGES = (
    "ecg-assets",
    "torch",
    "transformers",
    "accelerate",
    "peft",
    "safetensors",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "scikit-learn",
)


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
        "labels_without_auroc": list(validation.undefined),
        "test_loss": best["test_loss"],
        "test_macro_auroc": best["test_macro_auroc"],
        **n_parameters,
        "splits": {name: _split_counts(data, name) for name in ("train", *evaluated)},
        "labels": _label_counts(data),
        "seconds": sum(row["seconds"] for row in history),
        "code": {"git_commit": git_commit(), "versions": package_versions()},
        "hardware": describe_hardware(),
        "machine": {**request.machine, "n_processes": int(os.environ.get("WORLD_SIZE", "1"))},
    }


def count_parameters(model: EcgFmForClassification) -> dict[str, int]:
    """Count the weights of the model that was trained, and those that training may change."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return {
        "n_parameters": sum(size for size, _ in sizes),
        "n_trained_parameters": sum(size for size, is_trained in sizes if is_trained),
    }


def git_commit() -> str | None:
    """Commit of the checkout that this package is run from, ``-dirty`` with local changes.

    None when the package is not in a git checkout, or git is not there.
    """
    folder = Path(ecg_assets.__file__).parent
    describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    # An installed copy may stand inside an unrelated checkout, which does not track it.
    if _git(folder, ["ls-files", "--error-unmatch", "__init__.py"]) is None:
        return None
    return _git(folder, describe)


def _git(folder: Path, command: list[str]) -> str | None:
    """Output of a git command, or None where it fails."""
    try:
        found = subprocess.run(
            ["git", *command], cwd=folder, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip() or None


def _split_counts(data: TrainingData, split: str) -> dict[str, int]:
    chosen = data.manifest.index.iloc[data.rows(split)]
    return {
        "n_records": len(chosen),
        "n_patients": int(chosen["subject_id"].nunique()),
        "n_segments": int(data.n_segments(data.rows(split)).sum()),
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


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages behind a training, those that are installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):  # an optional one
            found[name] = version(name)
    return found


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
