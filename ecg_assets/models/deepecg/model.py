"""DeepECG-SSL: ECG-FM's classes under a name of their own, which says what signals they read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecg_assets.models.deepecg.family import SIZES
from ecg_assets.models.ecg_fm.config import EcgFmConfig, config_like_ecg_fm
from ecg_assets.models.ecg_fm.model import EcgFm, EcgFmForClassification
from ecg_assets.models.token_config import find_size


class DeepEcgConfig(EcgFmConfig):
    """ECG-FM's architecture; see `EcgFmConfig`."""

    model_type = "deepecg-ssl"


def deepecg_config(size: str, *, n_channels: int, n_labels: int) -> DeepEcgConfig:
    """Build the configuration of a size.

    Parameters
    ----------
    size
        ``tiny`` or ``base``.
    n_channels
        Leads that the first convolution sees.
    n_labels
        Outputs of the classification head.

    >>> deepecg_config("base", n_channels=12, n_labels=77).num_labels
    77
    """
    return deepecg_config_of(find_size(SIZES, size), n_channels=n_channels, n_labels=n_labels)


def deepecg_config_of(
    shape: Mapping[str, Any], *, n_channels: int, n_labels: int | None = None
) -> DeepEcgConfig:
    """Build the configuration of any shape, as `ecg_fm_config_of`."""
    return config_like_ecg_fm(DeepEcgConfig, shape, n_channels=n_channels, n_labels=n_labels)


class DeepEcg(EcgFm):
    """The encoder alone; its weights are those of `DeepEcgForClassification` without the head."""

    config_class = DeepEcgConfig


class DeepEcgForClassification(EcgFmForClassification):
    """Encoder, mean over unpadded tokens, linear head."""

    config_class = DeepEcgConfig
