"""S4 over ECG leads, and ECG-CPC: convolutions, then S4 layers that see no future.

Their weights have the names of the benchmark that has both
(https://github.com/AI4HealthUOL/ecg-fm-benchmarking), and with the same weights they give the same
outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from ecg_assets.models.attention_pool import Tokens
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.s4.family import ECG_CPC_SIZES, S4_SIZES
from ecg_assets.models.s4.layers import S4Layer, S4Stack, run_layers
from ecg_assets.models.signals import require_channels, require_one_length
from ecg_assets.models.token_config import find_size, token_config
from ecg_assets.models.token_models import TokenModel, TokenOutput

# Sizes and settings as transformers configurations.

FINE_TUNING: dict[str, Any] = {}
"""While fine-tuning nothing is set but `activation_dropout`, the only dropout."""


class S4Config(PretrainedConfig):  # type: ignore[misc]
    """S4 of two directions.

    Attributes
    ----------
    n_channels
        Leads that the first layer reads.
    hidden_size
        Features; each is a linear system of its own.
    n_layers
        Layers.
    n_states
        States of a system, an even number.
    kernel_length
        Samples that the stored weights are made for; others are read as well.
    activation_dropout
        Of whole features, in each layer twice.
    """

    model_type = "s4"
    n_channels: int = 12
    hidden_size: int = 512
    n_layers: int = 4
    n_states: int = 8
    kernel_length: int = 250
    activation_dropout: float = 0.2


class EcgCpcConfig(PretrainedConfig):  # type: ignore[misc]
    """ECG-CPC: convolutions with batch norm, then S4 of one direction over their tokens.

    Attributes
    ----------
    n_channels
        Leads that the first convolution reads.
    conv_dim, conv_kernel, conv_stride
        Features, kernel and stride of each convolution.
    n_layers, n_states, kernel_length, activation_dropout
        Of the S4 layers, as `S4Config` has them; the length is in tokens.
    """

    model_type = "ecg-cpc"
    n_channels: int = 12
    conv_dim: list[int] | tuple[int, ...] = (512, 512, 512, 512)
    conv_kernel: list[int] | tuple[int, ...] = (3, 1, 1, 1)
    conv_stride: list[int] | tuple[int, ...] = (2, 1, 1, 1)
    n_layers: int = 4
    n_states: int = 8
    kernel_length: int = 300
    activation_dropout: float = 0.2

    @property
    def hidden_size(self) -> int:
        """Features of a token, which the last layer reads."""
        return int(self.conv_dim[-1])


def s4_config(size: str, *, n_channels: int, n_labels: int) -> S4Config:
    """Build the configuration of a size.

    Parameters
    ----------
    size
        ``tiny`` or ``base``.
    n_channels
        Leads that the first layer reads.
    n_labels
        Outputs of the last layer.

    >>> s4_config("base", n_channels=12, n_labels=71).hidden_size
    512
    """
    return s4_config_of(find_size(S4_SIZES, size), n_channels=n_channels, n_labels=n_labels)


def s4_config_of(shape: Mapping[str, Any], *, n_channels: int, n_labels: int) -> S4Config:
    """Build the configuration of any shape, given as an entry of `S4_SIZES`."""
    return token_config(S4Config, shape, n_channels=n_channels, n_labels=n_labels)


def ecg_cpc_config(size: str, *, n_channels: int, n_labels: int) -> EcgCpcConfig:
    """Build the configuration of a size of ECG-CPC, as `s4_config`.

    >>> ecg_cpc_config("base", n_channels=12, n_labels=71).hidden_size
    512
    """
    return ecg_cpc_config_of(
        find_size(ECG_CPC_SIZES, size), n_channels=n_channels, n_labels=n_labels
    )


def ecg_cpc_config_of(
    shape: Mapping[str, Any], *, n_channels: int, n_labels: int | None = None
) -> EcgCpcConfig:
    """Build the configuration of any shape; `n_labels` is None for an encoder without a head."""
    lengths = {len(shape[name]) for name in ("conv_dim", "conv_kernel", "conv_stride")}
    if len(lengths) != 1:
        raise ValueError(
            f"conv_dim, conv_kernel and conv_stride are {shape['conv_dim']}, "
            f"{shape['conv_kernel']} and {shape['conv_stride']}; each must have an entry for each "
            "convolution."
        )
    return token_config(EcgCpcConfig, shape, n_channels=n_channels, n_labels=n_labels)


def _require_signals(input_values: Tensor, lengths: Tensor | None, config: Any) -> None:
    require_channels(input_values, config.n_channels)
    require_one_length(lengths, "S4 layers")


# The models.


def _layers(config: S4Config | EcgCpcConfig, *, n_kernels: int) -> Iterator[S4Layer]:
    size, length = config.hidden_size, config.kernel_length
    for _ in range(config.n_layers):
        yield S4Layer(size, config.n_states, length, n_kernels, config.activation_dropout)


class S4Classifier(EcgClassifier, PreTrainedModel):  # type: ignore[misc]
    """S4 over the leads, a linear layer over its mean.

    Parameters
    ----------
    config
        `num_labels` is the width of the last layer.
    """

    config_class = S4Config
    main_input_name = "input_values"
    head_name = "decoder"

    def __init__(self, config: S4Config) -> None:
        super().__init__(config)
        size = config.hidden_size
        self.encoder = nn.Conv1d(config.n_channels, size, 1)
        self.s4_layers = nn.ModuleList(_layers(config, n_kernels=2))
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(config.n_layers))
        self.decoder = nn.Linear(size, config.num_labels)
        self.post_init()

    def _init_weights(self, module: Any) -> None:
        """Keep the initial values that the layers give themselves."""

    def tokens(self, input_values: Tensor, lengths: Tensor | None = None) -> Tokens:
        """Give the last layer's features at each sample; `lengths` is refused."""
        _require_signals(input_values, lengths, self.config)
        hidden = run_layers(self.s4_layers, self.norms, self.encoder(input_values))
        return Tokens(hidden.transpose(1, 2))

    def embed(self, input_values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Average the last layer's features over time, ``[batch, feature]``."""
        return self.tokens(input_values, lengths).hidden.mean(dim=1)

    def encoder_layers(self) -> Sequence[tuple[str, ...]]:
        """Name the first layer, then each S4 layer with its norm."""
        layers = ((f"s4_layers.{i}", f"norms.{i}") for i in range(self.config.n_layers))
        return [("encoder",), *layers]

    def classify(self, features: Tensor) -> Tensor:
        """Compute logits ``[batch, label]`` of features ``[batch, feature]``."""
        logits: Tensor = self.decoder(features)
        return logits


class _Convolutions(nn.Module):
    """Convolutions, each with batch norm and ReLU."""

    def __init__(self, config: EcgCpcConfig) -> None:
        super().__init__()
        widths = pairwise((config.n_channels, *config.conv_dim))
        shapes = zip(widths, config.conv_kernel, config.conv_stride, strict=True)
        self.layers = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv1d(*width, kernel, stride, padding=(kernel - 1) // 2, bias=False),
                    nn.BatchNorm1d(width[1]),
                    nn.ReLU(),
                )
                for width, kernel, stride in shapes
            )
        )

    def forward(self, signal: Tensor) -> Tensor:
        """Map ``[batch, channel, sample]`` to ``[batch, feature, token]``."""
        tokens: Tensor = self.layers(signal)
        return tokens


class _Predictor(nn.Module):
    """Holds the S4 layers under the name that the published weights have."""

    def __init__(self, config: EcgCpcConfig) -> None:
        super().__init__()
        # Forwards alone: no token sees a later one.
        self.predictor = S4Stack(_layers(config, n_kernels=1), config.hidden_size)


class EcgCpcEncoder(nn.Module):
    """ECG-CPC's encoder and predictor, whose tokens are its features."""

    def __init__(self, config: EcgCpcConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = _Convolutions(config)
        self.predictor = _Predictor(config)

    def forward(self, input_values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map signals ``[batch, channel, sample]`` to tokens ``[batch, token, feature]``."""
        _require_signals(input_values, lengths, self.config)
        tokens: Tensor = self.predictor.predictor(self.encoder(input_values))
        return tokens.transpose(1, 2)


class EcgCpc(TokenModel, PreTrainedModel):  # type: ignore[misc]
    """The encoder alone; its weights are those of the classifier without the head."""

    config_class = EcgCpcConfig
    main_input_name = "input_values"

    def __init__(self, config: EcgCpcConfig) -> None:
        super().__init__(config)
        self.ts_encoder = EcgCpcEncoder(config)
        self.post_init()

    def _init_weights(self, module: Any) -> None:
        """Keep the initial values that the layers give themselves."""

    def forward(self, input_values: Tensor, lengths: Tensor | None = None) -> TokenOutput:
        """Compute features; `lengths` is refused."""
        hidden = self.ts_encoder(input_values, lengths)
        return TokenOutput(last_hidden_state=hidden, pooled=hidden.mean(dim=1))


class EcgCpcClassifier(EcgClassifier, PreTrainedModel):  # type: ignore[misc]
    """Encoder, mean over tokens, linear head.

    Parameters
    ----------
    config
        `num_labels` is the width of the head.
    """

    config_class = EcgCpcConfig
    main_input_name = "input_values"

    def __init__(self, config: EcgCpcConfig) -> None:
        super().__init__(config)
        self.ts_encoder = EcgCpcEncoder(config)
        self.head = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def _init_weights(self, module: Any) -> None:
        """Keep the initial values that the layers give themselves."""

    def tokens(self, input_values: Tensor, lengths: Tensor | None = None) -> Tokens:
        """Give the predictor's output of each token; `lengths` is refused."""
        return Tokens(self.ts_encoder(input_values, lengths))

    def embed(self, input_values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Average the predictor's tokens, ``[batch, feature]``."""
        return self.tokens(input_values, lengths).hidden.mean(dim=1)

    def encoder_layers(self) -> Sequence[tuple[str, ...]]:
        """Name each convolution, then each S4 layer with its norm."""
        convolutions = ((f"ts_encoder.encoder.layers.{i}",) for i in range(self.n_early_layers))
        start = "ts_encoder.predictor.predictor"
        numbers = range(self.config.n_layers)
        return [*convolutions, *((f"{start}.s4_layers.{i}", f"{start}.norms.{i}") for i in numbers)]

    @property
    def n_early_layers(self) -> int:
        """The convolutions."""
        return len(self.config.conv_dim)

    def classify(self, features: Tensor) -> Tensor:
        """Compute logits ``[batch, label]`` of features ``[batch, feature]``."""
        logits: Tensor = self.head(features)
        return logits
