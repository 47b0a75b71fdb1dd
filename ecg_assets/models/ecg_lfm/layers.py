"""The layers of ECG-LFM: a conformer (https://arxiv.org/abs/2005.08100) with relative positions.

Attention, its positions (https://arxiv.org/abs/1901.02860) and the feed-forward steps are those of
transformers' Wav2Vec2Conformer; the convolution also knows of padding, and when its batch norm
learns.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import (
    Wav2Vec2ConformerConvolutionModule,
    Wav2Vec2ConformerEncoderLayer,
    Wav2Vec2ConformerRelPositionalEmbedding,
)

from ecg_assets.models.ecg_lfm.config import EcgLfmConfig


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
