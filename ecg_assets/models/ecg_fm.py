"""ECG-FM: wav2vec 2.0 over ECG leads with a linear head over its mean-pooled tokens.

The modules are those of transformers; only the first convolution (several input channels)
and the order of positions and padding differ. With the same weights the outputs equal
fairseq-signals' `ecg_transformer_classifier` (https://github.com/Jwoo5/fairseq-signals).
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from transformers.models.wav2vec2.modeling_wav2vec2 import (
    Wav2Vec2FeatureEncoder,
    Wav2Vec2Model,
    Wav2Vec2PreTrainedModel,
)

from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.ecg_fm_config import EcgFmConfig


class LeadConvolutions(Wav2Vec2FeatureEncoder):  # type: ignore[misc]
    """The convolution stack; its first layer reads `config.n_channels` leads."""

    def __init__(self, config: EcgFmConfig) -> None:
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


class EcgFmEncoder(Wav2Vec2Model):  # type: ignore[misc]
    """wav2vec 2.0 encoder for signals ``[batch, channel, sample]``."""

    config_class = EcgFmConfig

    def __init__(self, config: EcgFmConfig) -> None:
        super().__init__(config)
        self.feature_extractor = LeadConvolutions(config)
        self.post_init()

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
        """Run positions and transformer over projected features ``[batch, token, feature]``."""
        hidden = hidden + self.encoder.pos_conv_embed(hidden)
        attended = None
        if padded is not None:
            # fairseq-signals adds positions first and zeroes the padding after;
            # transformers does it the other way round, which moves logits by units.
            hidden = hidden.masked_fill(padded[:, :, None], 0.0)
            attended = ~padded[:, None, None, :]
        hidden = self.encoder.dropout(self.encoder.layer_norm(hidden))
        for layer in self.encoder.layers:
            output = layer(hidden, attention_mask=attended)
            # Up to transformers 5.0 a layer returns a tuple.
            hidden = output[0] if isinstance(output, tuple) else output
        return hidden

    def encode(self, input_values: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Check and encode signals that are padded after `lengths` samples.

        Returns
        -------
        tuple
            Token features ``[batch, token, feature]``, and True where a token is padding
            ``[batch, token]``; None without `lengths`.
        """
        self._require_channels(input_values)
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
        if self.config._attn_implementation != "sdpa":
            raise ValueError(
                f"attention is {self.config._attn_implementation!r}; signals of different "
                "lengths need 'sdpa' (attn_implementation='sdpa')."
            )
        n_tokens = int(self._get_feat_extract_output_lengths(torch.tensor(n_samples)))
        kept = self._get_feat_extract_output_lengths(lengths)
        position = torch.arange(n_tokens, device=lengths.device)
        return cast(Tensor, position[None, :] >= kept[:, None])

    def _require_channels(self, input_values: Tensor) -> None:
        if input_values.ndim != 3 or input_values.shape[1] != self.config.n_channels:
            raise ValueError(
                f"Expected signals [batch, {self.config.n_channels} channels, sample], "
                f"found {list(input_values.shape)}."
            )


class EcgFmOutput(NamedTuple):
    """What `EcgFm` computes.

    Attributes
    ----------
    last_hidden_state
        Token features, float ``[batch, token, feature]``.
    pooled
        Their mean over the tokens that are not padding, ``[batch, feature]``.
    """

    last_hidden_state: Tensor
    pooled: Tensor


class EcgFm(Wav2Vec2PreTrainedModel):  # type: ignore[misc]
    """The encoder alone, for features of recordings; a pre-trained checkpoint has no more.

    Its weights are those of `EcgFmForClassification` without the head.
    """

    config_class = EcgFmConfig
    base_model_prefix = "encoder"
    main_input_name = "input_values"

    def __init__(self, config: EcgFmConfig) -> None:
        super().__init__(config)
        self.encoder = EcgFmEncoder(config)
        self.post_init()

    def forward(self, input_values: Tensor, lengths: Tensor | None = None) -> EcgFmOutput:
        """Compute features.

        Parameters
        ----------
        input_values
            Standardized samples, float32 ``[batch, channel, sample]``.
        lengths
            Samples before the padding, integer ``[batch]``; None when nothing is padded.
        """
        hidden, padded = self.encoder.encode(input_values, lengths)
        return EcgFmOutput(last_hidden_state=hidden, pooled=pool_tokens(hidden, padded))


class EcgFmForClassification(EcgClassifier, Wav2Vec2PreTrainedModel):  # type: ignore[misc]
    """Encoder, mean over unpadded tokens, linear head.

    Parameters
    ----------
    config
        `num_labels` is the width of the head.
    """

    config_class = EcgFmConfig
    base_model_prefix = "encoder"
    main_input_name = "input_values"

    def __init__(self, config: EcgFmConfig) -> None:
        super().__init__(config)
        self.encoder = EcgFmEncoder(config)
        self.head = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def freeze_convolutions(self) -> None:
        """Exclude the convolution stack from training (feature_grad_mult = 0 in fairseq).

        Its layer norm and projection stay trainable.
        """
        self.encoder.freeze_feature_encoder()

    def embed(self, input_values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Average the tokens that are not padding, ``[batch, feature]``."""
        hidden, padded = self.encoder.encode(input_values, lengths)
        return pool_tokens(hidden, padded)

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
