"""ECG-JEPA: a vision transformer whose tokens are patches of one lead each.

With the same weights the outputs equal those of ECG-JEPA (https://github.com/sehunfromdaegu/ECG_JEPA),
whose names the weights have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig
from transformers.modeling_layers import GradientCheckpointingLayer

from ecg_assets.models.ecg_jepa.family import ECG_JEPA, SIZES
from ecg_assets.models.signals import require_channels
from ecg_assets.models.token_config import find_size, token_config
from ecg_assets.models.token_patches import PatchClassifier, PatchEncoder, PatchModel

# Sizes and settings as a transformers configuration.


class EcgJepaConfig(PretrainedConfig):  # type: ignore[misc]
    """A vision transformer over patches of leads.

    Attributes
    ----------
    n_channels
        Leads of the table of positions.
    n_patches, patch_samples
        Patches of a lead in the table of positions, and samples of each.
    hidden_size, num_hidden_layers, num_attention_heads
        Width of a token, layers, and heads of attention.
    mlp_ratio
        Width of the feed-forward layers, as a multiple of a token's.
    layer_norm_eps
        Of every norm.
    """

    model_type = "ecg-jepa"
    n_channels: int = 8
    n_patches: int = 50
    patch_samples: int = 50
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 16
    mlp_ratio: float = 4.0
    layer_norm_eps: float = 1e-5


def ecg_jepa_config(size: str, *, n_channels: int, n_labels: int) -> EcgJepaConfig:
    """Build the configuration of a size.

    Parameters
    ----------
    size
        ``tiny`` or ``base``.
    n_channels
        Leads.
    n_labels
        Outputs of the last layer.

    >>> ecg_jepa_config("base", n_channels=8, n_labels=5).num_attention_heads
    16
    """
    shape = find_size(SIZES, size)
    return token_config(EcgJepaConfig, shape, n_channels=n_channels, n_labels=n_labels)


# The layers. Where two parts have the names `attn` and `mlp`, they are those of the weights.


class Attention(nn.Module):
    """Attention of each token to those of its lead and those of its time."""

    def __init__(self, config: EcgJepaConfig) -> None:
        super().__init__()
        width = config.hidden_size
        if width % config.num_attention_heads:
            raise ValueError(
                f"hidden_size is {width} and num_attention_heads {config.num_attention_heads}; the "
                "width must be a multiple of the heads."
            )
        self.n_heads = config.num_attention_heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, hidden: Tensor, is_seen: Tensor) -> Tensor:
        """Map tokens to the same shape.

        Parameters
        ----------
        hidden
            ``[batch, token, feature]``.
        is_seen
            True where a token (row) sees another (column), bool ``[token, token]``.
        """
        projected = self.qkv(hidden).unflatten(-1, (3, self.n_heads, -1))
        query, key, value = projected.permute(2, 0, 3, 1, 4)  # each [batch, head, token, feature]
        found = functional.scaled_dot_product_attention(query, key, value, attn_mask=is_seen)
        attended: Tensor = self.proj(found.transpose(1, 2).flatten(start_dim=2))
        return attended


class FeedForward(nn.Module):
    """Widen, activate, narrow."""

    def __init__(self, config: EcgJepaConfig) -> None:
        super().__init__()
        inner = int(config.hidden_size * config.mlp_ratio)
        self.fc1 = nn.Linear(config.hidden_size, inner)
        self.fc2 = nn.Linear(inner, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map tokens ``[batch, token, feature]`` to the same shape."""
        mapped: Tensor = self.fc2(functional.gelu(self.fc1(hidden)))
        return mapped


class Block(GradientCheckpointingLayer):  # type: ignore[misc]
    """Attention and a feed-forward step, each after a norm and added to its input.

    It starts with weights of a truncated normal distribution of deviation 0.02, those of the last
    layers of both steps divided by the root of 2 `number`, and without biases, as ECG-JEPA does.

    Parameters
    ----------
    config
        Sizes.
    number
        Of the block, from 1.
    """

    def __init__(self, config: EcgJepaConfig, number: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = FeedForward(config)
        self.attn = Attention(config)
        for first in (self.attn.qkv, self.mlp.fc1):
            _initialize(first)
        for last in (self.attn.proj, self.mlp.fc2):
            _initialize(last)
            last.weight.data.div_(math.sqrt(2 * number))

    def forward(self, hidden: Tensor, is_seen: Tensor) -> Tensor:
        """Map tokens ``[batch, token, feature]`` to the same shape."""
        hidden = hidden + self.attn(self.norm1(hidden), is_seen)
        mapped: Tensor = hidden + self.mlp(self.norm2(hidden))
        return mapped


def _initialize(layer: nn.Linear) -> None:
    nn.init.trunc_normal_(layer.weight, std=0.02)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class Blocks(nn.Module):
    """All blocks; the positions are added before every one, not once."""

    def __init__(self, config: EcgJepaConfig) -> None:
        super().__init__()
        numbers = range(1, config.num_hidden_layers + 1)
        self.blocks = nn.ModuleList(Block(config, number) for number in numbers)

    def forward(self, hidden: Tensor, positions: Tensor, is_seen: Tensor) -> Tensor:
        """Map tokens ``[batch, token, feature]``, with positions ``[token, feature]``."""
        for block in self.blocks:
            hidden = block(hidden + positions, is_seen)
        return hidden


def position_table(n_leads: int, n_patches: int, width: int) -> Tensor:
    """Build the fixed table of positions, float32 ``[lead × patch, width]``, lead after lead.

    The first half of a row is that of the patch, the second that of the lead. In each stand sines,
    then cosines, of frequencies ``10000 ** (-k / (width / 4))``.

    >>> position_table(8, 50, 32).shape
    torch.Size([400, 32])
    """
    if width % 4:
        raise ValueError(f"hidden_size is {width}; positions need a multiple of 4.")
    frequencies = 10000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width / 4))
    lead = torch.arange(n_leads).repeat_interleave(n_patches)
    patch = torch.arange(n_patches).repeat(n_leads)
    halves = [place.double()[:, None] * frequencies for place in (patch, lead)]
    return torch.cat([part for half in halves for part in (half.sin(), half.cos())], dim=1).float()


class EcgJepaEncoder(PatchEncoder):
    """Patches to tokens to features."""

    title = ECG_JEPA.title
    pos_embed: Tensor

    def __init__(self, config: EcgJepaConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden_size
        table = position_table(config.n_channels, config.n_patches, width)
        self.register_buffer("pos_embed", table)
        self.encoder_blocks = Blocks(config)
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.W_P = nn.Linear(config.patch_samples, width)
        _initialize(self.W_P)

    def forward(
        self,
        input_values: Tensor,
        *,
        leads: Sequence[int] | None = None,
        patches: Sequence[int] | None = None,
    ) -> Tensor:
        """Compute normalized token features, lead after lead, ``[batch, token, feature]``.

        Parameters
        ----------
        input_values
            mV, float32 ``[batch, lead, sample]``; of fewer samples than the table of positions
            has patches for, these are its first.
        leads
            Place of each lead in the table of positions; None: all, in order.
        patches
            The patches that are read; None: all. Others are not there: no token sees them.
        """
        size, longest = self.config.patch_samples, self.config.n_patches
        n_leads = self.config.n_channels if leads is None else len(leads)
        n_samples = input_values.shape[-1] if input_values.ndim == 3 else 0
        if n_samples % size or not 0 < n_samples <= size * longest:
            raise ValueError(
                f"Expected signals [batch, lead, sample] of 1 to {longest} patches of {size} "
                f"samples, found {list(input_values.shape)}."
            )
        require_channels(input_values, n_leads)
        kept = _places(patches, n_samples // size, input_values.device)
        lead = _places(leads, n_leads, input_values.device).repeat_interleave(len(kept))
        patch = kept.repeat(n_leads)
        is_seen = (lead[:, None] == lead) | (patch[:, None] == patch)
        every = input_values.reshape(*input_values.shape[:2], -1, size)
        tokens = self.W_P(every[:, :, kept]).flatten(1, 2)
        positions = self.pos_embed[lead * longest + patch].to(tokens.dtype)
        features: Tensor = self.norm(self.encoder_blocks(tokens, positions, is_seen))
        return features


def _places(chosen: Sequence[int] | None, n_all: int, device: torch.device) -> Tensor:
    """Make an index of the chosen ones; of all it is made on the device, which nobody waits for."""
    if chosen is None:
        return torch.arange(n_all, device=device)
    return torch.tensor(chosen, device=device)


class EcgJepa(PatchModel):
    """The encoder alone; its weights are those of the classifier without the head."""

    config_class = EcgJepaConfig
    encoder_class = EcgJepaEncoder
    encoder: EcgJepaEncoder


class EcgJepaForClassification(PatchClassifier):
    """Encoder, mean over all tokens, linear head.

    Parameters
    ----------
    config
        `num_labels` is the width of the head.
    """

    config_class = EcgJepaConfig
    encoder_class = EcgJepaEncoder
    encoder: EcgJepaEncoder

    def encoder_layers(self) -> Sequence[tuple[str, ...]]:
        """Name the patches' projection, then each block; the last norm is the last block's."""
        last = self.config.num_hidden_layers - 1
        blocks = [(f"encoder.encoder_blocks.blocks.{i}",) for i in range(last)]
        return [
            ("encoder.W_P",),
            *blocks,
            (f"encoder.encoder_blocks.blocks.{last}", "encoder.norm"),
        ]
