"""A wav2vec-like encoder with the heads of its pre-training on masked leads.

W2V + CMSC (fairseq-signals' `wav2vec2_cmsc`), and with the objective's extensions w2v-BERT +
CMSC (ECG-LFM's `w2vbert`). A family has a class of its own, which says whose encoder stands in
it; the encoder's weights have the names that the family's classifier has.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2PreTrainedModel

from ecg_assets.models.pretraining.config import pretraining_config
from ecg_assets.models.pretraining.losses import (
    cmsc_loss,
    contrastive_logits,
    contrastive_loss,
    diversity_loss,
    masked_prediction_loss,
)
from ecg_assets.models.pretraining.names import fairseq_heads
from ecg_assets.models.pretraining.objective import Objective
from ecg_assets.models.pretraining.output import PretrainingOutput
from ecg_assets.models.pretraining.quantizer import GumbelQuantizer, Quantized

Model = TypeVar("Model", bound="EcgForPreTraining")


class EcgForPreTraining(Wav2Vec2PreTrainedModel):  # type: ignore[misc]
    """Encoder, quantizer, and the heads whose outputs the losses compare with its codes.

    Parameters
    ----------
    config
        As `pretraining_config` gives it.
    objective
        Temperatures, weights, and the convolutions' share of their gradient.

    Raises
    ------
    ValueError
        When the encoder has no such layer as the objective's `contrastive_layer`.
    """

    base_model_prefix = "encoder"
    main_input_name = "input_values"
    encoder_class: ClassVar[type[Any]]
    """The family's encoder: convolutions, projection, and `contextualize`, which runs the rest.

    For a `contrastive_layer` also `contextualize_layers`, which gives each layer's output.
    """

    def __init__(self, config: Any, objective: Objective) -> None:
        super().__init__(config)
        self.objective = objective
        self._require_layer()
        self.encoder = self.encoder_class(config)
        self.mask_embedding = nn.Parameter(torch.rand(config.hidden_size))
        self.dropout_features = nn.Dropout(config.feat_quantizer_dropout)
        self.quantizer = GumbelQuantizer(config)
        self.project_q = nn.Linear(config.codevector_dim, config.proj_codevector_dim)
        self.project_hidden = nn.Linear(config.hidden_size, config.proj_codevector_dim)
        if objective.masked_prediction_weight:
            self.predict_codes = nn.Linear(config.hidden_size, objective.n_codes)
        self.post_init()
        # The heads start as torch's own linear layers do, as in fairseq-signals.
        self.project_q.reset_parameters()
        self.project_hidden.reset_parameters()
        if objective.masked_prediction_weight:
            self.predict_codes.reset_parameters()
        self.set_step(0)

    @classmethod
    def build(cls: type[Model], encoder: Any, objective: Objective) -> Model:
        """Build the random model of an encoder's configuration."""
        return cls(pretraining_config(encoder, objective), objective)

    @staticmethod
    def select_heads(state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Give what only pre-training uses of its weights, by fairseq-signals' names."""
        return fairseq_heads(state)

    def set_step(self, step: int) -> None:
        """Set the Gumbel temperature to that of an optimizer step."""
        self.quantizer.temperature = self.objective.gumbel_temperature(step)

    def count_tokens(self, n_samples: int) -> int:
        """Tokens of a segment of so many samples."""
        return int(self._get_feat_extract_output_lengths(torch.tensor(n_samples)))

    def forward(
        self, input_values: Tensor, mask: Tensor, negatives: Tensor, patients: Tensor
    ) -> PretrainingOutput:
        """Compute the loss of pairs of segments.

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
        hidden, contrasted = self._contextualize(masked)
        with torch.autocast(input_values.device.type, enabled=False):
            hidden = hidden.float()
            target = self.quantizer(_take(self.dropout_features(normalized).float(), mask))
            logits = self._compare(_take(contrasted.float(), mask), target, negatives)
            pooled = hidden if self.objective.cmsc_of == "encoder" else masked.float()
            terms = {
                "contrastive": contrastive_loss(logits),
                "diversity": diversity_loss(target.probability_perplexity, self.objective.n_codes),
                "feature_penalty": features.float().square().mean(),
                "cmsc": cmsc_loss(pooled, patients, self.objective.cmsc_temperature),
                "masked_prediction": self._predict(_take(hidden, mask), target),
            }
        return PretrainingOutput(
            loss=sum(weight * terms[name] for name, weight in self.objective.weights.items()),
            **terms,
            probability_perplexity=target.probability_perplexity,
            code_perplexity=target.code_perplexity,
            logits=logits,
            hidden=hidden,
        )

    def _contextualize(self, masked: Tensor) -> tuple[Tensor, Tensor]:
        """Give the last layer's output, and that of the layer the contrastive loss reads."""
        number = self.objective.contrastive_layer
        if not number:
            last = self.encoder.contextualize(masked)
            return last, last
        layers = self.encoder.contextualize_layers(masked)
        return layers[-1], layers[number - 1]

    def _compare(self, contrasted: Tensor, target: Quantized, negatives: Tensor) -> Tensor:
        """Compute `contrastive_logits` of masked tokens."""
        return contrastive_logits(
            self.project_hidden(contrasted),
            self.project_q(target.vectors),
            target.codes,
            negatives,
            self.objective.contrastive_temperature,
        )

    def _predict(self, hidden: Tensor, target: Quantized) -> Tensor:
        """Compute the masked prediction of masked tokens; 0 where there is none."""
        if not self.objective.masked_prediction_weight:
            return hidden.new_zeros(())
        return masked_prediction_loss(self.predict_codes(hidden), target.codes)

    def _require_layer(self) -> None:
        number, n_layers = self.objective.contrastive_layer, self.config.num_hidden_layers
        if number and not hasattr(self.encoder_class, "contextualize_layers"):
            raise ValueError(
                f"contrastive_layer is {number}; {self.encoder_class.__name__} gives the output of "
                "its last layer alone. Set it to 0."
            )
        if number > n_layers:
            raise ValueError(
                f"contrastive_layer is {number}; the encoder has {n_layers} layers. Set it to one "
                "of them, or to 0 for the last one."
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
