"""What pre-training minimizes, in plain numbers; needs no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

TERMS = ("contrastive", "diversity", "feature_penalty", "cmsc", "masked_prediction")
"""Terms of the loss; the last is an extension."""
CMSC_OF = ("encoder", "features")
_EXTENSIONS = ("compared_width", "masked_prediction_weight", "contrastive_layer", "cmsc_of")


@dataclass(frozen=True)
class Objective:
    """Masking, quantizer and weights of W2V + CMSC + RLM, by default as ECG-FM was pre-trained.

    The names in parentheses are fairseq-signals' options
    (https://github.com/Jwoo5/fairseq-signals, examples/w2v_cmsc); the method is
    https://arxiv.org/abs/2203.06889. The last four fields make it w2v-BERT's with CMSC
    (https://arxiv.org/abs/2108.06209).

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
        Features of a code (latent_dim; final_dim where there is none).
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
    compared_width
        Features of the projections that the contrastive loss compares (final_dim); 0: as many
        as a code has.
    masked_prediction_weight
        Weight of the cross entropy between what the last layer says of a masked token and the
        codes that the quantizer chose for it; 0: there is no such term.
    contrastive_layer
        The contrastive loss reads the output of this layer, counted from 1; 0: the last one's.
    cmsc_of
        What the contrast between patients averages: ``encoder``, the last layer's output, or
        ``features``, the projected convolution features, masked, that the encoder reads. The
        latter is how ECG-LFM was published; that term cannot train the encoder.
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
    compared_width: int = 0
    masked_prediction_weight: float = 0.0
    contrastive_layer: int = 0
    cmsc_of: str = "encoder"

    def __post_init__(self) -> None:
        for name in ("mask_length", "n_negatives", "code_vectors", "code_groups", "code_width"):
            self._require(getattr(self, name) >= 1, name, "1 or more")
        for name in ("contrastive_temperature", "cmsc_temperature", "gumbel_end"):
            self._require(getattr(self, name) > 0, name, "above 0")
        weights = ("diversity_weight", "feature_penalty_weight", "cmsc_weight")
        for name in (*weights, "masked_prediction_weight", "compared_width", "contrastive_layer"):
            self._require(getattr(self, name) >= 0, name, "0 or above")
        for name in ("dropout", "lead_mask_probability"):
            self._require(0 <= getattr(self, name) < 1, name, "from 0 to below 1")
        for name in ("mask_probability", "gumbel_decay", "feature_gradient"):
            self._require(0 < getattr(self, name) <= 1, name, "above 0 and at most 1")
        self._require(self.gumbel_start >= self.gumbel_end, "gumbel_start", "gumbel_end or above")
        self._require(
            self.code_width % self.code_groups == 0, "code_width", "a multiple of code_groups"
        )
        self._require(self.cmsc_of in CMSC_OF, "cmsc_of", f"one of {CMSC_OF}")
        self._require(
            not self.contrastive_layer or self._trains_last_layer,
            "contrastive_layer",
            "0 without another term of the last layer's output (masked_prediction_weight, or "
            "cmsc_weight with cmsc_of 'encoder'): nothing would train the layers behind it",
        )

    @property
    def n_codes(self) -> int:
        """Vectors of all groups of the codebook."""
        return self.code_vectors * self.code_groups

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each term of the loss that there is.

        >>> Objective().weights
        {'contrastive': 1.0, 'diversity': 0.1, 'feature_penalty': 10.0, 'cmsc': 1.0}
        """
        extension = {"masked_prediction": self.masked_prediction_weight}
        return {
            "contrastive": 1.0,
            "diversity": self.diversity_weight,
            "feature_penalty": self.feature_penalty_weight,
            "cmsc": self.cmsc_weight,
            **(extension if self.masked_prediction_weight else {}),
        }

    def gumbel_temperature(self, step: int) -> float:
        """Gumbel temperature after so many optimizer steps.

        >>> Objective().gumbel_temperature(0), Objective().gumbel_temperature(10**6)
        (2.0, 0.5)
        """
        return max(self.gumbel_start * self.gumbel_decay**step, self.gumbel_end)

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON values; ``Objective(**value)`` reads them back.

        An extension that is off is left out: an objective without any is as it was before
        there were extensions.
        """
        off = {item.name: item.default for item in fields(self) if item.name in _EXTENSIONS}
        return {name: value for name, value in asdict(self).items() if value != off.get(name)}

    @property
    def _trains_last_layer(self) -> bool:
        by_patients = self.cmsc_of == "encoder" and self.cmsc_weight > 0
        return by_patients or self.masked_prediction_weight > 0

    def _require(self, holds: bool, name: str, allowed: str) -> None:
        if not holds:
            raise ValueError(f"{name} is {getattr(self, name)!r}; it must be {allowed}.")
