"""Read a file that a model's authors publish, whatever its form; no code in it is run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from ecg_assets.errors import CheckpointError
from ecg_assets.models.checkpoint_folder import CONFIG, WEIGHTS, require_readable_size
from ecg_assets.models.families import find_family
from ecg_assets.models.torch_file import read_torch_file, without_wrappers

SAFETENSORS = ".safetensors"


def read_published_file(path: Path) -> Any:
    """Read what a file holds.

    Returns
    -------
    Any
        The content of a file of torch.save, as `read_torch_file` gives it. Of a ``.safetensors``
        file, as the hub of Hugging Face has them, its weights by name as ``state_dict`` and the
        config.json beside it as ``config``; {} where there is none.

    Raises
    ------
    UnsafeCheckpoint
        When a file of torch.save would run code.
    CheckpointError
        When the file is missing, damaged, or of another form.
    """
    if path.suffix != SAFETENSORS:
        return read_torch_file(path)
    if not path.is_file():
        raise CheckpointError(f"No checkpoint file at {path}. Check the path.")
    require_readable_size(path)
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read as safetensors ({error}). Copy or download it again."
        ) from error
    return without_wrappers({"state_dict": weights, "config": read_config_beside(path)})


def read_config_beside(path: Path) -> dict[str, Any]:
    """Read the config.json of the folder that a file stands in; {} where there is none."""
    config = path.with_name(CONFIG)
    if not config.is_file():
        return {}
    require_readable_size(config)
    try:
        values = json.loads(config.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{config} is no JSON ({error}). Get the original.") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{config} is no JSON object. Get the original.")
    return values


def find_published_file(folder: Path) -> Path | None:
    """Find the weights of a folder of a model's authors, as on the hub of Hugging Face.

    None for a checkpoint folder of this package: its config.json is of a family of `FAMILIES`.
    """
    path = folder / WEIGHTS
    if not path.is_file() or not path.with_name(CONFIG).is_file():
        return None
    kind = read_config_beside(path).get("model_type")
    return None if find_family(kind) is not None else path
