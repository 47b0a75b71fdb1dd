"""Small models of ECG-LFM's architecture: random ones and their files, and the reference data's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ecg_assets.models.ecg_lfm.config import ecg_lfm_config_of
from ecg_assets.models.ecg_lfm.family import SIZES
from ecg_assets.models.ecg_lfm.file import ecg_lfm_names
from ecg_assets.models.ecg_lfm.model import EcgLfmForClassification

# Narrower than the encoder at its end: there ECG-LFM has a projection, as at its published size.
SHAPE = {**SIZES["tiny"], "conv_dim": (16, 16, 32, 32, 32, 32)}


def tiny_lfm(n_channels: int = 1, n_labels: int = 2, seed: int = 0) -> EcgLfmForClassification:
    """Build a random model whose scores spread, in evaluation mode.

    Its batch norms have seen other data than noise, so that they matter.
    """
    torch.manual_seed(seed)
    config = ecg_lfm_config_of(SHAPE, n_channels=n_channels, n_labels=n_labels)
    model = EcgLfmForClassification(config).eval()
    torch.nn.init.normal_(model.head.weight, std=2.0)
    for name, value in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            value.uniform_(0.5, 1.5)
    return model


def write_lfm(path: Path, model: EcgLfmForClassification, **others: Any) -> Path:
    """Write a classifier as ECG-LFM's training does, with whatever else the file holds."""
    state = model.state_dict()
    names = ecg_lfm_names(model.config, finetuned=True)
    width = model.config.hidden_size
    unused = {
        "encoder.conv_pos.pos_conv.0.weight_g": torch.ones(1, 1, 16),
        "encoder.encoder.layer_norm.bias": torch.ones(width),
    }
    weights = {theirs: state[ours] for theirs, ours in names.items()} | unused
    torch.save({"model": weights, **others}, path)
    return path


def write_pretrained_lfm(path: Path, model: EcgLfmForClassification, **others: Any) -> Path:
    """Write the encoder as ECG-LFM's pre-training does, with a mask and a head."""
    state = model.state_dict()
    names = ecg_lfm_names(model.config, finetuned=False)
    weights = {theirs: state[ours] for theirs, ours in names.items()}
    width = model.config.hidden_size
    heads = {"mask_emb": torch.ones(width), "mlm_proj.bias": torch.ones(20)}
    torch.save({"model": weights | heads, **others}, path)
    return path


def golden_lfm(reference_data: Path) -> Path:
    """Folder of what ECG-LFM itself gave."""
    return reference_data / "ecglfm_golden"
