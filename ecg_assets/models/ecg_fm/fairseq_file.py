"""The content of a checkpoint file of fairseq-signals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ecg_assets.errors import CheckpointError
from ecg_assets.models.torch_file import read_torch_file


@dataclass(frozen=True, eq=False)
class FairseqFile:
    """The content of a .pt file that fairseq-signals' trainer wrote.

    Attributes
    ----------
    path
        Where it was read.
    cfg
        Its configuration: sections ``model``, ``task``, ``criterion``, …
    model
        Weights by fairseq-signals' names; they stay on disk until they are used.
    optimizer_history
        One entry a training run: criterion, optimizer, schedule, number of updates.
    task_state, extra_state
        State of the task; position in the data, validation loss and meters.
    """

    path: Path
    cfg: dict[str, Any]
    model: dict[str, Tensor]
    optimizer_history: list[dict[str, Any]]
    task_state: dict[str, Any]
    extra_state: dict[str, Any]

    @property
    def is_finetuned(self) -> bool:
        """Whether it is a classifier; otherwise it is a pre-training model."""
        return any(name.startswith(("encoder.encoder.", "proj.")) for name in self.model)


def read_fairseq(path: Path) -> FairseqFile:
    """Read a checkpoint file; no code in it is run, whoever made it.

    Raises
    ------
    UnsafeCheckpoint
        When the file asks for anything but tensors, plain values and numpy numbers; the
        message names what it asks for.
    CheckpointError
        When the file is missing, cut off, or no checkpoint of fairseq-signals.
    """
    return fairseq_file(read_torch_file(path), path)


def is_fairseq(content: object) -> bool:
    """Tell whether the content of a file of torch.save is laid out by fairseq-signals.

    A fork of it writes conformers in the same layout, which are no ECG-FM.
    """
    if not isinstance(content, dict) or not {"cfg", "model"} <= set(content):
        return False
    weights = content["model"] if isinstance(content["model"], dict) else {}
    return not any(".conv_module." in str(name) for name in weights)


def fairseq_file(content: Any, path: Path) -> FairseqFile:
    """Take apart the content of the file at `path`."""
    _require_layout(content, path)
    return FairseqFile(
        path=path,
        cfg=content["cfg"],
        model=dict(content["model"]),
        optimizer_history=list(content.get("optimizer_history") or []),
        task_state=dict(content.get("task_state") or {}),
        extra_state=dict(content.get("extra_state") or {}),
    )


def _require_layout(content: Any, path: Path) -> None:
    found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
    sections = content.get("cfg") if isinstance(content, dict) else None
    weights = content.get("model") if isinstance(content, dict) else None
    is_configured = isinstance(sections, dict) and isinstance(sections.get("model"), dict)
    is_weights = isinstance(weights, dict) and all(isinstance(v, Tensor) for v in weights.values())
    if not is_configured or not is_weights or not weights:
        raise CheckpointError(
            f"{path} is no checkpoint of fairseq-signals: expected a dict with 'cfg' (which has "
            f"a section 'model') and 'model' (weights by name), found {found}. Give the file "
            "that its trainer wrote."
        )
