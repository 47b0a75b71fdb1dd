"""ECG-LFM: a conformer over ECG leads with a linear head over its mean-pooled tokens.

It has neither convolutional positions nor a last layer norm. With the same weights the outputs
equal those of ECG-LFM (https://github.com/biomed-AI/ECG-LFM).

Each layer has a batch norm. Its statistics follow the batches while all weights are trained, as
they do in ECG-LFM's fine-tuning; adapters and a head alone leave them as the pretrained checkpoint
has them.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import (
    Wav2Vec2ConformerConvolutionModule,
    Wav2Vec2ConformerEncoderLayer,
    Wav2Vec2ConformerFeatureProjection,
    Wav2Vec2ConformerPreTrainedModel,
    Wav2Vec2ConformerRelPositionalEmbedding,
)

from ecg_assets.models.ecg_lfm.config import EcgLfmConfig
from ecg_assets.models.token_models import (
    LeadConvolutions,
    TokenClassifier,
    TokenEncoder,
    TokenModel,
)

# The layers of ECG-LFM: a conformer (https://arxiv.org/abs/2005.08100) with relative
# positions.


class TokenConvolution(Wav2Vec2ConformerConvolutionModule):  # type: ignore[misc]
    """A convolution over neighbouring tokens.

    The statistics of its batch norm follow the batches while its weights are trained, as in
    ECG-LFM; of frozen weights they stay what they are, in training too.
    """

    def forward(
        self, hidden: Tensor, padded: Tensor | None = None, *, is_repeated: bool = False
    ) -> Tensor:
        """Map tokens ``[batch, token, feature]`` to the same shape.

        Parameters
        ----------
        hidden
            Tokens.
        padded
            True where a token is padding, bool ``[batch, token]``; it is silent.
        is_repeated
            Whether the batch has been here before, so that its statistics are known.
        """
        hidden = self.glu(self.pointwise_conv1(self.layer_norm(hidden).transpose(1, 2)))
        if padded is not None:
            # Else the last tokens of a signal would see what the padding became.
            hidden = hidden.masked_fill(padded[:, None, :], 0.0)
        hidden = self._normalize(self.depthwise_conv(hidden), is_repeated)
        hidden = self.pointwise_conv2(self.activation(hidden))
        return cast(Tensor, self.dropout(hidden).transpose(1, 2))

    def _normalize(self, hidden: Tensor, is_repeated: bool) -> Tensor:
        norm = self.batch_norm
        is_trained = self.training and norm.weight.requires_grad
        if is_trained and not is_repeated:
            return cast(Tensor, norm(hidden))
        mean, variance = norm.running_mean, norm.running_var
        if is_trained:
            mean, variance = mean.clone(), variance.clone()
        return functional.batch_norm(
            hidden, mean, variance, norm.weight, norm.bias, is_trained, eps=norm.eps
        )


class ConformerLayer(Wav2Vec2ConformerEncoderLayer):  # type: ignore[misc]
    """Half a feed-forward step, attention, convolution, the other half."""

    def __init__(self, config: EcgLfmConfig) -> None:
        super().__init__(config)
        self.conv_module = TokenConvolution(config)
        self._is_repeated = False

    def __call__(self, *arguments: Any, **named: Any) -> Tensor:
        """Run `forward`; with recomputed activations it runs again in the backward pass."""
        if self.gradient_checkpointing:
            self._is_repeated = False
        return cast(Tensor, super().__call__(*arguments, **named))

    def forward(self, hidden: Tensor, positions: Tensor, padded: Tensor | None = None) -> Tensor:
        """Map tokens ``[batch, token, feature]`` to the same shape.

        Parameters
        ----------
        hidden
            Tokens.
        positions
            Embeddings of relative positions ``[1, 2 × token - 1, feature]``.
        padded
            True where a token is padding, bool ``[batch, token]``.
        """
        hidden = hidden + 0.5 * self.ffn1(self.ffn1_layer_norm(hidden))
        attended = self.self_attn(
            hidden_states=self.self_attn_layer_norm(hidden),
            attention_mask=None if padded is None else _bias(padded, hidden.dtype),
            relative_position_embeddings=positions,
        )[0]
        hidden = hidden + self.self_attn_dropout(attended)
        hidden = hidden + self.conv_module(hidden, padded, is_repeated=self._is_repeated)
        if self.gradient_checkpointing:
            self._is_repeated = True
        hidden = hidden + 0.5 * self.ffn2(self.ffn2_layer_norm(hidden))
        return cast(Tensor, self.final_layer_norm(hidden))


class ConformerLayers(nn.Module):
    """The layers and the positions that all of them share."""

    def __init__(self, config: EcgLfmConfig) -> None:
        super().__init__()
        self.embed_positions = Wav2Vec2ConformerRelPositionalEmbedding(config)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.layers = nn.ModuleList(ConformerLayer(config) for _ in range(config.num_hidden_layers))

    def forward(self, hidden: Tensor, padded: Tensor | None = None) -> list[Tensor]:
        """Run tokens ``[batch, token, feature]``; give the output of each layer."""
        if padded is not None:
            hidden = hidden.masked_fill(padded[:, :, None], 0.0)
        hidden, outputs = self.dropout(hidden), []
        # In half precision transformers would keep its table of positions so for good.
        positions = self.embed_positions(hidden[:1].float()).to(hidden.dtype)
        for layer in self.layers:
            hidden = layer(hidden, positions, padded)
            outputs.append(hidden)
        return outputs


def _bias(padded: Tensor, dtype: torch.dtype) -> Tensor:
    """Build what attention adds so that padding gets none, ``[batch, 1, 1, token]``."""
    bias = torch.zeros_like(padded, dtype=dtype).masked_fill(padded, torch.finfo(dtype).min)
    return bias[:, None, None, :]


class EcgLfmEncoder(TokenEncoder, Wav2Vec2ConformerPreTrainedModel):  # type: ignore[misc]
    """Conformer encoder for signals ``[batch, channel, sample]``."""

    config_class = EcgLfmConfig

    def __init__(self, config: EcgLfmConfig) -> None:
        super().__init__(config)
        self.feature_extractor = LeadConvolutions(config)
        self.feature_projection = Wav2Vec2ConformerFeatureProjection(config)
        self.encoder = ConformerLayers(config)
        self.post_init()

    def contextualize(self, hidden: Tensor, padded: Tensor | None = None) -> Tensor:
        """Run the conformer over projected features ``[batch, token, feature]``."""
        return self.contextualize_layers(hidden, padded)[-1]

    def contextualize_layers(self, hidden: Tensor, padded: Tensor | None = None) -> list[Tensor]:
        """Run it, and give the output of each layer ``[batch, token, feature]``."""
        outputs: list[Tensor] = self.encoder(hidden, padded)
        return outputs

    def encode(self, input_values: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Encode as `TokenEncoder`, but a padded signal becomes what it is alone.

        ECG-LFM cannot read padded signals as its data set gives them, so there is nothing to
        equal. The group norm of the first convolution runs over a whole signal; each is
        convolved alone, therefore, and the tokens are padded.
        """
        if lengths is None:
            return super().encode(input_values, None)
        self.require_shape(input_values)
        padded = self.find_padded_tokens(lengths, input_values.shape[-1])
        features = pad_sequence(
            [
                self.feature_extractor(signal[None, :, :length])[0].T
                for signal, length in zip(input_values, lengths.tolist(), strict=True)
            ],
            batch_first=True,
        )
        # All of a batch may be shorter than its samples.
        padded = padded[:, : features.shape[1]]
        hidden, _ = self.feature_projection(features)
        return self.contextualize(hidden, padded), padded


class EcgLfm(TokenModel, Wav2Vec2ConformerPreTrainedModel):  # type: ignore[misc]
    """The encoder alone; its weights are those of `EcgLfmForClassification` without the head."""

    config_class = EcgLfmConfig
    base_model_prefix = "encoder"
    main_input_name = "input_values"

    def __init__(self, config: EcgLfmConfig) -> None:
        super().__init__(config)
        self.encoder = EcgLfmEncoder(config)
        self.post_init()


class EcgLfmForClassification(TokenClassifier, Wav2Vec2ConformerPreTrainedModel):  # type: ignore[misc]
    """Encoder, mean over unpadded tokens, linear head.

    ECG-LFM divides the sum over tokens by the number of those that are not exactly zero; with
    unpadded tokens, which a layer norm gives, that is the mean.

    Parameters
    ----------
    config
        `num_labels` is the width of the head.
    """

    config_class = EcgLfmConfig
    base_model_prefix = "encoder"
    main_input_name = "input_values"

    def __init__(self, config: EcgLfmConfig) -> None:
        super().__init__(config)
        self.encoder = EcgLfmEncoder(config)
        self.head = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()
