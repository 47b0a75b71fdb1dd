"""ST-MEM: a vision transformer over patches of single leads, with separators around each lead.

With the same weights the outputs equal those of ST-MEM (https://github.com/bakqui/ST-MEM), whose
names the weights have.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig
from transformers.modeling_layers import GradientCheckpointingLayer

from ecg_assets.models.signals import require_channels
from ecg_assets.models.st_mem.family import SIZES, ST_MEM
from ecg_assets.models.token_config import find_size, token_config
from ecg_assets.models.token_patches import PatchClassifier, PatchEncoder, PatchModel

# Sizes and settings as a transformers configuration.


class StMemConfig(PretrainedConfig):  # type: ignore[misc]
    """A vision transformer over patches of leads.

    Attributes
    ----------
    n_channels
        Leads, each with an embedding of its own.
    n_patches, patch_samples
        Patches of a lead in the table of positions, and samples of each.
    hidden_size, intermediate_size, num_hidden_layers
        Width of a token and of the feed-forward layers, and layers.
    num_attention_heads, head_size
        Heads of attention, and the width of each.
    qkv_bias
        Whether queries, keys and values have a bias.
    """

    model_type = "st-mem"
    n_channels: int = 12
    n_patches: int = 30
    patch_samples: int = 75
    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    head_size: int = 64
    qkv_bias: bool = True


def st_mem_config(size: str, *, n_channels: int, n_labels: int) -> StMemConfig:
    """Build the configuration of a size.

    Parameters
    ----------
    size
        ``tiny`` or ``base``.
    n_channels
        Leads.
    n_labels
        Outputs of the last layer.

    >>> st_mem_config("base", n_channels=12, n_labels=5).n_patches
    30
    """
    shape = find_size(SIZES, size)
    return token_config(StMemConfig, shape, n_channels=n_channels, n_labels=n_labels)


# The layers; `fn`, `net` and `to_out` are named after the weights.


class Normed(nn.Module):
    """A step on normalized tokens, added to what they were."""

    def __init__(self, width: int, step: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fn = step

    def forward(self, hidden: Tensor) -> Tensor:
        """Map tokens ``[batch, token, feature]`` to the same shape."""
        added: Tensor = hidden + self.fn(self.norm(hidden))
        return added


class Attention(nn.Module):
    """Attention of each token to all."""

    def __init__(self, config: StMemConfig) -> None:
        super().__init__()
        inner = config.num_attention_heads * config.head_size
        self.n_heads = config.num_attention_heads
        self.to_qkv = nn.Linear(config.hidden_size, 3 * inner, bias=config.qkv_bias)
        self.to_out = nn.Sequential(nn.Linear(inner, config.hidden_size))

    def forward(self, hidden: Tensor) -> Tensor:
        """Map tokens ``[batch, token, feature]`` to the same shape."""
        projected = self.to_qkv(hidden).unflatten(-1, (3, self.n_heads, -1))
        query, key, value = projected.permute(2, 0, 3, 1, 4)  # each [batch, head, token, feature]
        found = functional.scaled_dot_product_attention(query, key, value)
        attended: Tensor = self.to_out(found.transpose(1, 2).flatten(start_dim=2))
        return attended


class FeedForward(nn.Module):
    """Widen, activate, narrow."""

    def __init__(self, config: StMemConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        # Places 2 and 4 are dropouts, which are off.
        self.net = nn.ModuleDict({"0": nn.Linear(width, inner), "3": nn.Linear(inner, width)})

    def forward(self, hidden: Tensor) -> Tensor:
        """Map tokens ``[batch, token, feature]`` to the same shape."""
        mapped: Tensor = self.net["3"](functional.gelu(self.net["0"](hidden)))
        return mapped


class Block(GradientCheckpointingLayer):  # type: ignore[misc]
    """Attention, then a feed-forward step."""

    def __init__(self, config: StMemConfig) -> None:
        super().__init__()
        self.attn = Normed(config.hidden_size, Attention(config))
        self.ff = Normed(config.hidden_size, FeedForward(config))

    def forward(self, hidden: Tensor) -> Tensor:
        """Map tokens ``[batch, token, feature]`` to the same shape."""
        mapped: Tensor = self.ff(self.attn(hidden))
        return mapped


class StMemEncoder(PatchEncoder):
    """Patches to tokens to features; `norm` is for their mean.

    Positions, separators and leads start at random with a deviation of 0.02.
    """

    title = ST_MEM.title

    def __init__(self, config: StMemConfig) -> None:
        super().__init__()
        self.config = config
        width, size = config.hidden_size, config.patch_samples
        self.pos_embedding = nn.Parameter(0.02 * torch.randn(1, config.n_patches + 2, width))
        self.sep_embedding = nn.Parameter(0.02 * torch.randn(width))
        self.to_patch_embedding = nn.ModuleDict(
            {"1": nn.LayerNorm(size), "2": nn.Linear(size, width), "3": nn.LayerNorm(width)}
        )
        self.lead_embeddings = nn.ParameterList(
            nn.Parameter(0.02 * torch.randn(width)) for _ in range(config.n_channels)
        )
        for number in range(config.num_hidden_layers):
            self.add_module(f"block{number}", Block(config))
        self.norm = nn.LayerNorm(width)

    def embed_patches(self, input_values: Tensor) -> Tensor:
        """Map signals to patches ``[batch, lead, patch, feature]``, without positions.

        Parameters
        ----------
        input_values
            Standardized samples, float32 ``[batch, lead, sample]``; of fewer samples than the table
            of positions has patches for, these are its first.
        """
        size, longest = self.config.patch_samples, self.config.n_patches
        n_samples = input_values.shape[-1] if input_values.ndim == 3 else 0
        if n_samples % size or not 0 < n_samples <= size * longest:
            raise ValueError(
                f"Expected signals [batch, lead, sample] of 1 to {longest} patches of {size} "
                f"samples, found {list(input_values.shape)}."
            )
        # A single lead would stand in for all in silence, and separators be taken for patches.
        require_channels(input_values, self.config.n_channels)
        hidden = input_values.reshape(*input_values.shape[:2], -1, size)
        for layer in self.to_patch_embedding.values():
            hidden = layer(hidden)
        patches: Tensor = hidden
        return patches

    def contextualize(self, patches: Tensor) -> Tensor:
        """Run the transformer over ``[batch, lead, patch, feature]``, a separator at both ends.

        The left one has the first position, the right one the last, however many patches stand
        between. Returns ``[batch, lead, patch + 2, feature]``.
        """
        n_batch, n_leads, n_patches, _ = patches.shape
        separator = self.sep_embedding.expand(n_batch, n_leads, 1, -1)
        hidden = torch.cat([separator, patches, separator], dim=2)
        positions = self.pos_embedding[0]
        hidden = hidden + torch.cat([positions[: n_patches + 1], positions[-1:]])
        hidden = hidden + torch.stack(list(self.lead_embeddings))[:, None]
        tokens = hidden.flatten(1, 2)
        for number in range(self.config.num_hidden_layers):
            tokens = self.get_submodule(f"block{number}")(tokens)
        return tokens.reshape(n_batch, n_leads, n_patches + 2, -1)

    def forward(self, input_values: Tensor) -> Tensor:
        """Compute the features of each patch of each lead, ``[batch, token, feature]``."""
        return self.contextualize(self.embed_patches(input_values))[:, :, 1:-1].flatten(1, 2)

    def pool(self, hidden: Tensor) -> Tensor:
        """Average tokens ``[batch, token, feature]``, and normalize the mean."""
        pooled: Tensor = self.norm(hidden.mean(dim=1))
        return pooled


class StMem(PatchModel):
    """The encoder alone; its weights are those of the classifier without the head."""

    config_class = StMemConfig
    encoder_class = StMemEncoder
    encoder: StMemEncoder


class StMemForClassification(PatchClassifier):
    """Encoder, mean over all patches, layer norm, linear head.

    Parameters
    ----------
    config
        `num_labels` is the width of the head.
    """

    config_class = StMemConfig
    encoder_class = StMemEncoder
    encoder: StMemEncoder

    def encoder_layers(self) -> Sequence[tuple[str, ...]]:
        """Name what makes tokens as one layer, then each block; the norm is the last block's."""
        last = self.config.num_hidden_layers - 1
        blocks = [(f"encoder.block{i}",) for i in range(last)]
        return [("encoder",), *blocks, (f"encoder.block{last}", "encoder.norm")]
