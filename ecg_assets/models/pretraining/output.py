"""What a pre-training model computes."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class PretrainingOutput(NamedTuple):
    """Loss, its terms, and what they were computed from.

    Attributes
    ----------
    loss
        The sum of the terms times `Objective.weights`, per masked token: fairseq-signals'
        summed loss over its sample size.
    contrastive, diversity, feature_penalty, cmsc, masked_prediction
        The terms without their weights; the last is 0 where the objective has no such term.
    probability_perplexity, code_perplexity
        Of the codebook, summed over its groups.
    logits
        As `contrastive_logits` gives them.
    hidden
        The encoder's output on masked input, ``[segment, token, feature]``.
    """

    loss: Tensor
    contrastive: Tensor
    diversity: Tensor
    feature_penalty: Tensor
    cmsc: Tensor
    masked_prediction: Tensor
    probability_perplexity: Tensor
    code_perplexity: Tensor
    logits: Tensor
    hidden: Tensor
