"""What pre-training minimizes, in plain numbers; needs no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Objective:
    """Masking, quantizer and weights of W2V + CMSC + RLM, by default as ECG-FM was pre-trained.

    The names in parentheses are fairseq-signals' options
    (https://github.com/Jwoo5/fairseq-signals, examples/w2v_cmsc); the method is
    https://arxiv.org/abs/2203.06889.

    Attributes
    ----------
    mask_probability, mask_length
        Spans of so many tokens would cover this share of a segment, on average, if they did
        not overlap (mask_prob, mask_length).
    n_negatives
        Negatives of each masked token, drawn from its own segment (num_negatives).
    contrastive_temperature, cmsc_temperature
        Cosine similarities are divided by them (logit_temp, temp).
    code_vectors, code_groups
        Vectors in each group of the codebook, and groups (latent_vars, latent_groups).
    code_width
        Features of a code and of what is compared with it (final_dim).
    gumbel_start, gumbel_end, gumbel_decay
        The Gumbel temperature after n steps is ``max(start × decayⁿ, end)`` (latent_temp).
    diversity_weight, feature_penalty_weight
        Weights beside the contrastive loss (loss_weights).
    cmsc_weight
        Weight of the contrast between segments of patients (cmsc_weights).
    feature_gradient
        The convolutions get this share of their gradient (feature_grad_mult).
    dropout
        Everywhere but inside the feed-forward layers (dropout, attention_dropout,
        dropout_input, dropout_features).
    lead_mask_probability
        Each lead of each segment is blanked with this probability (mask_leads_prob).
    """

    mask_probability: float = 0.65
    mask_length: int = 10
    n_negatives: int = 100
    contrastive_temperature: float = 0.1
    cmsc_temperature: float = 0.1
    code_vectors: int = 320
    code_groups: int = 2
    code_width: int = 256
    gumbel_start: float = 2.0
    gumbel_end: float = 0.5
    gumbel_decay: float = 0.999995
    diversity_weight: float = 0.1
    feature_penalty_weight: float = 10.0
    cmsc_weight: float = 1.0
    feature_gradient: float = 0.1
    dropout: float = 0.1
    lead_mask_probability: float = 0.5

    def __post_init__(self) -> None:
        for name in ("mask_length", "n_negatives", "code_vectors", "code_groups", "code_width"):
            self._require(getattr(self, name) >= 1, name, "1 or more")
        for name in ("contrastive_temperature", "cmsc_temperature", "gumbel_end"):
            self._require(getattr(self, name) > 0, name, "above 0")
        for name in ("diversity_weight", "feature_penalty_weight", "cmsc_weight"):
            self._require(getattr(self, name) >= 0, name, "0 or above")
        for name in ("dropout", "lead_mask_probability"):
            self._require(0 <= getattr(self, name) < 1, name, "from 0 to below 1")
        for name in ("mask_probability", "gumbel_decay", "feature_gradient"):
            self._require(0 < getattr(self, name) <= 1, name, "above 0 and at most 1")
        self._require(self.gumbel_start >= self.gumbel_end, "gumbel_start", "gumbel_end or above")
        self._require(
            self.code_width % self.code_groups == 0, "code_width", "a multiple of code_groups"
        )

    @property
    def n_codes(self) -> int:
        """Vectors of all groups of the codebook."""
        return self.code_vectors * self.code_groups

    def gumbel_temperature(self, step: int) -> float:
        """Gumbel temperature after so many optimizer steps.

        >>> Objective().gumbel_temperature(0), Objective().gumbel_temperature(10**6)
        (2.0, 0.5)
        """
        return max(self.gumbel_start * self.gumbel_decay**step, self.gumbel_end)

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON values; ``Objective(**value)`` reads them back."""
        return asdict(self)

    def _require(self, holds: bool, name: str, allowed: str) -> None:
        if not holds:
            raise ValueError(f"{name} is {getattr(self, name)!r}; it must be {allowed}.")
