"""The Gumbel vector quantizer that gives pre-training its targets."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2GumbelVectorQuantizer


class Quantized(NamedTuple):
    """What the quantizer chose.

    Attributes
    ----------
    vectors
        ``[batch, token, code width]``: the chosen vector of each group, side by side.
    codes
        Position of the chosen vector in its group, integer ``[batch, token, group]``.
    probability_perplexity
        Summed over groups, of the mean softmax over all tokens: differentiable.
    code_perplexity
        The same of the most probable codes.
    """

    vectors: Tensor
    codes: Tensor
    probability_perplexity: Tensor
    code_perplexity: Tensor


class GumbelQuantizer(Wav2Vec2GumbelVectorQuantizer):  # type: ignore[misc]
    """transformers' parameters and initial values, with fairseq-signals' perplexities.

    transformers reports one perplexity, in evaluation mode of the hard choice; the
    diversity loss of fairseq-signals is always of the probabilities. `temperature` is that
    of the Gumbel softmax; in evaluation mode the most probable code is taken.
    """

    def forward(self, features: Tensor) -> Quantized:
        """Quantize features ``[batch, token, conv feature]``."""
        logits = self.weight_proj(features).float()
        logits = logits.unflatten(-1, (self.num_groups, self.num_vars))
        chosen = _one_hot(logits)
        perplexities = perplexity(logits.softmax(-1)), perplexity(chosen)
        if self.training:
            chosen = functional.gumbel_softmax(logits, tau=self.temperature, hard=True)
        codebook = self.codevectors.float().unflatten(1, (self.num_groups, self.num_vars))[0]
        vectors = torch.einsum("btgv,gvd->btgd", chosen, codebook).flatten(2)
        return Quantized(vectors, chosen.argmax(-1), *perplexities)


def perplexity(probability: Tensor) -> Tensor:
    """Perplexity of the mean over tokens of ``[batch, token, group, code]``, summed over groups.

    From 1 a group (always the same code) to the number of codes (all equally often).
    """
    mean = probability.flatten(0, 1).mean(dim=0)
    # The constant is fairseq-signals'.
    return torch.exp(-(mean * torch.log(mean + 1e-7)).sum(dim=-1)).sum()


def _one_hot(logits: Tensor) -> Tensor:
    return functional.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
