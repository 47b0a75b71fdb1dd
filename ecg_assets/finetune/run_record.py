"""What run.json says of a training run."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import ecg_assets
from ecg_assets.finetune.history import History, best_row
from ecg_assets.finetune.request import FinetuneRequest
from ecg_assets.finetune.training_data import TrainingData
from ecg_assets.finetune.validate import Validation
from ecg_assets.models.ecg_fm import EcgFmForClassification

_PACKAGES = ("ecg-assets", "torch", "transformers", "accelerate", "numpy", "scikit-learn")


def run_record(
    request: FinetuneRequest,
    data: TrainingData,
    model: EcgFmForClassification,
    history: History,
    validation: Validation,
) -> dict[str, Any]:
    """Collect what a run was asked for, made from, and came to; JSON values without paths."""
    best = best_row(history)
    trained = [p.numel() for p in model.parameters() if p.requires_grad]
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
        "n_parameters": sum(p.numel() for p in model.parameters()),
        "n_trained_parameters": sum(trained),
        "splits": {name: _split_counts(data, name) for name in ("train", "valid")},
        "labels": _label_counts(data),
        "seconds": sum(row["seconds"] for row in history),
        "code": {"git_commit": git_commit(), "versions": _versions()},
        "hardware": _hardware(),
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


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}


def _hardware() -> dict[str, Any]:
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "n_cpus": os.cpu_count(),
        "n_threads": torch.get_num_threads(),
        "gpus": gpus,
    }
