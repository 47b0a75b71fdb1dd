"""A head's own pooling: one learnable query attends to the tokens of a frozen encoder."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ecg_assets.errors import SettingsError


class Tokens(NamedTuple):
    """What an encoder computes before anything is pooled.

    Attributes
    ----------
    hidden
        Float ``[batch, token, feature]``; of a convolutional network a token is a position in time.
    padded
        True where a token is padding, bool ``[batch, token]``; None when none is.
    """

    hidden: Tensor
    padded: Tensor | None = None


class AttentionPool(nn.Module):
    """Pool tokens by multi-head attention of one learnable query, without biases.

    The frozen evaluation of ECG-CPC's benchmark pools so
    (https://github.com/AI4HealthUOL/ecg-fm-benchmarking): queries, keys and values are projected
    apart, the softmax is over tokens, of products over the root of a head's width. The fourth
    projection there, to the labels, is the classifier's last layer here, which has a bias.

    Parameters
    ----------
    token_size
        Features of a token.
    feature_size
        Features that the last layer reads.
    n_heads
        A divisor of both.

    Raises
    ------
    SettingsError
        When `n_heads` divides either not.
    """

    def __init__(self, token_size: int, feature_size: int, n_heads: int) -> None:
        super().__init__()
        if n_heads < 1 or token_size % n_heads or feature_size % n_heads:
            raise SettingsError(
                f"attention_pool_heads is {n_heads}; it must divide the width of a token, "
                f"{token_size}, and of the features, {feature_size}. Choose another number."
            )
        self.n_heads = n_heads
        self.query = nn.Parameter(torch.empty(1, 1, token_size))
        # Not nn.Linear: a family's rule for initial weights is made for its own layers.
        self.q_proj = nn.Parameter(torch.empty(token_size, token_size))
        self.k_proj = nn.Parameter(torch.empty(token_size, token_size))
        self.v_proj = nn.Parameter(torch.empty(feature_size, token_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start near the mean over tokens: a small query looks at all of them alike."""
        nn.init.normal_(self.query, std=0.02)
        for weight in (self.q_proj, self.k_proj, self.v_proj):
            nn.init.xavier_uniform_(weight)

    def forward(self, hidden: Tensor, padded: Tensor | None = None) -> Tensor:
        """Map tokens to features.

        Parameters
        ----------
        hidden
            Float ``[batch, token, feature]``.
        padded
            True where a token is padding, which gets no weight, bool ``[batch, token]``.

        Returns
        -------
        Tensor
            ``[batch, feature]``.
        """
        if hidden.ndim != 3 or hidden.shape[2] != self.k_proj.shape[1]:
            raise ValueError(
                f"Expected tokens [batch, token, {self.k_proj.shape[1]} features], "
                f"found {list(hidden.shape)}."
            )
        query = self._split(functional.linear(self.query, self.q_proj))
        key = self._split(functional.linear(hidden, self.k_proj))
        value = self._split(functional.linear(hidden, self.v_proj))
        scores = query @ key.transpose(-1, -2) / key.shape[-1] ** 0.5  # [batch, head, 1, token]
        if padded is not None:
            scores = scores.masked_fill(padded[:, None, None, :], float("-inf"))
        pooled: Tensor = scores.float().softmax(dim=-1).to(value.dtype) @ value
        return pooled.flatten(start_dim=1)

    def _split(self, projected: Tensor) -> Tensor:
        """Map ``[batch, token, feature]`` to ``[batch, head, token, feature of the head]``."""
        return projected.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
