"""The configuration of a model, of a size or any shape."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

from ecg_assets.errors import CheckpointError

Config = TypeVar("Config")


def find_size(sizes: Mapping[str, Mapping[str, Any]], size: str) -> Mapping[str, Any]:
    """Find the architecture of a size; raise `ValueError` with the sizes that there are.

    >>> find_size({"tiny": {"hidden_size": 8}}, "tiny")["hidden_size"]
    8
    """
    if size not in sizes:
        raise ValueError(f"size is {size!r}; allowed: {tuple(sizes)}.")
    return sizes[size]


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


# The convolutions that a fairseq-signals configuration states, as plain numbers.


ConvLayers: TypeAlias = tuple[tuple[int, int, int], ...]


def parse_conv_layers(text: str) -> ConvLayers:
    """Read ``conv_feature_layers``: (channels, kernel, stride) of each convolution.

    Lists, their sums and their multiples are understood; nothing is executed.

    >>> parse_conv_layers("[(512, 10, 5)] + [(256, 2, 2)] * 2")
    ((512, 10, 5), (256, 2, 2), (256, 2, 2))
    """
    try:
        layers = _evaluate(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"conv_feature_layers is {text!r}; expected a list of (channels, kernel, stride) "
            f"like '[(256, 2, 2)] * 4' ({error})."
        ) from error
    if not layers or any(len(layer) != 3 or min(layer) < 1 for layer in layers):
        raise CheckpointError(
            f"conv_feature_layers is {text!r}; expected three numbers of 1 or more a layer."
        )
    return tuple((layer[0], layer[1], layer[2]) for layer in layers)


def _evaluate(node: ast.expr) -> list[tuple[int, ...]]:
    if isinstance(node, ast.List):
        return [_numbers(ast.literal_eval(element)) for element in node.elts]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _evaluate(node.left) + _evaluate(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        times = ast.literal_eval(node.right)
        if type(times) is int and 0 < times <= 100:
            return _evaluate(node.left) * times
    raise ValueError(f"{ast.unparse(node)} is no list, sum or multiple of lists")


def _numbers(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple | list) or any(type(number) is not int for number in value):
        raise ValueError(f"{value!r} is no tuple of whole numbers")
    return tuple(value)
