"""MELP: ECG-FM's encoder, queries that pool its tokens by attention, a linear head.

With the same weights the features equal those that https://github.com/HKU-MedAI/MELP probes: the
mean of what its queries find, before the projection that compares them with texts.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2PreTrainedModel

from ecg_assets.models.ecg_fm.config import EcgFmConfig, config_like_ecg_fm
from ecg_assets.models.ecg_fm.model import EcgFmEncoder
from ecg_assets.models.melp.family import SIZES
from ecg_assets.models.token_config import find_size
from ecg_assets.models.token_models import TokenClassifier, TokenModel, TokenOutput


class MelpConfig(EcgFmConfig):
    """ECG-FM's encoder and the queries behind it; `hidden_size` is the width of the features.

    Attributes
    ----------
    encoder_size
        Width of the transformer.
    n_queries, n_pool_heads
        Queries that look at the tokens, and heads that each of them has.
    """

    model_type = "melp-encoder"
    encoder_size: int = 768
    n_queries: int = 14
    n_pool_heads: int = 8


def melp_config(size: str, *, n_channels: int, n_labels: int) -> MelpConfig:
    """Build the configuration of a size.

    Parameters
    ----------
    size
        ``tiny`` or ``small``.
    n_channels
        Leads that the first convolution sees.
    n_labels
        Outputs of the classification head.

    >>> melp_config("small", n_channels=12, n_labels=5).hidden_size
    256
    """
    return melp_config_of(find_size(SIZES, size), n_channels=n_channels, n_labels=n_labels)


def melp_config_of(
    shape: Mapping[str, Any], *, n_channels: int, n_labels: int | None = None
) -> MelpConfig:
    """Build the configuration of any shape; `n_labels` is None for an encoder without a head."""
    return config_like_ecg_fm(MelpConfig, shape, n_channels=n_channels, n_labels=n_labels)


def transformer_config(config: MelpConfig) -> MelpConfig:
    """Give the configuration that the encoder's own modules read: `hidden_size` is their width."""
    changed = copy.deepcopy(config)
    changed.hidden_size = config.encoder_size
    return changed


class QueryPool(nn.Module):
    """Queries, normalized as the tokens are, look at them by multi-head attention.

    Parameters
    ----------
    token_size, feature_size
        Widths of tokens and queries.
    n_queries, n_heads
        How many queries, and heads of each.
    """

    def __init__(self, token_size: int, feature_size: int, n_queries: int, n_heads: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(n_queries, feature_size))
        self.attn = nn.MultiheadAttention(
            feature_size, n_heads, kdim=token_size, vdim=token_size, batch_first=True
        )
        self.ln_q = nn.LayerNorm(feature_size)
        self.ln_k = nn.LayerNorm(token_size)

    def forward(self, hidden: Tensor, padded: Tensor | None = None) -> Tensor:
        """Map tokens ``[batch, token, feature]`` to ``[batch, query, feature]``; no padding."""
        keys = self.ln_k(hidden)
        query = self.ln_q(self.query).expand(hidden.shape[0], -1, -1)
        found: Tensor = self.attn(query, keys, keys, key_padding_mask=padded, need_weights=False)[0]
        return found


class MelpEncoder(EcgFmEncoder):
    """Encoder of signals ``[batch, channel, sample]`` with the queries that pool its tokens."""

    config_class = MelpConfig

    def __init__(self, config: MelpConfig) -> None:
        super().__init__(transformer_config(config))
        self.pool = QueryPool(
            config.encoder_size, config.hidden_size, config.n_queries, config.n_pool_heads
        )
        self.pool_norm = nn.LayerNorm(config.hidden_size)
        self.post_init()

    def pool_tokens(self, hidden: Tensor, padded: Tensor | None) -> Tensor:
        """Map tokens ``[batch, token, feature]`` to features: the mean of what the queries find."""
        return torch.mean(self.pool_norm(self.pool(hidden, padded)), dim=1)


class Melp(TokenModel, Wav2Vec2PreTrainedModel):  # type: ignore[misc]
    """The encoder alone; its weights are those of `MelpForClassification` without the head."""

    config_class = MelpConfig
    base_model_prefix = "encoder"
    main_input_name = "input_values"
    encoder: MelpEncoder

    def __init__(self, config: MelpConfig) -> None:
        super().__init__(config)
        self.encoder = MelpEncoder(config)
        self.post_init()

    def forward(self, input_values: Tensor, lengths: Tensor | None = None) -> TokenOutput:
        """Compute features of signals as `TokenModel`, pooled as MELP pools them."""
        hidden, padded = self.encoder.encode(input_values, lengths)
        return TokenOutput(hidden, self.encoder.pool_tokens(hidden, padded))


class MelpForClassification(TokenClassifier, Wav2Vec2PreTrainedModel):  # type: ignore[misc]
    """Encoder, pooling by queries, linear head.

    Parameters
    ----------
    config
        `num_labels` is the width of the head.
    """

    config_class = MelpConfig
    base_model_prefix = "encoder"
    main_input_name = "input_values"
    encoder: MelpEncoder

    def __init__(self, config: MelpConfig) -> None:
        super().__init__(config)
        self.encoder = MelpEncoder(config)
        self.head = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    @property
    def token_size(self) -> int:
        """Features of a token: the transformer's."""
        return int(self.config.encoder_size)

    def embed(self, input_values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute the mean of what the queries find, ``[batch, feature]``."""
        return self.encoder.pool_tokens(*self.tokens(input_values, lengths))

    def encoder_layers(self) -> Sequence[tuple[str, ...]]:
        """Name what stands before the transformer, each of its layers, and the pooling behind."""
        return [*super().encoder_layers(), ("encoder.pool",)]
