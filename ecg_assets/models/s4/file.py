"""Checkpoint files of S4 and ECG-CPC: their weights, the architecture that these tell, models."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ecg_assets.errors import CheckpointError
from ecg_assets.models.checkpoint_folder import UNREADABLE_VALUES
from ecg_assets.models.fairseq_weights import count_modules
from ecg_assets.models.family import ModelFamily
from ecg_assets.models.imported import ImportedModel
from ecg_assets.models.renamed_weights import rename_weights
from ecg_assets.models.s4.family import ECG_CPC, S4
from ecg_assets.models.s4.model import (
    EcgCpc,
    EcgCpcConfig,
    S4Classifier,
    S4Config,
    ecg_cpc_config_of,
    s4_config_of,
)
from ecg_assets.models.weights import load_weights

_PREFIX = "ts_encoder."
_PREDICTOR = "predictor.predictor."
# A projection that the contrastive loss alone reads; its output is no feature.
_PRETRAINING = re.compile(r"ts_encoder\.head_ssl\..+")


def is_s4(content: object) -> bool:
    """Tell whether the content of a published file is an S4."""
    return "encoder.weight" in _find_weights(content, "")


def is_ecg_cpc(content: object) -> bool:
    """Tell whether the content of a published file is an ECG-CPC."""
    weights = _find_weights(content, _PREDICTOR)
    return any(name.endswith("encoder.layers.0.0.weight") for name in weights)


def _find_weights(content: object, start: str) -> dict[str, Tensor]:
    """Find weights in a content, of which one is the first S4 layer's; {} where there are none.

    Lightning's prefix of the benchmark's own module has been taken off (`without_wrappers`).
    """
    if not isinstance(content, Mapping):
        return {}
    first = f"{start}s4_layers.0.kernel.kernel.C"
    for place in (content.get("state_dict"), content):
        if isinstance(place, Mapping) and (first in place or f"{_PREFIX}{first}" in place):
            is_whole = all(isinstance(value, Tensor) for value in place.values())
            return dict(place) if is_whole else {}
    return {}


def build_s4(content: object, path: Path) -> ImportedModel:
    """Build an S4 that the benchmark trained."""
    weights = _find_weights(content, "")
    config = _read(partial(_read_s4, weights), S4, path)
    mapped = rename_weights(weights, str)
    return ImportedModel(
        family=S4,
        path=path,
        model=load_weights(partial(S4Classifier, config), mapped.weights, where=str(path)),
        architecture=f"{config.n_layers} S4 layers of width {config.hidden_size}, kernels of "
        f"{config.kernel_length} samples,\n  {{n_parameters:,}} parameters",
        report=mapped.report(S4.title, (), is_finetuned=True),
    )


def build_ecg_cpc(content: object, path: Path) -> ImportedModel:
    """Build a pre-trained ECG-CPC as an encoder; what the contrastive loss alone reads is kept."""
    # encoder.layers.0.0.weight → ts_encoder.encoder.layers.0.0.weight, where a file leaves it out
    weights = {
        name if name.startswith(_PREFIX) else f"{_PREFIX}{name}": value
        for name, value in _find_weights(content, _PREDICTOR).items()
    }
    config = _read(partial(_read_ecg_cpc, weights), ECG_CPC, path)
    mapped = rename_weights(weights, str, dropped=_PRETRAINING)
    return ImportedModel(
        family=ECG_CPC,
        path=path,
        model=load_weights(partial(EcgCpc, config), mapped.weights, where=str(path)),
        architecture=f"{len(config.conv_dim)} convolutions and {config.n_layers} S4 layers of "
        f"width {config.hidden_size}, kernels of {config.kernel_length} tokens,\n"
        "  {n_parameters:,} parameters",
        report=mapped.report(
            ECG_CPC.title,
            ("the first convolution halves the length, the others keep it",),
            is_finetuned=False,
        ),
        pretraining=mapped.dropped,
    )


def _read(read: Any, family: ModelFamily, path: Path) -> Any:
    """Read the architecture off the shapes; loading the weights then checks every one."""
    try:
        return read()
    except UNREADABLE_VALUES as error:
        raise CheckpointError(
            f"{path} does not hold the weights of {family.title} ({type(error).__name__}: "
            f"{error}). Get the original file."
        ) from error


def _read_s4(weights: Mapping[str, Tensor]) -> S4Config:
    hidden_size, n_channels, _ = weights["encoder.weight"].shape
    shape = {"hidden_size": hidden_size, **_read_layers(weights, "")}
    n_labels = len(weights["decoder.weight"])
    return s4_config_of(shape, n_channels=n_channels, n_labels=n_labels)


def _read_ecg_cpc(weights: Mapping[str, Tensor]) -> EcgCpcConfig:
    template = f"{_PREFIX}encoder.layers.{{}}.0.weight"
    n_layers = count_modules(weights, template)
    shapes = [weights[template.format(i)].shape for i in range(n_layers)]
    shape = {
        "conv_dim": tuple(shape[0] for shape in shapes),
        "conv_kernel": tuple(shape[2] for shape in shapes),
        # No weight tells it.
        "conv_stride": (2, *(1 for _ in shapes[1:])),
        **_read_layers(weights, f"{_PREFIX}{_PREDICTOR}"),
    }
    return ecg_cpc_config_of(shape, n_channels=shapes[0][1])


def _read_layers(weights: Mapping[str, Tensor], start: str) -> dict[str, Any]:
    kernel = f"{start}s4_layers.0.kernel.kernel."
    # Its number of points leaves it open whether the length is even; the second point does not.
    real, imaginary = weights[f"{kernel}omega"][1].tolist()
    return {
        "n_layers": count_modules(weights, f"{start}s4_layers.{{}}.D"),
        "n_states": 2 * weights[f"{kernel}C"].shape[2],
        "kernel_length": round(2 * math.pi / -math.atan2(imaginary, real)),
    }
