"""Make torch compute the same numbers each time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ecg_assets.models.device import choose_device


@contextmanager
def deterministic(device: str) -> Iterator[None]:
    """Use deterministic algorithms on a CPU inside the block; leave a GPU as it is.

    On a GPU they would slow attention's backward pass down, and some have none.
    """
    if choose_device(device).type != "cpu":
        yield
        return
    algorithms = torch.are_deterministic_algorithms_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True)
    # Filling fresh memory with NaN finds bugs, and costs time in each operation.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(algorithms)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
