"""What the models have in common that turn signals into tokens: convolutions, then a transformer.

Each is an encoder (`TokenEncoder`), which alone is a `TokenModel`, and with a linear head over its
mean-pooled tokens a `TokenClassifier`. A family derives its three classes from these and from
transformers'.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2FeatureEncoder

from ecg_assets.models.attention_pool import Tokens
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.signals import require_channels


class LeadConvolutions(Wav2Vec2FeatureEncoder):  # type: ignore[misc]
    """The convolution stack of wav2vec 2.0; its first layer reads `config.n_channels` leads."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.conv_layers[0].conv = nn.Conv1d(
            config.n_channels,
            config.conv_dim[0],
            kernel_size=config.conv_kernel[0],
            stride=config.conv_stride[0],
            bias=config.conv_bias,
        )

    def forward(self, input_values: Tensor) -> Tensor:
        """Map signals ``[batch, channel, sample]`` to features ``[batch, feature, token]``."""
        hidden = input_values
        for layer in self.conv_layers:
            hidden = layer(hidden)
        return hidden


class TokenEncoder(nn.Module):
    """Encoder of signals ``[batch, channel, sample]``: convolutions, a projection, a transformer.

    A family gives `feature_extractor`, `feature_projection` and `contextualize`, and derives from
    a model of transformers, which knows how the convolutions shorten a signal.
    """

    config: Any

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def forward(self, input_values: Tensor, padded: Tensor | None = None) -> Tensor:
        """Encode signals.

        Parameters
        ----------
        input_values
            Standardized samples, float ``[batch, channel, sample]``.
        padded
            True where a token is padding, bool ``[batch, token]``; None when none is.

        Returns
        -------
        Tensor
            Token features ``[batch, token, feature]``.
        """
        features = self.feature_extractor(input_values).transpose(1, 2)
        hidden, _ = self.feature_projection(features)
        return self.contextualize(hidden, padded)

    def contextualize(self, hidden: Tensor, padded: Tensor | None = None) -> Tensor:
        """Run the transformer over projected features ``[batch, token, feature]``."""
        raise NotImplementedError

    def encode(self, input_values: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Check and encode signals that are padded after `lengths` samples.

        Returns
        -------
        tuple
            Token features ``[batch, token, feature]``, and True where a token is padding
            ``[batch, token]``; None without `lengths`.
        """
        self.require_shape(input_values)
        padded = None
        if lengths is not None:
            padded = self.find_padded_tokens(lengths, input_values.shape[-1])
        return self(input_values, padded), padded

    def find_padded_tokens(self, lengths: Tensor, n_samples: int) -> Tensor:
        """Tell which tokens lie past each signal's end.

        Parameters
        ----------
        lengths
            Samples before the padding, integer ``[batch]``.
        n_samples
            Samples of the padded batch.

        Returns
        -------
        Tensor
            True where a token is padding, bool ``[batch, token]``.
        """
        n_tokens = int(self._get_feat_extract_output_lengths(torch.tensor(n_samples)))
        kept = self._get_feat_extract_output_lengths(lengths)
        position = torch.arange(n_tokens, device=lengths.device)
        return cast(Tensor, position[None, :] >= kept[:, None])

    def require_shape(self, input_values: Tensor) -> None:
        """Raise ValueError unless the signals have the channels that the model reads."""
        require_channels(input_values, self.config.n_channels)


class TokenOutput(NamedTuple):
    """What a `TokenModel` computes.

    Attributes
    ----------
    last_hidden_state
        Token features, float ``[batch, token, feature]``.
    pooled
        Their mean over the tokens that are not padding, ``[batch, feature]``.
    """

    last_hidden_state: Tensor
    pooled: Tensor


class TokenModel(nn.Module):
    """The encoder alone, for features of recordings; a pre-trained checkpoint has no more.

    Its weights are those of the family's `TokenClassifier` without the head.
    """

    config: Any
    encoder: TokenEncoder

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def forward(self, input_values: Tensor, lengths: Tensor | None = None) -> TokenOutput:
        """Compute features.

        Parameters
        ----------
        input_values
            Standardized samples, float32 ``[batch, channel, sample]``.
        lengths
            Samples before the padding, integer ``[batch]``; None when nothing is padded.
        """
        hidden, padded = self.encoder.encode(input_values, lengths)
        return TokenOutput(last_hidden_state=hidden, pooled=pool_tokens(hidden, padded))


class TokenClassifier(EcgClassifier):
    """Encoder, mean over unpadded tokens, linear head."""

    encoder: TokenEncoder

    def freeze_convolutions(self) -> None:
        """Exclude the convolution stack from training (feature_grad_mult = 0 in fairseq).

        Its layer norm and projection stay trainable.
        """
        for weight in self.encoder.feature_extractor.parameters():
            weight.requires_grad = False

    def tokens(self, input_values: Tensor, lengths: Tensor | None = None) -> Tokens:
        """Give the transformer's output of each token, and which tokens are padding."""
        return Tokens(*self.encoder.encode(input_values, lengths))

    def embed(self, input_values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Average the tokens that are not padding, ``[batch, feature]``."""
        return pool_tokens(*self.tokens(input_values, lengths))

    def encoder_layers(self) -> Sequence[tuple[str, ...]]:
        """Name what stands before the transformer as one layer, then each of its layers."""
        n_layers = self.config.num_hidden_layers
        return [("encoder",), *((f"encoder.encoder.layers.{i}",) for i in range(n_layers))]

    @property
    def n_early_layers(self) -> int:
        """What stands before the transformer."""
        return 1

    def classify(self, features: Tensor) -> Tensor:
        """Compute logits ``[batch, label]`` of features ``[batch, feature]``."""
        logits: Tensor = self.head(features)
        return logits


def pool_tokens(hidden: Tensor, padded: Tensor | None) -> Tensor:
    """Average ``[batch, token, feature]`` over the tokens that are not padding."""
    if padded is None:
        return hidden.mean(dim=1)
    kept = (~padded)[:, :, None].to(hidden.dtype)
    return (hidden * kept).sum(dim=1) / kept.sum(dim=1)


# Fold the first convolution over one lead repeated N times into one input channel, and back.
