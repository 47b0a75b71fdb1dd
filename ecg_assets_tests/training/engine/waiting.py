"""Counts the operations by which a program waits for a GPU's answer; it works on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ecg_assets.training.engine.training import EpochTrainer

_ASKING = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "is_nonzero"}


class CountedWaits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the values that are asked of tensors: `Tensor.item`, and indexing by a mask."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.n_waits = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        name = func.overloadpacket.__name__
        by_mask = name in {"index", "index_put", "index_put_"} and any(
            isinstance(item, Tensor) and item.dtype == torch.bool for item in args[1]
        )
        self.n_waits += name in _ASKING or by_mask
        return func(*args, **(kwargs or {}))


class CountedCopies(TorchFunctionMode):
    """Counts the tensors that a program makes of its values on another device than a CPU.

    On a GPU each is a copy that waits for all that was asked of it before.
    """

    def __init__(self) -> None:
        super().__init__()
        self.n_copies = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        found = func(*args, **(kwargs or {}))
        if func in {torch.tensor, torch.as_tensor, Tensor.new_tensor}:
            self.n_copies += found.device.type != "cpu"
        return found


class _AtStep(TrainerCallback):  # type: ignore[misc]
    def __init__(self, mode: CountedWaits, counts: dict[int, int]) -> None:
        self._mode, self._counts = mode, counts

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._counts[state.global_step] = self._mode.n_waits


@contextmanager
def counted_waits(patch: Any) -> Iterator[dict[int, int]]:
    """Count what a training asks of tensors up to the end of each of its steps."""
    mode, counts = CountedWaits(), dict[int, int]()
    train = EpochTrainer.train

    def train_counted(trainer: EpochTrainer, *rest: Any, **named: Any) -> object:
        trainer.add_callback(_AtStep(mode, counts))
        with mode:
            return train(trainer, *rest, **named)

    patch.setattr(EpochTrainer, "train", train_counted)
    yield counts
