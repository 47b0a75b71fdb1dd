"""Fold the first convolution over one lead repeated N times into one input channel, and back.

With N equal channels a convolution equals one channel with the summed weights. It saves
bytes (a batch is N times smaller), hardly any arithmetic. Exact only while the
convolutions are frozen: N tied channels each take Adam's full step, so a folded weight
under training would move N times as little.
"""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor, nn

from ecg_assets.models.classifier import EcgClassifier

Model = TypeVar("Model", bound=EcgClassifier)


def fold_lead_one(model: Model) -> Model:
    """Make a model that reads one lead repeated N times read that lead once, in place.

    Parameters
    ----------
    model
        ECG-FM that reads N channels; every other weight stays as it is.

    Returns
    -------
    EcgClassifier
        The same object: 1 channel, `config.folded_from` = N. Its outputs equal the
        former ones on N equal channels to float32 rounding.
    """
    n_channels = model.config.n_channels
    if n_channels == 1:
        raise ValueError("The model reads 1 channel already; there is nothing to fold.")
    weight = _first(model).weight.detach()
    # Summed in float64, then rounded once.
    _replace(model, weight.double().sum(dim=1, keepdim=True).to(weight.dtype))
    model.config.folded_from = n_channels
    return model


def unfold_lead_one(model: Model, n_channels: int = 12) -> Model:
    """Make a 1-channel model read the same lead `n_channels` times, in place.

    Each channel gets an equal share of the weight: folding again gives the same weight
    to rounding, but not the weights that the model had before it was folded.
    """
    if model.config.n_channels != 1:
        raise ValueError(
            f"The model reads {model.config.n_channels} channels; only 1 can be unfolded."
        )
    if n_channels < 2:
        raise ValueError(f"n_channels is {n_channels}; it must be 2 or more.")
    _replace(model, unfold_weight(_first(model).weight.detach(), n_channels))
    model.config.folded_from = 0
    return model


def unfold_weight(weight: Tensor, n_channels: int) -> Tensor:
    """Share a weight ``[feature, 1, kernel]`` out to ``[feature, n_channels, kernel]``."""
    share = (weight.double() / n_channels).to(weight.dtype)
    return share.repeat(1, n_channels, 1)


def _first(model: EcgClassifier) -> nn.Conv1d:
    layer: nn.Conv1d = model.encoder.feature_extractor.conv_layers[0].conv
    return layer


def _replace(model: EcgClassifier, weight: Tensor) -> None:
    """Give the first convolution another weight ``[feature, channel, kernel]``."""
    layer = _first(model)
    layer.weight = nn.Parameter(weight.contiguous(), requires_grad=layer.weight.requires_grad)
    layer.in_channels = weight.shape[1]
    model.config.n_channels = weight.shape[1]
