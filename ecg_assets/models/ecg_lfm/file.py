"""The weights of a checkpoint file of ECG-LFM, and the architecture that their shapes tell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ecg_assets.errors import CheckpointError
from ecg_assets.models.conv_layers import parse_conv_layers
from ecg_assets.models.ecg_lfm.config import EcgLfmConfig, ecg_lfm_config_of
from ecg_assets.models.torch_file import read_torch_file

# Attention with a bias for its relative positions, which no other conformer of fairseq has.
_CONFORMER = re.compile(r"(?:encoder\.)?encoder\.layers\.0\.self_attn\.pos_bias_u")
_CONVOLUTION = "feature_extractor.conv_layers.{}.0.weight"
_LAYER = "encoder.layers.{}."
_STATED = {
    "encoder_layers": "num_hidden_layers",
    "encoder_embed_dim": "hidden_size",
    "encoder_ffn_embed_dim": "intermediate_size",
    "encoder_attention_heads": "num_attention_heads",
    "depthwise_conv_kernel_size": "conv_depthwise_kernel_size",
}


@dataclass(frozen=True, eq=False)
class EcgLfmFile:
    """What is read of a file; its optimizer, schedule and meters are left alone.

    Attributes
    ----------
    path
        Where it was read.
    config
        Its architecture.
    weights
        By ECG-LFM's names.
    assumed
        What no weight tells and the file does not state, and what was taken instead; one
        sentence each.
    """

    path: Path
    config: EcgLfmConfig
    weights: dict[str, Tensor]
    assumed: tuple[str, ...] = ()

    @property
    def is_finetuned(self) -> bool:
        """Whether it is a classifier; otherwise it is a pre-training model."""
        return _is_finetuned(self.weights)


def is_ecg_lfm(content: object) -> bool:
    """Tell whether the content of a file of torch.save is an ECG-LFM."""
    weights = content.get("model") if isinstance(content, Mapping) else None
    return isinstance(weights, Mapping) and any(
        isinstance(name, str) and _CONFORMER.fullmatch(name) for name in weights
    )


def read_ecg_lfm(path: Path) -> EcgLfmFile:
    """Read a .pt file of ECG-LFM, pre-trained or fine-tuned; no code in it is run.

    Raises
    ------
    UnsafeCheckpoint
        When the file would run code; the message names it.
    CheckpointError
        When the file is missing, damaged, or no ECG-LFM.
    """
    return ecg_lfm_file(read_torch_file(path), path)


def ecg_lfm_file(content: Any, path: Path) -> EcgLfmFile:
    """Take weights and architecture from the content of the file at `path`.

    The shapes decide. A configuration, which a file may lack, gives the strides; that of a
    pre-trained file must agree with the weights, that of a fine-tuned one often holds defaults.
    """
    if not is_ecg_lfm(content):
        found = sorted(map(str, content))[:8] if isinstance(content, dict) else type(content)
        raise CheckpointError(
            f"{path} is no checkpoint of ECG-LFM: expected 'model' with the weights of its "
            f"conformer layers, found {found}. Give the file as its training wrote it."
        )
    weights = dict(content["model"])
    prefix = "encoder." if _is_finetuned(weights) else ""
    encoder = {name.removeprefix(prefix): value for name, value in weights.items()}
    stated = _settings(content)
    try:
        shape, assumed = _read_shape(encoder, stated)
        n_labels = len(weights["proj.weight"]) if prefix else None
        n_channels = encoder[_CONVOLUTION.format(0)].shape[1]
        config = ecg_lfm_config_of(shape, n_channels=n_channels, n_labels=n_labels)
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        raise CheckpointError(
            f"{path} has weights like ECG-LFM's, but lacks one or has it in another shape "
            f"({type(error).__name__}: {error}). Get the original file."
        ) from error
    if not prefix:
        _require_agreement(config, stated, path)
    return EcgLfmFile(path, config, weights, assumed)


def _is_finetuned(weights: Mapping[str, Tensor]) -> bool:
    return any(name.startswith(("encoder.encoder.", "proj.")) for name in weights)


def _settings(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Find the options of the model: a section of ``cfg``, or ``config`` alone, or none."""
    cfg = content.get("cfg")
    stated = cfg.get("model") if isinstance(cfg, Mapping) else content.get("config")
    return stated if isinstance(stated, Mapping) else {}


def _read_shape(
    encoder: Mapping[str, Tensor], stated: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    convolutions = [encoder[_CONVOLUTION.format(i)].shape for i in range(_count(encoder))]
    first = _LAYER.format(0)
    n_layers = 0
    while f"{_LAYER.format(n_layers)}ffn1.w_1.weight" in encoder:
        n_layers += 1
    inner_width, width = encoder[f"{first}ffn1.w_1.weight"].shape
    kernels = tuple(shape[2] for shape in convolutions)
    strides, assumed = _read_strides(kernels, stated)
    shape = {
        "hidden_size": width,
        "num_hidden_layers": n_layers,
        "num_attention_heads": len(encoder[f"{first}self_attn.pos_bias_u"]),
        "intermediate_size": inner_width,
        "conv_dim": tuple(shape[0] for shape in convolutions),
        "conv_kernel": kernels,
        "conv_stride": strides,
        "conv_bias": f"{_CONVOLUTION.format(0).removesuffix('weight')}bias" in encoder,
        "conv_depthwise_kernel_size": encoder[f"{first}conv_module.depthwise_conv.weight"].shape[2],
    }
    return shape, assumed


def _count(encoder: Mapping[str, Tensor]) -> int:
    n = 0
    while _CONVOLUTION.format(n) in encoder:
        n += 1
    return n


def _read_strides(
    kernels: tuple[int, ...], stated: Mapping[str, Any]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Take the strides of a configuration with the same kernels; else they are the kernels."""
    text = stated.get("conv_feature_layers")
    if isinstance(text, str):
        layers = parse_conv_layers(text)
        if tuple(kernel for _, kernel, _ in layers) == kernels:
            return tuple(stride for _, _, stride in layers), ()
    assumed = f"strides {kernels} of the convolutions, which are their kernels as in ECG-LFM"
    return kernels, (assumed,)


def _require_agreement(config: EcgLfmConfig, stated: Mapping[str, Any], path: Path) -> None:
    wrong = {
        theirs: (stated[theirs], getattr(config, ours))
        for theirs, ours in _STATED.items()
        if theirs in stated and stated[theirs] != getattr(config, ours)
    }
    if wrong:
        listed = "; ".join(f"{name} {says}, not {has}" for name, (says, has) in wrong.items())
        raise CheckpointError(
            f"{path}: its configuration states {listed} as its weights have. They belong to "
            "different models; get the original."
        )
