"""Net1D, the network of ECGFounder: a one-dimensional RegNet with squeeze-and-excitation.

Its weights have the names of the public checkpoints (https://github.com/PKUDigitalHealth/ECGFounder),
and with the same weights it gives the same outputs. Those checkpoints carry batch norms that the
published settings never run (``use_bn=False``); they are kept for their names, and are not trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from ecg_assets.models.attention_pool import Tokens
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.ecg_founder.family import SIZES
from ecg_assets.models.signals import require_channels, require_one_length
from ecg_assets.models.token_config import find_size, token_config

# Sizes and settings of ECGFounder's Net1D as a transformers configuration.


class Net1DConfig(PretrainedConfig):  # type: ignore[misc]
    """Net1D: a stem and stages of bottleneck blocks with grouped convolutions.

    The names are those of ECGFounder's constructor; `n_channels` is its ``in_channels``,
    `num_labels` its ``n_classes``.

    Attributes
    ----------
    n_channels
        Leads that the first convolution reads.
    base_filters
        Features of the stem.
    ratio
        Width of a block's middle, as a share of its output's.
    filter_list, m_blocks_list
        Features and blocks of each stage; its first block halves the length.
    kernel_size, stride
        Of the stem, and of the grouped convolution in each block (`stride` in a stage's
        first block, 1 in the others).
    groups_width
        Features in a group of the grouped convolutions.
    """

    model_type = "ecg-founder"
    n_channels: int = 12
    base_filters: int = 64
    ratio: float = 1.0
    filter_list: list[int] | tuple[int, ...] = (64, 160, 160, 400, 400, 1024, 1024)
    m_blocks_list: list[int] | tuple[int, ...] = (2, 2, 2, 3, 3, 4, 4)
    kernel_size: int = 16
    stride: int = 2
    groups_width: int = 16

    @property
    def hidden_size(self) -> int:
        """Features of a segment, which the last layer reads."""
        return int(self.filter_list[-1])


def net1d_config(size: str, *, n_channels: int, n_labels: int) -> Net1DConfig:
    """Build the configuration of a size.

    Parameters
    ----------
    size
        ``tiny`` or ``base``.
    n_channels
        Leads that the first convolution reads.
    n_labels
        Outputs of the last layer.

    >>> net1d_config("base", n_channels=12, n_labels=150).hidden_size
    1024
    """
    return net1d_config_of(find_size(SIZES, size), n_channels=n_channels, n_labels=n_labels)


def net1d_config_of(shape: Mapping[str, Any], *, n_channels: int, n_labels: int) -> Net1DConfig:
    """Build the configuration of any shape.

    Parameters
    ----------
    shape
        The fields of an entry of `SIZES`, and others of `Net1DConfig` where they differ.
    n_channels, n_labels
        As `net1d_config` takes them.
    """
    if len(shape["filter_list"]) != len(shape["m_blocks_list"]):
        raise ValueError(
            f"filter_list {shape['filter_list']} and m_blocks_list {shape['m_blocks_list']} must "
            "have an entry for each stage."
        )
    values = {"ratio": 1.0, "kernel_size": 16, "stride": 2, "groups_width": 16, **shape}
    return token_config(Net1DConfig, values, n_channels=n_channels, n_labels=n_labels)


class SameConv(nn.Module):
    """A convolution whose output has one sample for each stride of its input.

    Zeros are added on both sides, of an odd number the one more on the right.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__()
        self.conv = nn.Conv1d(n_in, n_out, kernel, stride, groups=groups)

    def forward(self, signal: Tensor) -> Tensor:
        """Map ``[batch, feature in, sample]`` to ``[batch, feature out, sample / stride]``."""
        length, (kernel,), (stride,) = signal.shape[-1], self.conv.kernel_size, self.conv.stride
        n_zeros = max(0, (-(-length // stride) - 1) * stride + kernel - length)
        left = n_zeros // 2
        out: Tensor = self.conv(functional.pad(signal, (left, n_zeros - left)))
        return out


class Block(GradientCheckpointingLayer):  # type: ignore[misc]
    """Narrow, convolve in groups, widen, weigh the features, add to the input.

    Parameters
    ----------
    config
        Sizes common to all blocks.
    n_in, n_out
        Features of input and output.
    stride
        More than 1 shortens the signal.
    is_first
        Whether it is the first of all, whose input the stem has activated already.
    """

    def __init__(
        self, config: Net1DConfig, n_in: int, n_out: int, *, stride: int, is_first: bool
    ) -> None:
        super().__init__()
        n_middle = int(n_out * config.ratio)
        self.is_first, self.stride, self.n_new = is_first, stride, n_out - n_in
        self.bn1 = nn.BatchNorm1d(n_in)
        self.conv1 = SameConv(n_in, n_middle, 1)
        self.bn2 = nn.BatchNorm1d(n_middle)
        self.conv2 = SameConv(
            n_middle, n_middle, config.kernel_size, stride, n_middle // config.groups_width
        )
        self.bn3 = nn.BatchNorm1d(n_middle)
        self.conv3 = SameConv(n_middle, n_out, 1)
        self.se_fc1 = nn.Linear(n_out, n_out // 2)
        self.se_fc2 = nn.Linear(n_out // 2, n_out)

    def forward(self, signal: Tensor) -> Tensor:
        """Map ``[batch, feature in, sample]`` to ``[batch, feature out, sample / stride]``."""
        out = self.conv1(signal if self.is_first else functional.silu(signal))
        out = self.conv2(functional.silu(out))
        out = self.conv3(functional.silu(out))
        weight = self.se_fc2(functional.silu(self.se_fc1(out.mean(dim=-1)))).sigmoid()
        result: Tensor = out * weight[:, :, None] + self._shortcut(signal)
        return result

    def _shortcut(self, signal: Tensor) -> Tensor:
        if self.stride > 1:
            # The last maximum of an odd length sees a zero, where pooling's own padding
            # would show it minus infinity. onnxruntime takes a pad before it for just that.
            zeros = signal.new_zeros((*signal.shape[:2], self.stride - 1))
            signal = functional.max_pool1d(torch.cat([signal, zeros], dim=-1), self.stride)
        if self.n_new:
            signal = functional.pad(signal, (0, 0, self.n_new // 2, self.n_new - self.n_new // 2))
        return signal


class Stage(nn.Module):
    """Blocks of one width; the first one shortens the signal."""

    def __init__(self, config: Net1DConfig, number: int) -> None:
        super().__init__()
        widths = (config.base_filters, *config.filter_list)
        n_in, n_out = widths[number], widths[number + 1]
        first = Block(config, n_in, n_out, stride=config.stride, is_first=number == 0)
        others = [
            Block(config, n_out, n_out, stride=1, is_first=False)
            for _ in range(config.m_blocks_list[number] - 1)
        ]
        self.block_list = nn.ModuleList([first, *others])

    def forward(self, signal: Tensor) -> Tensor:
        """Map ``[batch, feature in, sample]`` to ``[batch, feature out, sample / stride]``."""
        for block in self.block_list:
            signal = block(signal)
        return signal


class Net1D(PreTrainedModel):  # type: ignore[misc]
    """Stem and stages, by the names of the published weights; a model adds what it reads them with.

    Parameters
    ----------
    config
        The architecture.
    """

    config_class = Net1DConfig
    main_input_name = "input_values"
    supports_gradient_checkpointing = True

    def __init__(self, config: Net1DConfig) -> None:
        super().__init__(config)
        self.first_conv = SameConv(
            config.n_channels, config.base_filters, config.kernel_size, config.stride
        )
        self.first_bn = nn.BatchNorm1d(config.base_filters)
        self.stage_list = nn.ModuleList(
            Stage(config, number) for number in range(len(config.filter_list))
        )
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.requires_grad_(False)

    def _init_weights(self, module: Any) -> None:
        """Keep torch's initial values, as ECGFounder does."""

    def run_stages(self, input_values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map signals ``[batch, channel, sample]`` to ``[batch, feature, position]``.

        `lengths` is refused: squeeze-and-excitation averages over all samples.
        """
        require_channels(input_values, self.config.n_channels)
        require_one_length(lengths, "A Net1D")
        hidden = functional.silu(self.first_conv(input_values))
        for stage in self.stage_list:
            hidden = stage(hidden)
        return hidden


class EcgFounder(EcgClassifier, Net1D):
    """Net1D with a linear layer over the mean of its last features.

    Parameters
    ----------
    config
        `num_labels` is the width of the last layer.
    """

    head_name = "dense"

    def __init__(self, config: Net1DConfig) -> None:
        super().__init__(config)
        self.dense = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def tokens(self, input_values: Tensor, lengths: Tensor | None = None) -> Tokens:
        """Give the last stage's features at each position in time; `lengths` is refused."""
        return Tokens(self.run_stages(input_values, lengths).transpose(1, 2))

    def embed(self, input_values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Average the last stage's features over time, ``[batch, feature]``."""
        return self.run_stages(input_values, lengths).mean(dim=-1)

    def encoder_layers(self) -> Sequence[tuple[str, ...]]:
        """Name the stem, then each stage."""
        stages = ((f"stage_list.{i}",) for i in range(len(self.stage_list)))
        return [("first_conv", "first_bn"), *stages]

    def classify(self, features: Tensor) -> Tensor:
        """Compute logits ``[batch, label]`` of features ``[batch, feature]``."""
        logits: Tensor = self.dense(features)
        return logits
