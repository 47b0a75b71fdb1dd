"""A pre-training of a tiny model on the toy cohort, which a test can end early.

``python -m ecg_assets_tests.training.pretrain.toy_run FOLDER`` runs it in a process of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.pretrain.pretrain import pretrain
from ecg_assets.training.pretrain.request import PretrainRequest
from ecg_assets_tests.training.killed_run import Events, run_until_killed
from ecg_assets_tests.training.pretrain.toy_cohort import toy_cohort


def toy_request(
    output_folder: Path, *, preset: str = "tiny-pretrain", **changes: Any
) -> PretrainRequest:
    """Ask for four epochs of a preset, with dropout, or with changes."""
    values: dict[str, Any] = {"epochs": 4, "batch_size": 16, "device": "cpu", "dropout": 0.1}
    return PretrainRequest.from_preset(
        preset,
        manifest_folder=output_folder,
        shard_folder=output_folder,
        cache_folder=output_folder,
        output_folder=output_folder,
        inputs={"recordings": "toy"},
        **{**values, **changes},
    )


def run(
    request: PretrainRequest, data: TrainingData, *, killed_in_epoch: int = 0
) -> tuple[Path, Events]:
    """Pre-train; end with `Killed` after an epoch's validation, before it is saved."""
    return run_until_killed(pretrain, request, data, killed_in_epoch)


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(toy_request(Path(sys.argv[1])), toy_cohort(40))
