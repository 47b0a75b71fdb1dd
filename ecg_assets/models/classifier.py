"""What each model family gives to training, inference and explanation: one interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_outputs import SequenceClassifierOutput

from ecg_assets.errors import SettingsError
from ecg_assets.models.attention_pool import AttentionPool, Tokens
from ecg_assets.models.probabilities import HUBER, Regression, is_exclusive

_POOL = "attention_pool"


class EcgClassifier(nn.Module):
    """Signals to features to logits; a family says how, the rest of the package only that.

    A family derives from it and from transformers' `PreTrainedModel`, which stores it.
    `config` has ``n_channels``, ``num_labels`` and ``hidden_size``, the width of the features;
    where it has ``attention_pool_heads``, the features are pooled from tokens by attention that
    belongs to the head.

    Attributes
    ----------
    head_name
        Name of the last layer, a `nn.Linear`; all other weights are the encoder.
    attention_pool
        The pooling that belongs to the head; None where the family's own, `embed`, is used.
    """

    config: Any
    head_name: ClassVar[str] = "head"
    attention_pool: AttentionPool | None

    if TYPE_CHECKING:
        # The rest is PreTrainedModel's, which transformers gives no types for.
        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.attention_pool = None
        if n_heads := getattr(config, "attention_pool_heads", 0):
            self.attention_pool = AttentionPool(self.token_size, config.hidden_size, n_heads)

    @property
    def token_size(self) -> int:
        """Features of a token of `tokens`, as the configuration says."""
        return int(self.config.hidden_size)

    def tokens(self, input_values: Tensor, lengths: Tensor | None = None) -> Tokens:
        """Compute the encoder's last features before they are pooled over time.

        Parameters are those of `embed`. A family that has it says so (`ModelFamily.has_tokens`).
        """
        raise SettingsError(
            f"{type(self).__name__} gives no tokens that an attention pool could read. Train "
            "another method than 'attention-probe'."
        )

    def features(self, input_values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute what the last layer reads, ``[batch, feature]``: as `embed`, or by attention.

        All of this package reads features here; a family gives `embed`, and `tokens` if it can.
        """
        if self.attention_pool is None:
            return self.embed(input_values, lengths)
        pooled: Tensor = self.attention_pool(*self.tokens(input_values, lengths))
        return pooled

    def embed(self, input_values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute the features of signals as the family pools them.

        Parameters
        ----------
        input_values
            Standardized samples, float32 ``[batch, channel, sample]``.
        lengths
            Samples before the padding, integer ``[batch]``; None when nothing is padded.

        Returns
        -------
        Tensor
            ``[batch, feature]``.
        """
        raise NotImplementedError

    def classify(self, features: Tensor) -> Tensor:
        """Compute logits ``[batch, label]`` of features ``[batch, feature]``."""
        raise NotImplementedError

    def freeze_convolutions(self) -> None:
        """Exclude the convolutions before the transformer from training."""
        raise SettingsError(
            f"{type(self).__name__} has no convolutions apart from the rest to freeze. Set "
            "freeze_convolutions=False, or train its last layer alone (method='linear-probe')."
        )

    def head_parameters(self) -> set[str]:
        """Name the weights of the last layer and its attention pool, as the checkpoint has them."""
        last = {f"{self.head_name}.{name}" for name in ("weight", "bias")}
        pool = self.attention_pool.state_dict() if self.attention_pool is not None else ()
        return last | {f"{_POOL}.{name}" for name in pool}

    def is_of_head(self, name: str) -> bool:
        """Tell whether a weight of this name is the last layer's, or its attention pool's."""
        return name.startswith((f"{self.head_name}.", f"{_POOL}."))

    def encoder_parameters(self) -> list[nn.Parameter]:
        """List all weights but the last layer's and its attention pool's."""
        return [value for name, value in self.named_parameters() if not self.is_of_head(name)]

    def encoder_layers(self) -> Sequence[tuple[str, ...]]:
        """Name the encoder's layers from the input to the head, by how their weights' names start.

        Each is one or more starts, e.g. ``("encoder.layers.0",)``; a weight belongs to the layer
        of the longest one. Layer-wise learning rates follow them. By default all is one layer.
        """
        return [("",)]

    @property
    def n_early_layers(self) -> int:
        """How many of `encoder_layers` are early ones; by default the first half of them."""
        return len(self.encoder_layers()) // 2

    def forward(
        self,
        input_values: Tensor,
        lengths: Tensor | None = None,
        labels: Tensor | None = None,
        pos_weight: Tensor | None = None,
        known: Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Compute logits, and the loss where labels and their weights are given.

        Parameters
        ----------
        input_values
            Standardized samples, float32 ``[batch, channel, sample]``.
        lengths
            Samples before the padding, integer ``[batch]``; None when nothing is padded.
        labels
            0 or 1, or numbers in their units, ``[batch, label]``.
        pos_weight
            Weight of the positives of each label, ``[label]``.
        known
            Which labels count, bool ``[batch, label]``; None for all.

        Returns
        -------
        SequenceClassifierOutput
            ``logits`` ``[batch, label]`` and, with labels, ``loss`` as `training_loss`
            has it.
        """
        logits = self.classify(self.features(input_values, lengths))
        loss = None
        if labels is not None and pos_weight is not None:
            loss = training_loss(self.config, logits, labels, pos_weight, known)
        return SequenceClassifierOutput(loss=loss, logits=logits)


def training_loss(
    config: Any,
    logits: Tensor,
    labels: Tensor,
    pos_weight: Tensor,
    known: Tensor | None = None,
) -> Tensor:
    """Compute what training minimizes, in float32 whatever the precision of the logits.

    Parameters
    ----------
    config
        Says whether the labels exclude one another, or are numbers, in which scale.
    logits, labels
        ``[batch, label]``; labels that exclude one another have a single 1 in each row.
    pos_weight
        Weight of the positives of each label, ``[label]``; exclusive labels and numbers have none.
    known
        Which labels count, bool ``[batch, label]``; None for all. Exclusive ones are all known.

    Returns
    -------
    Tensor
        Of exclusive labels the mean cross entropy of their softmax; of numbers the mean squared
        error or Huber loss in standard deviations; else the mean of the weighted binary cross
        entropy. The last two are over the known elements; 0 where there is none.
    """
    regression = Regression.of(config)
    if regression is not None:
        return regression_loss(regression, logits, labels, known)
    if is_exclusive(config):
        return functional.cross_entropy(logits.float(), labels.argmax(dim=-1))
    if known is not None:
        each = functional.binary_cross_entropy_with_logits(
            logits.float(), labels.float(), pos_weight=pos_weight.float(), reduction="none"
        )
        return _mean_of_known(each, known)
    return weighted_cross_entropy(logits, labels, pos_weight)


def regression_loss(
    regression: Regression, logits: Tensor, labels: Tensor, known: Tensor | None = None
) -> Tensor:
    """Compute the loss of numbers, ``[batch, target]``, in float32 and standard deviations.

    Parameters
    ----------
    regression
        Means and deviations, and which loss.
    logits, labels, known
        As `training_loss` takes them; labels in their units.
    """
    mean, deviation = (
        # Filled there: copying them to a GPU in each step would be waiting for it.
        torch.stack(
            [torch.full((), value, dtype=torch.float32, device=logits.device) for value in values]
        )
        for values in (regression.mean, regression.deviation)
    )
    standardized = (labels.float() - mean) / deviation
    loss = functional.huber_loss if regression.loss == HUBER else functional.mse_loss
    each = loss(logits.float(), standardized, reduction="none")
    return each.mean() if known is None else _mean_of_known(each, known)


def _mean_of_known(each: Tensor, known: Tensor) -> Tensor:
    total = torch.where(known, each, torch.zeros_like(each)).sum()
    return total / known.sum().clamp(min=1)


def weighted_cross_entropy(logits: Tensor, labels: Tensor, pos_weight: Tensor) -> Tensor:
    """Binary cross entropy of ``[batch, label]``, positives weighted, mean over elements.

    It is computed in float32 whatever the precision of the logits.
    """
    return functional.binary_cross_entropy_with_logits(
        logits.float(), labels.float(), pos_weight=pos_weight.float()
    )
