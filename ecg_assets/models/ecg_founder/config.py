"""Sizes and settings of ECGFounder's Net1D as a transformers configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import PretrainedConfig

from ecg_assets.models.ecg_founder.sizes import SIZES


class Net1DConfig(PretrainedConfig):  # type: ignore[misc]
    """Net1D: a stem and stages of bottleneck blocks with grouped convolutions.

    The names are those of ECGFounder's constructor; `n_channels` is its ``in_channels``,
    `num_labels` its ``n_classes``.

    Attributes
    ----------
    n_channels
        Leads that the first convolution reads.
    base_filters
        Features of the stem.
    ratio
        Width of a block's middle, as a share of its output's.
    filter_list, m_blocks_list
        Features and blocks of each stage; its first block halves the length.
    kernel_size, stride
        Of the stem, and of the grouped convolution in each block (`stride` in a stage's
        first block, 1 in the others).
    groups_width
        Features in a group of the grouped convolutions.
    """

    model_type = "ecg-founder"
    n_channels: int = 12
    base_filters: int = 64
    ratio: float = 1.0
    filter_list: list[int] | tuple[int, ...] = (64, 160, 160, 400, 400, 1024, 1024)
    m_blocks_list: list[int] | tuple[int, ...] = (2, 2, 2, 3, 3, 4, 4)
    kernel_size: int = 16
    stride: int = 2
    groups_width: int = 16

    @property
    def hidden_size(self) -> int:
        """Features of a segment, which the last layer reads."""
        return int(self.filter_list[-1])


def net1d_config(size: str, *, n_channels: int, n_labels: int) -> Net1DConfig:
    """Build the configuration of a size.

    Parameters
    ----------
    size
        ``tiny`` or ``base``.
    n_channels
        Leads that the first convolution reads.
    n_labels
        Outputs of the last layer.

    >>> net1d_config("base", n_channels=12, n_labels=150).hidden_size
    1024
    """
    if size not in SIZES:
        raise ValueError(f"size is {size!r}; allowed: {tuple(SIZES)}.")
    return net1d_config_of(SIZES[size], n_channels=n_channels, n_labels=n_labels)


def net1d_config_of(shape: Mapping[str, Any], *, n_channels: int, n_labels: int) -> Net1DConfig:
    """Build the configuration of any shape.

    Parameters
    ----------
    shape
        The fields of an entry of `SIZES`, and others of `Net1DConfig` where they differ.
    n_channels, n_labels
        As `net1d_config` takes them.
    """
    if n_channels < 1 or n_labels < 1:
        raise ValueError(
            f"n_channels is {n_channels} and n_labels is {n_labels}; both must be 1 or more."
        )
    if len(shape["filter_list"]) != len(shape["m_blocks_list"]):
        raise ValueError(
            f"filter_list {shape['filter_list']} and m_blocks_list {shape['m_blocks_list']} must "
            "have an entry for each stage."
        )
    values = {"ratio": 1.0, "kernel_size": 16, "stride": 2, "groups_width": 16, **shape}
    return Net1DConfig(**values, n_channels=n_channels, num_labels=n_labels)
