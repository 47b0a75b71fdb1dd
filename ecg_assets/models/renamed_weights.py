"""Weights of a published file under the names that they have here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from torch import Tensor

from ecg_assets.models.fairseq_weights import MappedWeights

NEVER = re.compile(r"(?!)")
"""Matches no name."""


def rename_weights(
    state: Mapping[str, Tensor],
    rename: Callable[[str], str],
    *,
    dropped: re.Pattern[str] = NEVER,
    unused: re.Pattern[str] = NEVER,
) -> MappedWeights:
    """Rename all weights but those that are known to have no use here.

    Whether they are all there, and no others, is found when they are loaded.

    Parameters
    ----------
    state
        Weights by the names of the file.
    rename
        A name of the file → that of this package.
    dropped, unused
        Names of what only pre-training uses, and of what the file carries and nothing uses.
    """
    heads = {name: value for name, value in state.items() if dropped.fullmatch(name)}
    idle = {name: value for name, value in state.items() if unused.fullmatch(name)}
    names = {name: rename(name) for name in state if name not in heads and name not in idle}
    # Counters of batch norms stay whole numbers.
    weights = {
        ours: state[name].float() if state[name].is_floating_point() else state[name]
        for name, ours in names.items()
    }
    return MappedWeights(weights, names, heads, idle)
