"""Weights put into a model: compared by name and shape before anything is allocated.

What a configuration asks for is built on torch's meta device, whose tensors have shapes and no
memory, and only as far as the weights reach. A folder's weights tell theirs in their header.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ecg_assets.errors import CheckpointError
from ecg_assets.models.checkpoint_folder import WEIGHTS, require_readable_size
from ecg_assets.preprocess.signal_spec import SignalSpec

Model = TypeVar("Model", bound=nn.Module)

_CALLS = (2000, 20)
"""Tensors made while a model is built and run: so many, and for each weight so many more."""

_ELEMENTS = 1 << 28
"""Of a tensor that is no weight, 1 GiB: what one segment becomes on its way through a model."""


def load_weights(build: Callable[[], Model], weights: Mapping[str, Tensor], *, where: str) -> Model:
    """Build a model of weights, in evaluation mode; every one must be there and fit.

    Parameters
    ----------
    build
        Makes the model of its configuration.
    weights
        By name.
    where
        The checkpoint, for errors.

    Raises
    ------
    CheckpointError
        When they do not fit, which is found before the model is built, or are not finite.
    """
    require_fit(build, weights, where=where)
    return _fill(build(), weights, where)


def load_folder_weights(
    build: Callable[[], Model], folder: Path, spec: SignalSpec | None = None
) -> Model:
    """Build a model of a checkpoint folder's weights, as `load_weights`.

    `spec` is what the model reads: it must be able to read a segment of it.
    """
    where = str(folder)
    require_fit(build, read_weight_shapes(folder), where=where, spec=spec)
    return _fill(build(), read_weights(folder), where)


def require_fit(
    build: Callable[[], nn.Module],
    weights: Mapping[str, Tensor],
    *,
    where: str,
    spec: SignalSpec | None = None,
) -> None:
    """Raise `CheckpointError` unless weights are those of a model, without building it.

    Parameters
    ----------
    build
        Makes the model of its configuration.
    weights
        By name; their shapes alone are looked at.
    where
        The checkpoint, for errors.
    spec
        What the model reads, where that is to be tried.
    """
    with without_memory(len(weights), where=where):
        # A tensor of `torch.FloatTensor` is made with memory all the same.
        model = _fill_by_name(build().to("meta"), as_shapes(weights), where)
        if spec is not None:
            _run_by_shape(model, spec)


def _run_by_shape(model: Any, spec: SignalSpec) -> None:
    try:
        model(torch.zeros(1, model.config.n_channels, spec.segment_samples))
    except (NotImplementedError, RuntimeError, TypeError) as error:
        # A model of another package may look at values, which a tensor without memory has not.
        if "meta" not in str(error):
            raise


@contextmanager
def without_memory(n_weights: int, *, where: str) -> Iterator[None]:
    """Build, load and run models in this block by shape alone, within the bounds of the weights.

    Raises
    ------
    CheckpointError
        When the configuration asks for more, or cannot be built.
    """
    try:
        with torch.device("meta"), _Bounds(n_weights), torch.no_grad():
            yield
    except CheckpointError:
        raise
    except Exception as error:  # A damaged configuration raises nearly anything.
        reason = f"{type(error).__name__}: {error}"[:500]
        raise CheckpointError(
            f"Checkpoint {where}: no model of its weights can be built as its configuration says "
            f"({reason}). Get the original, or train or import it again."
        ) from error


class _Bounds(TorchFunctionMode):
    """Ends what makes more or larger tensors than a model of so many weights needs."""

    def __init__(self, n_weights: int) -> None:
        super().__init__()
        self._n_left = _CALLS[0] + _CALLS[1] * n_weights

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call it, and look at the tensor that it gives."""
        found = func(*args, **(kwargs or {}))
        if isinstance(found, Tensor):
            self._n_left -= 1
            if self._n_left < 0 or found.numel() > _ELEMENTS:
                asked = "too many layers" if self._n_left < 0 else f"{list(found.shape)} numbers"
                raise ValueError(f"it asks for {asked}, which its weights do not have")
        return found


def as_shapes(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give tensors of the same shapes without memory."""
    return {name: torch.empty(value.shape, device="meta") for name, value in weights.items()}


def read_weight_shapes(folder: Path) -> dict[str, Tensor]:
    """Read the header of a checkpoint folder's weights: tensors without memory, by name."""
    path = folder / WEIGHTS
    require_readable_size(path)
    try:
        with safe_open(path, framework="pt") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    except (SafetensorError, OSError, RuntimeError) as error:
        raise _unreadable(folder, error) from error


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Read a checkpoint folder's weights by name."""
    require_readable_size(folder / WEIGHTS)
    try:
        weights: dict[str, Tensor] = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise _unreadable(folder, error) from error
    return weights


def _unreadable(folder: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"Checkpoint {folder}: cannot read {WEIGHTS} ({error}). "
        "Remove the folder and train or import it again."
    )


def _fill(model: Model, weights: Mapping[str, Tensor], where: str) -> Model:
    _fill_by_name(model, weights, where)
    require_finite(model, where=where)
    return model


def _fill_by_name(model: Model, weights: Mapping[str, Tensor], where: str) -> Model:
    try:
        model.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"Checkpoint {where}: the weights do not fit its configuration: {error}. "
            "Get the original, or train or import it again."
        ) from error
    return model.eval()


def require_finite(model: nn.Module, *, where: str) -> None:
    """Raise `CheckpointError` with the name of a weight that holds NaN or infinity."""
    for name, value in model.state_dict().items():
        if not value.isfinite().all():
            n_bad = int((~value.isfinite()).sum())
            raise CheckpointError(
                f"Checkpoint {where}: {n_bad} of the {value.numel()} numbers of {name} are not "
                "finite (NaN or infinite), so that it has no probabilities. Its training "
                "diverged, or the file is damaged; train it again, or get the original."
            )
