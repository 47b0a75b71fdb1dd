"""xresnet1d101: residual bottleneck blocks over ECG leads, all stages of one width.

The baseline of PTB-XL's benchmark (https://arxiv.org/abs/2004.13701), a bag of tricks
(https://arxiv.org/abs/1812.01187) in one dimension. It was written from a description; with the
same weights it gives the same outputs as https://github.com/helme/ecg_ptbxl_benchmarking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel

from ecg_assets.models.attention_pool import Tokens
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.signals import require_channels, require_one_length
from ecg_assets.models.token_config import find_size, token_config
from ecg_assets.models.xresnet.family import SIZES

# Sizes and settings as a transformers configuration.

KERNEL = 5
"""Of all convolutions but those of 1 sample."""
EXPANSION = 4
"""A block's output is so many times as wide as its middle."""

FINE_TUNING: dict[str, Any] = {}
"""While fine-tuning nothing is set but `activation_dropout`, the only dropout."""


class XresnetConfig(PretrainedConfig):  # type: ignore[misc]
    """A one-dimensional xresnet.

    Attributes
    ----------
    n_channels
        Leads that the first convolution reads.
    stem
        Features of the three first convolutions.
    width
        Features in the middle of each block.
    blocks
        Blocks of each stage; the first of all stages but the first halves the length.
    head_size
        Features that the last layer reads.
    activation_dropout
        Of these features; of those before them half as much.
    """

    model_type = "xresnet1d101"
    n_channels: int = 12
    stem: list[int] | tuple[int, ...] = (32, 32, 64)
    width: int = 64
    blocks: list[int] | tuple[int, ...] = (3, 4, 23, 3)
    head_size: int = 128
    activation_dropout: float = 0.5

    @property
    def hidden_size(self) -> int:
        """Features that the last layer reads."""
        return int(self.head_size)


def xresnet_config(size: str, *, n_channels: int, n_labels: int) -> XresnetConfig:
    """Build the configuration of a size.

    Parameters
    ----------
    size
        ``tiny`` or ``base``.
    n_channels
        Leads that the first convolution reads.
    n_labels
        Outputs of the last layer.

    >>> xresnet_config("base", n_channels=12, n_labels=71).hidden_size
    128
    """
    return xresnet_config_of(find_size(SIZES, size), n_channels=n_channels, n_labels=n_labels)


def xresnet_config_of(shape: Mapping[str, Any], *, n_channels: int, n_labels: int) -> XresnetConfig:
    """Build the configuration of any shape, given as an entry of `SIZES`."""
    return token_config(XresnetConfig, shape, n_channels=n_channels, n_labels=n_labels)


# The model.


def _convolution(n_in: int, n_out: int, kernel: int = KERNEL, *, stride: int = 1) -> nn.Sequential:
    """Convolution and batch norm; the activation is where they are used."""
    padding = (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv1d(n_in, n_out, kernel, stride, padding, bias=False), nn.BatchNorm1d(n_out)
    )


class Block(nn.Module):
    """Narrow, convolve, widen; add the input, which is pooled and widened where it must be.

    Parameters
    ----------
    n_in
        Features of the input.
    width
        Features in the middle; the output has `EXPANSION` times as many.
    stride
        2 halves the length, of an odd one rounded up.
    """

    def __init__(self, n_in: int, width: int, *, stride: int) -> None:
        super().__init__()
        n_out = EXPANSION * width
        self.convs = nn.ModuleList(
            [
                _convolution(n_in, width, 1),
                _convolution(width, width, stride=stride),
                _convolution(width, n_out, 1),
            ]
        )
        self.idpath = nn.ModuleList([_convolution(n_in, n_out, 1)] if n_in != n_out else [])
        self.stride = stride

    def forward(self, signal: Tensor) -> Tensor:
        """Map ``[batch, feature in, sample]`` to ``[batch, feature out, sample / stride]``."""
        hidden = self.convs[0](signal).relu()
        hidden = self.convs[1](hidden).relu()
        hidden = self.convs[2](hidden)
        if self.stride > 1:
            signal = _halve(signal)
        for layer in self.idpath:
            signal = layer(signal)
        out: Tensor = (hidden + signal).relu()
        return out


def _halve(signal: Tensor) -> Tensor:
    """Average pairs of samples; the last of an odd number stays as it is."""
    if signal.shape[-1] % 2:
        # As pooling in ceil mode does, of which exported models make something else.
        signal = torch.cat([signal, signal[..., -1:]], dim=-1)
    return functional.avg_pool1d(signal, 2)


class Xresnet(EcgClassifier, PreTrainedModel):  # type: ignore[misc]
    """Blocks, largest and mean value over time, two linear layers.

    Parameters
    ----------
    config
        `num_labels` is the width of the last layer.
    """

    config_class = XresnetConfig
    main_input_name = "input_values"

    def __init__(self, config: XresnetConfig) -> None:
        super().__init__(config)
        widths = (config.n_channels, *config.stem)
        self.stem = nn.ModuleList(
            _convolution(*width, stride=1 if i else 2) for i, width in enumerate(pairwise(widths))
        )
        n_in = config.stem[-1]
        self.stages = nn.ModuleList()
        for number, n_blocks in enumerate(config.blocks):
            stage = nn.Sequential()
            for i in range(n_blocks):
                stage.append(Block(n_in, config.width, stride=2 if number and not i else 1))
                n_in = EXPANSION * config.width
            self.stages.append(stage)
        self.pooled_norm = nn.BatchNorm1d(2 * n_in)
        self.pooled_dropout = nn.Dropout(config.activation_dropout / 2)
        self.hidden = nn.Linear(2 * n_in, config.head_size)
        self.hidden_norm = nn.BatchNorm1d(config.head_size)
        self.dropout = nn.Dropout(config.activation_dropout)
        self.head = nn.Linear(config.head_size, config.num_labels)
        # As its training starts, not its class, in which the last norm of each block is 0.
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)
        self.post_init()

    def _init_weights(self, module: Any) -> None:
        """Keep the initial values of the constructor."""

    @property
    def token_size(self) -> int:
        """Features at each position in time, before the head's first layer."""
        return int(EXPANSION * self.config.width)

    def tokens(self, input_values: Tensor, lengths: Tensor | None = None) -> Tokens:
        """Give the last block's features at each position in time; `lengths` is refused."""
        require_channels(input_values, self.config.n_channels)
        require_one_length(lengths, "xresnet1d101")
        hidden = input_values
        for layer in self.stem:
            hidden = layer(hidden).relu()
        hidden = functional.max_pool1d(hidden, 3, stride=2, padding=1)
        for stage in self.stages:
            hidden = stage(hidden)
        return Tokens(hidden.transpose(1, 2))

    def pool(self, hidden: Tensor) -> Tensor:
        """Take the largest value and the mean of ``[batch, token, feature]`` over time."""
        return torch.cat([hidden.amax(dim=1), hidden.mean(dim=1)], dim=1)

    def embed(self, input_values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Give the features of the head's first layer, ``[batch, feature]``."""
        pooled = self.pooled_norm(self.pool(self.tokens(input_values, lengths).hidden))
        hidden = self.hidden(self.pooled_dropout(pooled)).relu()
        features: Tensor = self.dropout(self.hidden_norm(hidden))
        return features

    def encoder_layers(self) -> Sequence[tuple[str, ...]]:
        """Name the stem, each stage, and the head's first layer."""
        stages = ((f"stages.{i}",) for i in range(len(self.stages)))
        return [("stem",), *stages, ("pooled_norm", "hidden", "hidden_norm")]

    def classify(self, features: Tensor) -> Tensor:
        """Compute logits ``[batch, label]`` of features ``[batch, feature]``."""
        logits: Tensor = self.head(features)
        return logits
