"""The convolutions that a fairseq-signals configuration states, as plain numbers."""

from __future__ import annotations

import ast
from typing import TypeAlias

from ecg_assets.errors import CheckpointError

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
