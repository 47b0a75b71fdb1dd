"""The configuration of a model that turns signals into tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

Config = TypeVar("Config")


def token_config(
    config_class: type[Config],
    values: Mapping[str, Any],
    *,
    n_channels: int,
    n_labels: int | None,
) -> Config:
    """Build a family's configuration.

    Parameters
    ----------
    config_class
        Its class, one of transformers'.
    values
        Its shape, and what all of the family have in common.
    n_channels
        Leads that the first convolution sees.
    n_labels
        Outputs of the classification head; None for an encoder without one.
    """
    if n_channels < 1 or (n_labels is not None and n_labels < 1):
        raise ValueError(
            f"n_channels is {n_channels} and n_labels is {n_labels}; both must be 1 or more."
        )
    head = {} if n_labels is None else {"num_labels": n_labels}
    return config_class(**{**values, "n_channels": n_channels, **head})
