"""The weights of a checkpoint file of ECGFounder, and the architecture that their shapes tell."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ecg_assets.errors import CheckpointError
from ecg_assets.models.ecg_founder.config import Net1DConfig, net1d_config_of
from ecg_assets.models.torch_file import read_torch_file

ASSUMED = (
    "the first block of each stage halves the length, and batch norms do not run, as in all "
    "published ECGFounder models",
)
"""What no weight tells."""

_FIRST = "first_conv.conv.weight"
_HEAD = ("dense.weight", "dense.bias")
_BLOCK = re.compile(r"stage_list\.(\d+)\.block_list\.(\d+)\.")


@dataclass(frozen=True, eq=False)
class EcgFounderFile:
    """What is read of a file; its optimizer, schedule and scores are left alone.

    Attributes
    ----------
    path
        Where it was read.
    config
        Its architecture.
    weights
        By name, float32 but for the counters of batch norms.
    """

    path: Path
    config: Net1DConfig
    weights: dict[str, Tensor]


def is_ecg_founder(content: object) -> bool:
    """Tell whether the content of a file of torch.save is a Net1D."""
    return _find_weights(content) is not None


def read_ecg_founder(path: Path) -> EcgFounderFile:
    """Read ``12_lead_ECGFounder.pth``, ``1_lead_ECGFounder.pth`` or a model fine-tuned from one.

    No code in it is run. The weights stand under ``state_dict``, under ``model_state_dict``, or
    are all that the file holds.

    Raises
    ------
    UnsafeCheckpoint
        When the file would run code; the message names it.
    CheckpointError
        When the file is missing, damaged, or no Net1D.
    """
    return ecg_founder_file(read_torch_file(path), path)


def ecg_founder_file(content: object, path: Path) -> EcgFounderFile:
    """Take weights and architecture from the content of the file at `path`."""
    weights = _find_weights(content)
    if weights is None:
        found = sorted(map(str, content))[:8] if isinstance(content, dict) else type(content)
        raise CheckpointError(
            f"{path} is no checkpoint of ECGFounder: expected weights with {_FIRST} under "
            f"'state_dict', found {found}. Give 12_lead_ECGFounder.pth, 1_lead_ECGFounder.pth or "
            "a file fine-tuned from one."
        )
    lacking = [name for name in _HEAD if name not in weights]
    if lacking:
        raise CheckpointError(
            f"{path} lacks {', '.join(lacking)}, the last layer of ECGFounder. Give the file as "
            "the training wrote it; fine-tuning replaces the last layer by itself."
        )
    try:
        config = _read_config(weights)
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"{path} has weights like ECGFounder's, but not in the shapes of a Net1D "
            f"({type(error).__name__}: {error}). Get the original file."
        ) from error
    floats = {
        name: value.float() if value.is_floating_point() else value
        for name, value in weights.items()
    }
    return EcgFounderFile(path, config, floats)


def keep_outputs(file: EcgFounderFile, outputs: Sequence[int]) -> EcgFounderFile:
    """Keep some outputs of the last layer, in this order."""
    config = copy.deepcopy(file.config)
    config.num_labels = len(outputs)
    kept = {name: file.weights[name][list(outputs)] for name in _HEAD}
    return EcgFounderFile(file.path, config, file.weights | kept)


def _find_weights(content: object) -> dict[str, Tensor] | None:
    if not isinstance(content, Mapping):
        return None
    for place in (content.get("state_dict"), content.get("model_state_dict"), content):
        if isinstance(place, Mapping) and _FIRST in place:
            is_whole = all(isinstance(value, Tensor) for value in place.values())
            return dict(place) if is_whole else None
    return None


def _read_config(weights: Mapping[str, Tensor]) -> Net1DConfig:
    """Read the architecture off the shapes; loading the weights then checks every one."""
    base_filters, n_channels, kernel = weights[_FIRST].shape
    places = [match.groups() for match in map(_BLOCK.match, weights) if match]
    blocks = sorted({(int(stage), int(block)) for stage, block in places})
    n_stages = 1 + max(stage for stage, _ in blocks)
    widths = [_shape(weights, stage, "conv3")[0] for stage in range(n_stages)]
    shape: dict[str, Any] = {
        "base_filters": base_filters,
        "filter_list": tuple(widths),
        "m_blocks_list": tuple(sum(s == stage for s, _ in blocks) for stage in range(n_stages)),
        "kernel_size": kernel,
        "groups_width": _shape(weights, 0, "conv2")[1],
        "ratio": _shape(weights, 0, "conv1")[0] / widths[0],
    }
    return net1d_config_of(shape, n_channels=n_channels, n_labels=len(weights[_HEAD[1]]))


def _shape(weights: Mapping[str, Tensor], stage: int, layer: str) -> tuple[int, int, int]:
    """Shape of a convolution of a stage's first block: features out, in (of a group), kernel."""
    out, of_group, kernel = weights[f"stage_list.{stage}.block_list.0.{layer}.conv.weight"].shape
    return out, of_group, kernel
