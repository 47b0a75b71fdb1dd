"""A training of the tiny model on toy recordings, which a test can end early.

``python -m ecg_assets_tests.training.finetune.toy_run FOLDER`` trains in a process of
its own, or in several under torch.distributed.run; each writes its events to
FOLDER/events-<rank>.json.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecg_assets.build import Manifest
from ecg_assets.known import NOT_MEASURED
from ecg_assets.models.checkpoint import save_trained
from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.finetune.finetune import finetune
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets_tests.models.toy_recordings import (
    SPEC,
    VOCABULARY,
    toy_manifest,
    toy_signals,
)
from ecg_assets_tests.training.killed_run import Events, run_until_killed


def toy_request(output_folder: Path, **changes: Any) -> FinetuneRequest:
    """Ask for four epochs of the preset ``tiny``, with changes."""
    values: dict[str, Any] = {
        "epochs": 4, "batch_size": 16, "device": "cpu", "inputs": {"manifests": "toy"}, **changes
    }  # fmt: skip
    return FinetuneRequest.from_preset(
        "tiny",
        manifest_folder=output_folder,
        shard_folder=output_folder,
        cache_folder=output_folder,
        output_folder=output_folder,
        **values,
    )


def write_toy_start(folder: Path) -> Path:
    """Write a checkpoint of random weights, always the same, that a toy training starts from."""
    torch.manual_seed(5)
    model = EcgFmForClassification(ecg_fm_config("tiny", n_channels=1, n_labels=2))
    save_trained(folder, model, SPEC, VOCABULARY)
    return folder


def run_toy(
    request: FinetuneRequest, data: TrainingData, *, killed_in_epoch: int = 0
) -> tuple[Path, Events]:
    """Fine-tune; end with `Killed` after an epoch's validation, before it is saved."""
    return run_until_killed(finetune, request, data, killed_in_epoch)


def partly_measured(manifest: Manifest) -> Manifest:
    """Leave each label of half the recordings unknown, at random."""
    unknown = np.random.default_rng(3).random(manifest.targets.shape) < 0.5
    return replace(manifest, targets=np.where(unknown, np.uint8(NOT_MEASURED), manifest.targets))


def main(folder: Path) -> None:
    """Train two epochs without dropout, whose random numbers differ between processes.

    Of 56 segments three steps of 16 leave 8. Not all labels are known, of some none.
    """
    manifest = toy_manifest(35)
    data = TrainingData(partly_measured(manifest), toy_signals(manifest))
    request = toy_request(folder / "checkpoints", epochs=2, activation_dropout=0.0)
    _, events = run_toy(request, data)
    name = f"events-{os.environ.get('RANK', '0')}.json"
    (folder / name).write_text(json.dumps(events))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
