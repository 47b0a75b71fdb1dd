"""When a training's model is compiled by torch.compile, and for which batches."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ecg_assets.training.engine.request import TrainingRequest
from ecg_assets.training.engine.run import Report

SAVED_SHARE = 0.13
"""Share of a step that compiling saves: ECG-FM's on an H200 (75.5 ms eager, 65.7 ms compiled);
ECGFounder's was 0.28."""
COST_S = 60.0
"""Seconds that compiling costs; on an H200 ECGFounder's training alone took 44."""
_WARM_UP, _TIMED = 3, 10
"""Steps before the clock starts, and under it."""


class Compilation(TrainerCallback):  # type: ignore[misc]
    """Compiles a model at once, or after some steps when the ones that are left repay it.

    ``auto`` times eager steps on a GPU, and `decide` says whether. Each graph has one shape:
    batches of another size than the first, which are the last ones of an epoch, run eagerly. So
    there is one graph of training and one of evaluation. What was compiled is kept below the
    request's cache folder for the next training, unless TORCHINDUCTOR_CACHE_DIR is set.

    Parameters
    ----------
    request
        Its `compile` says whether.
    compile_model
        Compiles the model, each graph when it is first called.
    report
        Is told the decision, with what it was made of, and how long the first step took then.
    """

    def __init__(
        self, request: TrainingRequest, compile_model: Callable[[], object], report: Report
    ) -> None:
        self._request = request
        self._compile_model = compile_model
        self._report = report
        self._n_steps = 0
        self._started = 0.0
        self._compiling_since: float | None = None
        self._sizes: dict[str, int] = {}
        self.is_on = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Compile at once, where that is asked for."""
        if self._request.compile == "on":
            self._start({"reason": "compile is on"})

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Time some eager steps on a GPU, then decide; it waits for the GPU twice in a training."""
        if self._compiling_since is not None:
            seconds = time.monotonic() - self._compiling_since
            self._report({"event": "compiled", "first_step_s": seconds})
            self._compiling_since = None
        if self._request.compile != "auto" or args.device.type != "cuda":
            return
        self._n_steps += 1
        if self._n_steps == _WARM_UP:
            torch.cuda.synchronize()
            self._started = time.monotonic()
        elif self._n_steps == _WARM_UP + _TIMED:
            torch.cuda.synchronize()
            step_s = (time.monotonic() - self._started) / _TIMED
            self.decide(step_s, state.max_steps - state.global_step)

    def decide(self, step_s: float, steps_left: int) -> None:
        """Compile when the steps that are left repay it; say so either way."""
        saved_s = steps_left * step_s * SAVED_SHARE
        reason = {"eager_step_s": step_s, "steps_left": steps_left, "saves_s": saved_s}
        if saved_s > COST_S:
            self._start({**reason, "costs_s": COST_S})
        else:
            self._report({"event": "compile", "compiles": "no", **reason, "costs_s": COST_S})

    def _start(self, reason: dict[str, Any]) -> None:
        cache = str(self._request.cache_folder / "torch_compile")
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", cache)
        self._compile_model()
        self.is_on, self._compiling_since = True, time.monotonic()
        self._report({"event": "compile", "compiles": "yes", **reason})

    def of_whole_batches(
        self, inputs: dict[str, Tensor], kind: str
    ) -> AbstractContextManager[object]:
        """Run a batch eagerly in the block when it has another size than the first of its kind."""
        size = len(next(iter(inputs.values())))
        if size == self._sizes.setdefault(kind, size) or not self.is_on:
            return nullcontext()
        stance: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
        return stance
