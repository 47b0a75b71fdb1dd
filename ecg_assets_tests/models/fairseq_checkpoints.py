"""Small checkpoint files in the form of fairseq-signals' trainer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ecg_assets.models.ecg_fm.config import ecg_fm_config_of
from ecg_assets.models.ecg_fm.fairseq_export import export_fairseq
from ecg_assets.models.ecg_fm.family import SIZES
from ecg_assets.models.ecg_fm.model import EcgFmForClassification

Edit = Callable[[dict[str, Any]], None]


# Narrower than the encoder at its end: there fairseq-signals has a projection, as in ECG-FM.
SHAPE = {**SIZES["tiny"], "conv_dim": (16, 16, 32, 32, 32, 32)}


def random_classifier(*, n_channels: int = 12, n_labels: int = 3) -> EcgFmForClassification:
    torch.manual_seed(0)
    config = ecg_fm_config_of(SHAPE, n_channels=n_channels, n_labels=n_labels)
    model = EcgFmForClassification(config)
    model.eval()
    return model


def write_finetuned(path: Path, edit: Edit | None = None, *, n_labels: int = 3) -> Path:
    """Write a fine-tuned file of random weights, changed by `edit`."""
    export_fairseq(random_classifier(n_labels=n_labels), path)
    return rewrite(path, edit)


def write_pretrained(path: Path, edit: Edit | None = None) -> Path:
    """Write a pre-trained file of random weights: the same encoder, a mask and a code book."""

    def pretrain(content: dict[str, Any]) -> None:
        weights = content["model"]
        content["model"] = {
            name.removeprefix("encoder."): weights[name]
            for name in weights
            if not name.startswith("proj.")
        } | {"mask_emb": torch.ones(64), "quantizer.vars": torch.ones(1, 4, 8)}
        content["cfg"]["model"]["_name"] = "wav2vec2_cmsc"

    return rewrite(rewrite(write_finetuned(path), pretrain), edit)


def rewrite(path: Path, edit: Edit | None) -> Path:
    if edit is not None:
        content = torch.load(path, weights_only=True)
        edit(content)
        torch.save(content, path)
    return path
