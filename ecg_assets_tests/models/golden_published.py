"""What the golden folders of published models have in common: filled weights, three steps."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import wfdb
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ecg_assets.models.families import FAMILIES
from ecg_assets.models.published_file import read_published_file
from ecg_assets.preprocess import STANDARD_LEADS, SignalSpec, segment
from ecg_assets.preprocess.model_input import prepare


def read_golden_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def golden_tensor(path: Path) -> Tensor:
    """Read an array."""
    return torch.from_numpy(np.load(path))


def assert_same(found: Tensor, path: Path, *, tolerance: float = 1e-5) -> None:
    """Compare with a stored array, up to a share of its largest value."""
    expected: NDArray[np.float32] = np.load(path)
    assert np.ptp(expected) > 0
    limit = tolerance * float(np.abs(expected).max())
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=0, atol=limit)


def golden_segments(folder: Path, spec: SignalSpec) -> NDArray[np.float32]:
    """Read the recordings of preprocess_records.json and prepare them as a spec says.

    Returns ``(record, segment, row, sample)``.
    """
    records = read_golden_json(folder / "preprocess_records.json")["records"]
    real = folder.parent / "real_ecg" / "physionet2021"
    signals = np.stack([wfdb.rdrecord(str(real / name)).p_signal.T for name in records])
    chosen = signals[:, [STANDARD_LEADS.index(lead) for lead in spec.leads]]
    return segment(prepare(chosen.astype(np.float64), 500, spec), spec)


def filled_weights(
    shapes: Mapping[str, list[int]], recipe: Mapping[str, Any], *, norms: str = ""
) -> dict[str, Tensor]:
    """Draw weights as published_size_recipe.json says; what it leaves as constructed is not there.

    Parameters
    ----------
    shapes
        Of each weight, in order.
    recipe
        Its content: a seed, and the names of norm layers as a regular expression in a rule.
    norms
        The expression, where the rule refers to a list of names.
    """
    random = np.random.RandomState(recipe["weight_seed"])
    rules = [rule for rule in recipe["rules"] if rule.startswith("names matching /")]
    (norm,) = (re.search("/(.+)/", rule) for rule in rules)
    assert norm is not None
    norms = norms or norm[1]
    filled: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        if any(re.search(pattern, name) for pattern in recipe["left_as_constructed"]):
            continue
        if name.endswith("num_batches_tracked"):
            filled[name] = torch.tensor(7)
            continue
        drawn: NDArray[np.floating[Any]] = np.asarray(random.standard_normal(shape), np.float32)
        if name.endswith("running_var"):
            drawn = 0.5 + np.abs(drawn)
        elif re.search(norms, name) and not name.endswith(("bias", "running_mean")):
            drawn = 1 + 0.5 * drawn
        elif drawn.ndim >= 2 and not re.search(norms, name):
            drawn = drawn / np.sqrt(np.prod(drawn.shape[1:]))
        else:
            drawn = 0.1 * drawn
        filled[name] = torch.from_numpy(np.asarray(drawn, np.float32))
    return filled


def stated_input(recipe: Mapping[str, Any]) -> Tensor:
    """Draw the input that published_size_recipe.json states."""
    random = np.random.RandomState(recipe["input_seed"])
    return torch.from_numpy(random.standard_normal(recipe["input_shape"]).astype(np.float32))


def without_dropout(model: nn.Module) -> nn.Module:
    """Set every dropout of a model to 0, in place."""
    for module in model.modules():
        for name in ("dropout", "p"):  # attention keeps its own as a number
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model


def require_same_training(
    model: nn.Module,
    signal: Tensor,
    folder: Path,
    logits: Callable[[Tensor], Tensor],
    *,
    tolerance: float = 1e-4,
) -> None:
    """Take three steps of Adam; compare losses, gradients and what the model gives afterwards.

    Parameters
    ----------
    model
        With every dropout 0.
    signal
        Its input.
    folder
        Golden files with train.json.
    logits
        Gives the model's.
    tolerance
        Of losses and gradient norms, relative.
    """
    stated = read_golden_json(folder / "train.json")
    targets = golden_tensor(folder / "train_targets.npy")
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=1e-3)
    losses, norms = [], []
    model.train()
    for step in range(4):
        loss = functional.binary_cross_entropy_with_logits(logits(signal), targets.float())
        losses.append(loss.item())
        if step < 3:
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            norms.append(
                float(nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None]))
            )
            optimizer.step()
    np.testing.assert_allclose(
        losses, stated["losses_before_steps_1_2_3_and_after_3"], rtol=tolerance
    )
    np.testing.assert_allclose(norms, stated["gradient_norms"], rtol=tolerance)
    with torch.inference_mode():
        found = logits(signal) if not model.eval().training else None
    assert found is not None
    assert_same(found, folder / "train_logits_after_3_steps.npy", tolerance=1e-3)


def families_that_recognize(path: Path) -> list[str]:
    """Name the families that take a file for theirs; it must be one at most."""
    content = read_published_file(path)
    return [name for name, family in FAMILIES.items() if family.recognizes(content)]
