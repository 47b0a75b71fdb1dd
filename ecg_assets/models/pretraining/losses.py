"""The terms of the pre-training loss, each of plain tensors and per masked token.

Definitions: fairseq-signals, criterion ``wav2vec2_with_cmsc``
(https://github.com/Jwoo5/fairseq-signals), and w2v-BERT's masked prediction
(https://arxiv.org/abs/2108.06209).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def contrastive_logits(
    predicted: Tensor, target: Tensor, codes: Tensor, negatives: Tensor, temperature: float
) -> Tensor:
    """Compare each masked token's prediction with its target and with negatives.

    Parameters
    ----------
    predicted, target
        ``[segment, masked token, feature]``.
    codes
        Codes behind the targets, integer ``[segment, masked token, group]``.
    negatives
        Masked tokens of the same segment, integer ``[segment, masked token, negative]``.
    temperature
        Cosine similarities are divided by it.

    Returns
    -------
    Tensor
        ``[segment, masked token, 1 + negative]``, the target first; -inf for a negative of
        the target's own codes.
    """
    # All pairs of a segment are fewer than tokens times negatives, and need no copies.
    similarity = functional.normalize(predicted, dim=-1) @ functional.normalize(
        target, dim=-1
    ).transpose(1, 2)
    positive = similarity.diagonal(dim1=1, dim2=2)[:, :, None]
    negative = similarity.gather(2, negatives)
    is_same = (codes[:, :, None] == codes[:, None]).all(dim=-1).gather(2, negatives)
    return torch.cat([positive, negative.masked_fill(is_same, -torch.inf)], dim=2) / temperature


def contrastive_loss(logits: Tensor) -> Tensor:
    """Cross entropy toward the first of `contrastive_logits`, mean over masked tokens."""
    flat = logits.flatten(0, 1)
    return functional.cross_entropy(flat, flat.new_zeros(len(flat), dtype=torch.long))


def masked_prediction_loss(logits: Tensor, codes: Tensor) -> Tensor:
    """Cross entropy toward the codes of each masked token, summed over groups, mean over tokens.

    Parameters
    ----------
    logits
        ``[segment, masked token, group × code]``, a group's codes side by side.
    codes
        The quantizer's choice, integer ``[segment, masked token, group]``.
    """
    n_groups = codes.shape[-1]
    by_group = logits.reshape(-1, logits.shape[-1] // n_groups)
    return n_groups * functional.cross_entropy(by_group, codes.flatten())


def diversity_loss(probability_perplexity: Tensor, n_codes: int) -> Tensor:
    """Unused share of the codebook: 0 when all codes are equally probable."""
    return (n_codes - probability_perplexity) / n_codes


def cmsc_loss(hidden: Tensor, patients: Tensor, temperature: float) -> Tensor:
    """Contrast segments of patients (CMSC, https://arxiv.org/abs/2005.13249).

    The tokens of a segment are averaged; each first segment should be more like the second
    segments of its own patient than like those of others, and the other way round.

    Parameters
    ----------
    hidden
        ``[2 × pair, token, feature]``: first the first segments of all pairs, then the
        second ones in the same order.
    patients
        Patient of each pair, integer ``[pair]``; pairs of one patient are positives of
        each other.
    temperature
        Cosine similarities are divided by it.
    """
    pooled = hidden.mean(dim=1)
    # The norm counts as a constant, as in fairseq-signals: no gradient goes through it.
    unit = pooled / pooled.detach().norm(dim=-1, keepdim=True).clamp_min(1e-8)
    first, second = unit.chunk(2)
    logits = first @ second.T / temperature
    is_same = patients[:, None] == patients[None]
    # A sum over all, since indexing by a mask would make a GPU say how many there are.
    both = logits.log_softmax(dim=1) + logits.log_softmax(dim=0)
    loss: Tensor = -both.masked_fill(~is_same, 0.0).sum() / (2 * is_same.sum())
    return loss
