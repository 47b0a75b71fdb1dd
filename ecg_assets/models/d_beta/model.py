"""D-BETA: ECG-FM's encoder with a class token, whose pooled output are the features.

With the same weights the features equal those of https://github.com/manhph2211/D-BETA. What reads
texts, and what joins the two, is not here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2PreTrainedModel

from ecg_assets.models.d_beta.family import SIZES
from ecg_assets.models.ecg_fm.config import EcgFmConfig, config_like_ecg_fm
from ecg_assets.models.ecg_fm.model import EcgFmEncoder
from ecg_assets.models.signals import require_one_length
from ecg_assets.models.token_config import find_size
from ecg_assets.models.token_models import TokenClassifier, TokenModel, TokenOutput


class DBetaConfig(EcgFmConfig):
    """D-BETA's encoder; see `EcgFmConfig`."""

    model_type = "d-beta"


def d_beta_config(size: str, *, n_channels: int, n_labels: int) -> DBetaConfig:
    """Build the configuration of a size.

    Parameters
    ----------
    size
        ``tiny`` or ``base``.
    n_channels
        Leads that the first convolution sees.
    n_labels
        Outputs of the classification head.

    >>> d_beta_config("base", n_channels=12, n_labels=5).num_hidden_layers
    8
    """
    return d_beta_config_of(find_size(SIZES, size), n_channels=n_channels, n_labels=n_labels)


def d_beta_config_of(
    shape: Mapping[str, Any], *, n_channels: int, n_labels: int | None = None
) -> DBetaConfig:
    """Build the configuration of any shape; `n_labels` is None for an encoder without a head."""
    return config_like_ecg_fm(DBetaConfig, shape, n_channels=n_channels, n_labels=n_labels)


class DBetaEncoder(EcgFmEncoder):
    """Encoder of signals ``[batch, channel, sample]``; its first token is the class token.

    The class token joins after the positions, so that it has none, and before the layer norm.
    """

    config_class = DBetaConfig

    def __init__(self, config: DBetaConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.class_embedding = nn.Parameter(torch.empty(width).uniform_())
        self.output_projection = nn.Linear(width, width)
        self.pooler = nn.Linear(width, width)
        self.post_init()

    def contextualize(self, hidden: Tensor, padded: Tensor | None = None) -> Tensor:
        """Add positions and the class token, run the transformer, project every token."""
        hidden = hidden + self.encoder.pos_conv_embed(hidden)
        first = self.class_embedding.to(hidden.dtype).expand(hidden.shape[0], 1, -1)
        hidden = self.run_layers(torch.cat([first, hidden], dim=1), padded)
        projected: Tensor = self.output_projection(hidden)
        return projected

    def encode(self, input_values: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Check and encode signals; `lengths` are refused, as D-BETA does."""
        require_one_length(lengths, "D-BETA")
        return super().encode(input_values, None)

    def pool(self, hidden: Tensor) -> Tensor:
        """Map tokens ``[batch, token, feature]`` to features by the class token's pooler."""
        return torch.tanh(self.pooler(hidden[:, 0]))


class DBeta(TokenModel, Wav2Vec2PreTrainedModel):  # type: ignore[misc]
    """The encoder alone; its weights are those of `DBetaForClassification` without the head."""

    config_class = DBetaConfig
    base_model_prefix = "encoder"
    main_input_name = "input_values"
    encoder: DBetaEncoder

    def __init__(self, config: DBetaConfig) -> None:
        super().__init__(config)
        self.encoder = DBetaEncoder(config)
        self.post_init()

    def forward(self, input_values: Tensor, lengths: Tensor | None = None) -> TokenOutput:
        """Compute features of signals as `TokenModel`, pooled as D-BETA pools them."""
        hidden, _ = self.encoder.encode(input_values, lengths)
        return TokenOutput(last_hidden_state=hidden, pooled=self.encoder.pool(hidden))


class DBetaForClassification(TokenClassifier, Wav2Vec2PreTrainedModel):  # type: ignore[misc]
    """Encoder, the class token's pooler, linear head.

    Parameters
    ----------
    config
        `num_labels` is the width of the head.
    """

    config_class = DBetaConfig
    base_model_prefix = "encoder"
    main_input_name = "input_values"
    encoder: DBetaEncoder

    def __init__(self, config: DBetaConfig) -> None:
        super().__init__(config)
        self.encoder = DBetaEncoder(config)
        self.head = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def embed(self, input_values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute the pooled class token, ``[batch, feature]``."""
        return self.encoder.pool(self.tokens(input_values, lengths).hidden)

    def encoder_layers(self) -> Sequence[tuple[str, ...]]:
        """Name what stands before the transformer, each of its layers, and the pooling behind."""
        return [*super().encoder_layers(), ("encoder.output_projection", "encoder.pooler")]
