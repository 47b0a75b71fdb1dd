"""ResNet-18 in one dimension, as MERL pre-trained it (https://arxiv.org/abs/2403.06659).

torchvision's ResNet-18 with a convolution over time in place of each over a picture, and without
its pooling after the first one. The weights have the names of MERL's files
(https://github.com/cheliu-computation/MERL-ICML2024), and with the same weights the outputs are the
same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from ecg_assets.models.attention_pool import Tokens
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.merl_resnet18.family import SIZES
from ecg_assets.models.signals import require_channels, require_one_length
from ecg_assets.models.token_config import find_size, token_config
from ecg_assets.models.token_models import TokenModel, TokenOutput

# Sizes and settings as a transformers configuration.


class Resnet18Config(PretrainedConfig):  # type: ignore[misc]
    """A one-dimensional ResNet of basic blocks.

    Attributes
    ----------
    n_channels
        Leads that the first convolution reads.
    widths, blocks
        Features and blocks of each of four stages; the first block of all but the first stage
        halves the length.
    """

    model_type = "merl-resnet18"
    n_channels: int = 12
    widths: list[int] | tuple[int, ...] = (64, 128, 256, 512)
    blocks: list[int] | tuple[int, ...] = (2, 2, 2, 2)

    @property
    def hidden_size(self) -> int:
        """Features of a segment, which the last layer reads."""
        return int(self.widths[-1])


def resnet18_config(size: str, *, n_channels: int, n_labels: int) -> Resnet18Config:
    """Build the configuration of a size.

    Parameters
    ----------
    size
        ``tiny`` or ``base``.
    n_channels
        Leads that the first convolution reads.
    n_labels
        Outputs of the last layer.

    >>> resnet18_config("base", n_channels=12, n_labels=5).hidden_size
    512
    """
    return resnet18_config_of(find_size(SIZES, size), n_channels=n_channels, n_labels=n_labels)


def resnet18_config_of(
    shape: Mapping[str, Any], *, n_channels: int, n_labels: int | None = None
) -> Resnet18Config:
    """Build the configuration of any shape; `n_labels` is None for an encoder without a head."""
    if not len(shape["widths"]) == len(shape["blocks"]) == N_STAGES:
        raise ValueError(
            f"widths {shape['widths']} and blocks {shape['blocks']} must have an entry for each of "
            f"{N_STAGES} stages."
        )
    return token_config(Resnet18Config, shape, n_channels=n_channels, n_labels=n_labels)


N_STAGES = 4

# The model.


class Block(nn.Module):
    """Two convolutions of three samples, and the input added.

    Parameters
    ----------
    n_in, n_out
        Features of input and output.
    stride
        2 halves the length, of an odd one rounded up.
    """

    def __init__(self, n_in: int, n_out: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(n_in, n_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm1d(n_out)
        self.conv2 = nn.Conv1d(n_out, n_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm1d(n_out)
        self.shortcut = nn.Sequential()
        if stride != 1 or n_in != n_out:
            self.shortcut = nn.Sequential(
                nn.Conv1d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm1d(n_out)
            )

    def forward(self, signal: Tensor) -> Tensor:
        """Map ``[batch, feature in, sample]`` to ``[batch, feature out, sample / stride]``."""
        hidden = self.bn1(self.conv1(signal)).relu()
        out: Tensor = self.bn2(self.conv2(hidden)) + self.shortcut(signal)
        return out.relu()


class _Resnet18Base(PreTrainedModel):  # type: ignore[misc]
    """The convolutions, which encoder and classifier have under the same names."""

    config_class = Resnet18Config
    main_input_name = "input_values"

    def add_convolutions(self, config: Resnet18Config) -> None:
        """Make the layers of the encoder."""
        n_in = config.widths[0]
        self.conv1 = nn.Conv1d(config.n_channels, n_in, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm1d(n_in)
        for number, (width, n_blocks) in enumerate(zip(config.widths, config.blocks, strict=True)):
            stage = nn.Sequential()
            for i in range(n_blocks):
                stage.append(Block(n_in, width, stride=2 if number and not i else 1))
                n_in = width
            self.add_module(f"layer{number + 1}", stage)

    def _init_weights(self, module: Any) -> None:
        """Keep torch's initial values, as MERL does."""

    def encode(self, input_values: Tensor, lengths: Tensor | None) -> Tensor:
        """Map signals to the last stage's features ``[batch, token, feature]``.

        `lengths` is refused: a batch norm would count the padding.
        """
        require_channels(input_values, self.config.n_channels)
        require_one_length(lengths, "A ResNet")
        hidden = self.bn1(self.conv1(input_values)).relu()
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            hidden = stage(hidden)
        tokens: Tensor = hidden.transpose(1, 2)
        return tokens


class Resnet18(TokenModel, _Resnet18Base):
    """The encoder alone; its weights are those of the classifier without the last layer."""

    def __init__(self, config: Resnet18Config) -> None:
        super().__init__(config)
        self.add_convolutions(config)
        self.post_init()

    def forward(self, input_values: Tensor, lengths: Tensor | None = None) -> TokenOutput:
        """Compute features; `lengths` is refused."""
        hidden = self.encode(input_values, lengths)
        return TokenOutput(last_hidden_state=hidden, pooled=hidden.mean(dim=1))


class Resnet18Classifier(EcgClassifier, _Resnet18Base):
    """The convolutions, a linear layer over their mean.

    Parameters
    ----------
    config
        `num_labels` is the width of the last layer.
    """

    head_name = "linear"

    def __init__(self, config: Resnet18Config) -> None:
        super().__init__(config)
        self.add_convolutions(config)
        self.linear = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def tokens(self, input_values: Tensor, lengths: Tensor | None = None) -> Tokens:
        """Give the last stage's features at each position in time; `lengths` is refused."""
        return Tokens(self.encode(input_values, lengths))

    def embed(self, input_values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Average the last stage's features over time, ``[batch, feature]``."""
        return self.tokens(input_values, lengths).hidden.mean(dim=1)

    def encoder_layers(self) -> Sequence[tuple[str, ...]]:
        """Name the first convolution, then each stage."""
        return [("conv1", "bn1"), *((f"layer{i + 1}",) for i in range(N_STAGES))]

    def classify(self, features: Tensor) -> Tensor:
        """Compute logits ``[batch, label]`` of features ``[batch, feature]``."""
        logits: Tensor = self.linear(features)
        return logits
