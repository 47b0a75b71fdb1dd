"""A wav2vec-like encoder with the heads of its pre-training on masked leads.

W2V + CMSC (fairseq-signals' `wav2vec2_cmsc`), and with the objective's extensions w2v-BERT +
CMSC (ECG-LFM's `w2vbert`). A family has a class of its own, which says whose encoder stands in
it; the encoder's weights have the names that the family's classifier has.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.wav2vec2.modeling_wav2vec2 import (
    Wav2Vec2GumbelVectorQuantizer,
    Wav2Vec2PreTrainedModel,
)

from ecg_assets.models.pretraining.losses import (
    cmsc_loss,
    contrastive_logits,
    contrastive_loss,
    diversity_loss,
    masked_prediction_loss,
)
from ecg_assets.models.pretraining.names import fairseq_heads
from ecg_assets.models.pretraining.objective import Objective

# The configuration of an encoder while it is pre-trained.


Config = TypeVar("Config")


def pretraining_config(encoder: Config, objective: Objective) -> Config:
    """Give an encoder's configuration the codebook and dropout of pre-training.

    Parameters
    ----------
    encoder
        Its shape and channels: a configuration as wav2vec 2.0's.
    objective
        Codebook and dropout.
    """
    values = {
        "num_codevectors_per_group": objective.code_vectors,
        "num_codevector_groups": objective.code_groups,
        "codevector_dim": objective.code_width,
        "proj_codevector_dim": objective.compared_width or objective.code_width,
        "hidden_dropout": objective.dropout,
        "attention_dropout": objective.dropout,
        "feat_proj_dropout": objective.dropout,
        "feat_quantizer_dropout": objective.dropout,
        "activation_dropout": 0.0,
    }
    given: Any = encoder
    config: Config = type(given).from_dict({**given.to_dict(), **values})
    return config


# What a pre-training model computes.


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


# The Gumbel vector quantizer that gives pre-training its targets.


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
            masked_first = _masked_first(mask, negatives.shape[1])
            dropped = self.dropout_features(normalized).float()
            target = self.quantizer(_take(dropped, masked_first))
            logits = self._compare(_take(contrasted.float(), masked_first), target, negatives)
            pooled = hidden if self.objective.cmsc_of == "encoder" else masked.float()
            terms = {
                "contrastive": contrastive_loss(logits),
                "diversity": diversity_loss(target.probability_perplexity, self.objective.n_codes),
                "feature_penalty": features.float().square().mean(),
                "cmsc": cmsc_loss(pooled, patients, self.objective.cmsc_temperature),
                "masked_prediction": self._predict(_take(hidden, masked_first), target),
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
        # A GPU is not asked: waiting for its answer would be waiting for the step before.
        is_known = mask.device.type == "cpu"
        n_masked = int(mask[0].sum()) if is_known else negatives.shape[1]
        found = [tuple(item.shape) for item in (input_values, mask, negatives)]
        expected = [
            (n_segments, self.config.n_channels, input_values.shape[-1]),
            (n_segments, n_tokens),
            (n_segments, n_masked, negatives.shape[-1]),
        ]
        if found != expected:
            raise ValueError(
                f"Expected signals, mask and negatives of the shapes {expected} for "
                f"{len(patients)} pairs, found {found}."
            )


def _masked_first(mask: Tensor, n_masked: int) -> Tensor:
    """Find the masked tokens of each segment, in order, integer ``[segment, masked token]``.

    Indexing by the mask would make a GPU say how many there are.
    """
    return mask.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :n_masked]


def _take(tokens: Tensor, positions: Tensor) -> Tensor:
    """Take tokens of ``[segment, token, feature]`` by their positions."""
    return tokens.gather(1, positions[:, :, None].expand(-1, -1, tokens.shape[-1]))
