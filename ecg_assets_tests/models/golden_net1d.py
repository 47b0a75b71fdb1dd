"""Small models of ECGFounder's architecture: random ones, and the reference data's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecg_assets.models.ecg_founder.net1d import (
    EcgFounder,
    Net1D,
    Net1DConfig,
    net1d_config,
    net1d_config_of,
)

_FIELDS = ("base_filters", "filter_list", "m_blocks_list", "kernel_size", "stride", "groups_width")


def tiny_founder(n_channels: int = 1, n_labels: int = 2, seed: int = 0) -> EcgFounder:
    """Build a random model whose scores spread, in evaluation mode."""
    torch.manual_seed(seed)
    model = EcgFounder(net1d_config("tiny", n_channels=n_channels, n_labels=n_labels)).eval()
    torch.nn.init.normal_(model.dense.weight, std=2.0)
    return model


def write_founder(path: Path, model: EcgFounder, **others: Any) -> Path:
    """Write a model as ECGFounder's training does, with whatever else the file holds."""
    torch.save({"epoch": 3, "step": 7, "state_dict": model.state_dict(), **others}, path)
    return path


def golden_folder(reference_data: Path) -> Path:
    """Folder of what ECGFounder's own Net1D gave."""
    return reference_data / "ecgfounder_golden"


def golden_config(shape: dict[str, Any], n_channels: int, n_labels: int = 150) -> Net1DConfig:
    """Turn the arguments of its constructor into a configuration."""
    fields = {name: shape[name] for name in _FIELDS}
    return net1d_config_of(fields, n_channels=n_channels, n_labels=n_labels)


def fill_as_stated(model: Net1D, seed: int) -> None:
    """Fill a model from the generator that published_size_recipe.json states."""
    random = np.random.RandomState(seed)
    state: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
            continue
        drawn: NDArray[np.floating[Any]] = random.standard_normal(tuple(value.shape))
        drawn = drawn.astype(np.float32)
        if drawn.ndim >= 2:
            drawn = drawn / np.sqrt(np.prod(drawn.shape[1:]))
        elif name.endswith("running_var"):
            drawn = 0.5 + np.abs(drawn)
        elif any(part in name for part in (".bn1.", ".bn2.", ".bn3.", "first_bn.")):
            drawn = 1 + 0.5 * drawn
        else:
            drawn = 0.1 * drawn
        state[name] = torch.from_numpy(drawn.astype(np.float32))
    model.load_state_dict(state)


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
