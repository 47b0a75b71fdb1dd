"""CLEF: ECGFounder's Net1D over one lead.

Only the sizes differ, and the head, which its authors call ``projection``. With the same weights it
gives the features of https://github.com/Nokia-Bell-Labs/ecg-foundation-model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ecg_assets.models.clef.family import SIZES
from ecg_assets.models.ecg_founder.net1d import EcgFounder, Net1D, Net1DConfig, net1d_config_of
from ecg_assets.models.token_config import find_size
from ecg_assets.models.token_models import TokenOutput


class ClefConfig(Net1DConfig):
    """Net1D as CLEF has it; see `Net1DConfig`."""

    model_type = "clef"
    n_channels: int = 1


def clef_config(size: str, *, n_channels: int, n_labels: int) -> ClefConfig:
    """Build the configuration of a size.

    Parameters
    ----------
    size
        ``tiny``, ``small``, ``medium`` or ``large``.
    n_channels
        Leads that the first convolution reads; the published models read 1.
    n_labels
        Outputs of the last layer.

    >>> clef_config("large", n_channels=1, n_labels=5).hidden_size
    2048
    """
    return clef_config_of(find_size(SIZES, size), n_channels=n_channels, n_labels=n_labels)


def clef_config_of(
    shape: Mapping[str, Any], *, n_channels: int = 1, n_labels: int | None = None
) -> ClefConfig:
    """Build the configuration of any shape; `n_labels` is None for an encoder without a head."""
    checked = net1d_config_of(shape, n_channels=n_channels, n_labels=n_labels or 1)
    head = {} if n_labels is None else {"num_labels": n_labels}
    names = (*shape, "ratio", "kernel_size", "stride", "groups_width")
    return ClefConfig(
        **{name: getattr(checked, name) for name in names}, n_channels=n_channels, **head
    )


class Clef(Net1D):
    """The encoder alone; its weights are those of `ClefForClassification` without the head."""

    config_class = ClefConfig

    def __init__(self, config: ClefConfig) -> None:
        super().__init__(config)
        self.post_init()

    def forward(self, input_values: Tensor, lengths: Tensor | None = None) -> TokenOutput:
        """Compute features of signals ``[batch, 1, sample]``: at each position, and their mean."""
        hidden = self.run_stages(input_values, lengths).transpose(1, 2)
        return TokenOutput(last_hidden_state=hidden, pooled=hidden.mean(dim=1))


class ClefForClassification(EcgFounder):
    """Net1D with a linear layer over the mean of its last features."""

    config_class = ClefConfig
