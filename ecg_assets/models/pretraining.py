"""ECG-FM with the heads of its pre-training: W2V + CMSC on masked leads.

Checked against fairseq-signals' `wav2vec2_cmsc`; the encoder's weights have the names that
`EcgFmForClassification` has.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2PreTrainedModel

from ecg_assets.models.ecg_fm import EcgFmEncoder
from ecg_assets.models.ecg_fm_config import EcgFmConfig
from ecg_assets.models.pretraining_losses import (
    cmsc_loss,
    contrastive_logits,
    contrastive_loss,
    diversity_loss,
)
from ecg_assets.models.pretraining_objective import Objective
from ecg_assets.models.quantizer import GumbelQuantizer, Quantized

TERMS = ("contrastive", "diversity", "feature_penalty", "cmsc")
"""Terms of the loss."""


class PretrainingOutput(NamedTuple):
    """Loss, its terms, and what they were computed from.

    Attributes
    ----------
    loss
        ``contrastive`` plus the weighted other terms, per masked token: fairseq-signals'
        summed loss over its sample size.
    contrastive, diversity, feature_penalty, cmsc
        The terms without their weights.
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
    probability_perplexity: Tensor
    code_perplexity: Tensor
    logits: Tensor
    hidden: Tensor


def pretraining_config(encoder: EcgFmConfig, objective: Objective) -> EcgFmConfig:
    """Give an encoder's configuration the codebook and dropout of pre-training.

    Parameters
    ----------
    encoder
        Its shape and channels.
    objective
        Codebook and dropout.
    """
    values = {
        "num_codevectors_per_group": objective.code_vectors,
        "num_codevector_groups": objective.code_groups,
        "codevector_dim": objective.code_width,
        "proj_codevector_dim": objective.code_width,
        "hidden_dropout": objective.dropout,
        "attention_dropout": objective.dropout,
        "feat_proj_dropout": objective.dropout,
        "feat_quantizer_dropout": objective.dropout,
        "activation_dropout": 0.0,
    }
    config: EcgFmConfig = EcgFmConfig.from_dict({**encoder.to_dict(), **values})
    return config


class EcgFmForPreTraining(Wav2Vec2PreTrainedModel):  # type: ignore[misc]
    """Encoder, quantizer, and the two projections that the contrastive loss compares.

    Parameters
    ----------
    config
        As `pretraining_config` gives it.
    objective
        Temperatures, weights, and the convolutions' share of their gradient.
    """

    config_class = EcgFmConfig
    base_model_prefix = "encoder"
    main_input_name = "input_values"

    def __init__(self, config: EcgFmConfig, objective: Objective) -> None:
        super().__init__(config)
        self.objective = objective
        self.encoder = EcgFmEncoder(config)
        self.mask_embedding = nn.Parameter(torch.rand(config.hidden_size))
        self.dropout_features = nn.Dropout(config.feat_quantizer_dropout)
        self.quantizer = GumbelQuantizer(config)
        self.project_q = nn.Linear(config.codevector_dim, config.proj_codevector_dim)
        self.project_hidden = nn.Linear(config.hidden_size, config.proj_codevector_dim)
        self.post_init()
        # The projections start as torch's own linear layers do, as in fairseq-signals.
        self.project_q.reset_parameters()
        self.project_hidden.reset_parameters()
        self.set_step(0)

    def set_step(self, step: int) -> None:
        """Set the Gumbel temperature to that of an optimizer step."""
        self.quantizer.temperature = self.objective.gumbel_temperature(step)

    def count_tokens(self, n_samples: int) -> int:
        """Tokens of a segment of so many samples."""
        return int(self._get_feat_extract_output_lengths(torch.tensor(n_samples)))

    def forward(
        self, input_values: Tensor, mask: Tensor, negatives: Tensor, patients: Tensor
    ) -> PretrainingOutput:
        """Compute the loss of pairs of adjacent segments.

        Parameters
        ----------
        input_values
            Standardized samples, float32 ``[2 × pair, channel, sample]``: first the first
            segments of all pairs, then the second ones in the same order.
        mask
            True where a token is masked, bool ``[2 × pair, token]``, equally many in each
            segment.
        negatives
            For each masked token other ones of its segment, counted among the masked,
            integer ``[2 × pair, masked token, negative]``.
        patients
            Patient of each pair, integer ``[pair]``.
        """
        self._require_shapes(input_values, mask, negatives, patients)
        features = self.encoder.feature_extractor(input_values).transpose(1, 2)
        if features.requires_grad:
            features.register_hook(lambda gradient: gradient * self.objective.feature_gradient)
        projected, normalized = self.encoder.feature_projection(features)
        masked = torch.where(mask[:, :, None], self.mask_embedding.to(projected), projected)
        hidden = self.encoder.contextualize(masked)
        with torch.autocast(input_values.device.type, enabled=False):
            hidden = hidden.float()
            target = self.quantizer(_take(self.dropout_features(normalized).float(), mask))
            logits = contrastive_logits(
                self.project_hidden(_take(hidden, mask)),
                self.project_q(target.vectors),
                target.codes,
                negatives,
                self.objective.contrastive_temperature,
            )
            return self._add_up(features.float(), hidden, target, logits, patients)

    def _add_up(
        self,
        features: Tensor,
        hidden: Tensor,
        target: Quantized,
        logits: Tensor,
        patients: Tensor,
    ) -> PretrainingOutput:
        """Compute the terms and their weighted sum."""
        contrastive = contrastive_loss(logits)
        diversity = diversity_loss(target.probability_perplexity, self.objective.n_codes)
        feature_penalty = features.square().mean()
        cmsc = cmsc_loss(hidden, patients, self.objective.cmsc_temperature)
        loss = (
            contrastive
            + self.objective.diversity_weight * diversity
            + self.objective.feature_penalty_weight * feature_penalty
            + self.objective.cmsc_weight * cmsc
        )
        return PretrainingOutput(
            loss=loss,
            contrastive=contrastive,
            diversity=diversity,
            feature_penalty=feature_penalty,
            cmsc=cmsc,
            probability_perplexity=target.probability_perplexity,
            code_perplexity=target.code_perplexity,
            logits=logits,
            hidden=hidden,
        )

    def _require_shapes(
        self, input_values: Tensor, mask: Tensor, negatives: Tensor, patients: Tensor
    ) -> None:
        n_segments, n_tokens = 2 * len(patients), self.count_tokens(input_values.shape[-1])
        found = [tuple(item.shape) for item in (input_values, mask, negatives)]
        expected = [
            (n_segments, self.config.n_channels, input_values.shape[-1]),
            (n_segments, n_tokens),
            (n_segments, int(mask[0].sum()), negatives.shape[-1]),
        ]
        if found != expected:
            raise ValueError(
                f"Expected signals, mask and negatives of the shapes {expected} for "
                f"{len(patients)} pairs, found {found}."
            )


def _take(tokens: Tensor, mask: Tensor) -> Tensor:
    """Take the masked tokens of ``[segment, token, feature]``, equally many of each segment."""
    return tokens[mask].reshape(len(mask), -1, tokens.shape[-1])
