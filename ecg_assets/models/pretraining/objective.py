"""What pre-training minimizes, in plain numbers; needs no torch."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ecg_assets.frozen_model import FrozenModel, Number

TERMS = ("contrastive", "diversity", "feature_penalty", "cmsc", "masked_prediction")
"""Terms of the loss; the last is an extension."""


def _extension(default: Any, description: str, **limits: Any) -> Any:
    """Declare a field of another objective than ECG-FM's; it is not written while it is off."""
    return Field(
        default=default,
        exclude_if=lambda value: value == default,
        description=description,
        **limits,
    )


class Objective(FrozenModel):
    """Masking, quantizer and weights of W2V + CMSC + RLM, by default as ECG-FM was pre-trained.

    The names in parentheses are fairseq-signals' options
    (https://github.com/Jwoo5/fairseq-signals, examples/w2v_cmsc); the method is
    https://arxiv.org/abs/2203.06889. The last four fields make it w2v-BERT's with CMSC
    (https://arxiv.org/abs/2108.06209).
    """

    mask_probability: Number = Field(
        default=0.65,
        gt=0,
        le=1,
        description="Spans of mask_length tokens would cover this share of a segment, on average, "
        "if they did not overlap (mask_prob).",
    )
    mask_length: int = Field(default=10, ge=1, description="Tokens of a masked span (mask_length).")
    n_negatives: int = Field(
        default=100,
        ge=1,
        description="Negatives of each masked token, drawn from its own segment (num_negatives).",
    )
    contrastive_temperature: Number = Field(
        default=0.1,
        gt=0,
        description="Cosine similarities of tokens and codes are divided by it (logit_temp).",
    )
    cmsc_temperature: Number = Field(
        default=0.1, gt=0, description="Cosine similarities of patients are divided by it (temp)."
    )
    code_vectors: int = Field(
        default=320, ge=1, description="Vectors in each group of the codebook (latent_vars)."
    )
    code_groups: int = Field(default=2, ge=1, description="Groups of the codebook (latent_groups).")
    code_width: int = Field(
        default=256,
        ge=1,
        description="Features of a code (latent_dim; final_dim where there is none).",
    )
    gumbel_start: Number = Field(
        default=2.0,
        description="The Gumbel temperature after n steps is max(start × decayⁿ, end) "
        "(latent_temp).",
    )
    gumbel_end: Number = Field(
        default=0.5, gt=0, description="Lowest Gumbel temperature (latent_temp)."
    )
    gumbel_decay: Number = Field(
        default=0.999995,
        gt=0,
        le=1,
        description="Factor of the Gumbel temperature at each step (latent_temp).",
    )
    diversity_weight: Number = Field(
        default=0.1,
        ge=0,
        description="Weight of the codebook's diversity beside the contrastive loss "
        "(loss_weights).",
    )
    feature_penalty_weight: Number = Field(
        default=10.0,
        ge=0,
        description="Weight of the features' size beside the contrastive loss (loss_weights).",
    )
    cmsc_weight: Number = Field(
        default=1.0,
        ge=0,
        description="Weight of the contrast between segments of patients (cmsc_weights).",
    )
    feature_gradient: Number = Field(
        default=0.1,
        gt=0,
        le=1,
        description="The convolutions get this share of their gradient (feature_grad_mult).",
    )
    dropout: Number = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Everywhere but inside the feed-forward layers (dropout, attention_dropout, "
        "dropout_input, dropout_features).",
    )
    lead_mask_probability: Number = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="Each lead of each segment is blanked with this probability; 0 for one "
        "channel (mask_leads_prob).",
    )
    compared_width: int = _extension(
        0,
        "Features of the projections that the contrastive loss compares (final_dim); 0: as many "
        "as a code has.",
        ge=0,
    )
    masked_prediction_weight: Number = _extension(
        0.0,
        "Weight of the cross entropy between what the last layer says of a masked token and the "
        "codes that the quantizer chose for it; 0: there is no such term.",
        ge=0,
    )
    contrastive_layer: int = _extension(
        0,
        "The contrastive loss reads the output of this layer, counted from 1; 0: the last one's.",
        ge=0,
    )
    cmsc_of: Literal["encoder", "features"] = _extension(
        "encoder",
        "What the contrast between patients averages: encoder, the last layer's output, or "
        "features, the projected convolution features, masked, that the encoder reads. The "
        "latter is how ECG-LFM was published; that term cannot train the encoder.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        self._require(self.gumbel_start >= self.gumbel_end, "gumbel_start", "gumbel_end or above")
        self._require(
            self.code_width % self.code_groups == 0, "code_width", "a multiple of code_groups"
        )
        self._require(
            not self.contrastive_layer or self._trains_last_layer,
            "contrastive_layer",
            "0 without another term of the last layer's output (masked_prediction_weight, or "
            "cmsc_weight with cmsc_of 'encoder'): nothing would train the layers behind it",
        )
        return self

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

    @property
    def measured(self) -> tuple[str, ...]:
        """Fields of `PretrainingOutput` that it has: the loss, its terms and the perplexities.

        >>> Objective().measured[:3]
        ('loss', 'contrastive', 'diversity')
        """
        return ("loss", *self.weights, "probability_perplexity", "code_perplexity")

    def gumbel_temperature(self, step: int) -> float:
        """Gumbel temperature after so many optimizer steps.

        >>> Objective().gumbel_temperature(0), Objective().gumbel_temperature(10**6)
        (2.0, 0.5)
        """
        return max(self.gumbel_start * self.gumbel_decay**step, self.gumbel_end)

    @property
    def _trains_last_layer(self) -> bool:
        by_patients = self.cmsc_of == "encoder" and self.cmsc_weight > 0
        return by_patients or self.masked_prediction_weight > 0
