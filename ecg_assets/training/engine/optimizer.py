"""fairseq's Adam, by torch's."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import torch


class FairseqAdam(torch.optim.AdamW):
    """Adam whose ε is not corrected for bias, which ECG-FM and ECG-LFM were trained with.

    A step is ``lr · √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)`` after a decay of ``lr · weight_decay``
    (https://github.com/facebookresearch/fairseq, ``fairseq/optim/adam.py``). torch's AdamW has
    ``ε · √(1 − β₂ᵗ)`` there: with ``ε / √(1 − β₂ᵗ)`` in step t it is the same.
    """

    def __init__(self, params: Any, **values: Any) -> None:
        super().__init__(params, fused=True, **values)
        for group in self.param_groups:
            # Of each weight: some may be trained later than others. Stored with the group.
            group["n_steps"] = [0] * len(group["params"])

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Change the weights that have a gradient."""
        groups = self.param_groups
        self.param_groups = [part for group in groups for part in _by_step(group)]
        try:
            loss: float | None = super().step(closure)
        finally:
            self.param_groups = groups
        return loss


def _by_step(group: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Count a step of a group's weights; give those that have had equally many with their ε."""
    parts: dict[int, list[torch.nn.Parameter]] = defaultdict(list)
    for position, parameter in enumerate(group["params"]):
        if parameter.grad is not None:
            group["n_steps"][position] += 1
            parts[group["n_steps"][position]].append(parameter)
    for number, parameters in parts.items():
        correction = 1 - group["betas"][1] ** number
        yield {**group, "params": parameters, "eps": group["eps"] / math.sqrt(correction)}
