"""What the vision transformers have in common whose tokens are patches of single leads.

A family derives its two models from these, with its configuration and its encoder, which maps
signals ``[batch, lead, sample]`` to tokens and pools them.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from transformers import PreTrainedModel

from ecg_assets.models.attention_pool import Tokens
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.signals import require_one_length
from ecg_assets.models.token_models import TokenOutput


class PatchEncoder(nn.Module):
    """Patches to tokens to features."""

    title: ClassVar[str]
    """Of the family, for errors."""

    def encode(self, input_values: Tensor, lengths: Tensor | None) -> Tensor:
        """Compute token features ``[batch, token, feature]``; `lengths` is refused."""
        require_one_length(lengths, self.title)
        tokens: Tensor = self(input_values)
        return tokens

    def pool(self, hidden: Tensor) -> Tensor:
        """Map tokens ``[batch, token, feature]`` to a recording's features."""
        return hidden.mean(dim=1)


class _PatchBase(PreTrainedModel):  # type: ignore[misc]
    base_model_prefix = "encoder"
    main_input_name = "input_values"
    supports_gradient_checkpointing = True
    encoder_class: ClassVar[type[PatchEncoder]]
    encoder: PatchEncoder

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.encoder = self.encoder_class(config)

    def _init_weights(self, module: Any) -> None:
        """Keep the values that the layers gave themselves."""


class PatchModel(_PatchBase):
    """The encoder alone; its weights are those of the classifier without the head."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.post_init()

    def forward(self, input_values: Tensor, lengths: Tensor | None = None) -> TokenOutput:
        """Compute features of signals ``[batch, lead, sample]``; `lengths` is refused."""
        hidden = self.encoder.encode(input_values, lengths)
        return TokenOutput(last_hidden_state=hidden, pooled=self.encoder.pool(hidden))


class PatchClassifier(EcgClassifier, _PatchBase):
    """Encoder, its pooled tokens, linear head.

    Parameters
    ----------
    config
        `num_labels` is the width of the head.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.head = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def tokens(self, input_values: Tensor, lengths: Tensor | None = None) -> Tokens:
        """Give the features of each patch of each lead, as the encoder leaves them."""
        return Tokens(self.encoder.encode(input_values, lengths))

    def embed(self, input_values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Pool the tokens, ``[batch, feature]``."""
        return self.encoder.pool(self.tokens(input_values, lengths).hidden)

    def classify(self, features: Tensor) -> Tensor:
        """Compute logits ``[batch, label]`` of features ``[batch, feature]``."""
        logits: Tensor = self.head(features)
        return logits

    @property
    def n_early_layers(self) -> int:
        """What stands before the transformer."""
        return 1
