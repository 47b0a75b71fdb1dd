"""The content of a checkpoint file of fairseq-signals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ecg_assets.errors import CheckpointError
from ecg_assets.models.ecg_fm.config import EcgFmConfig
from ecg_assets.models.fairseq_weights import (
    HEAD,
    MappedWeights,
    front_names,
    is_classifier,
    sort_weights,
    weight_and_bias,
)
from ecg_assets.models.torch_file import read_torch_file

N_DEEPECG_LABELS = 77
"""Outputs of DeepECG-SSL's classifier of ECG statements, which nothing else tells."""


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
        return is_classifier(self.model)


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


def is_ecg_fm(content: object) -> bool:
    """Tell whether the content of a file of torch.save is an ECG-FM: all of fairseq-signals' are.

    But for one of as many outputs as DeepECG-SSL's classifier has, whose signals are others.
    """
    return is_fairseq(content) and count_outputs(content) != N_DEEPECG_LABELS


def count_outputs(content: Any) -> int:
    """Count the outputs of the head in a file of fairseq-signals; 0 where it has none."""
    head = content["model"].get("proj.bias") if isinstance(content["model"], dict) else None
    return len(head) if isinstance(head, Tensor) and head.ndim == 1 else 0


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


# Names of ECG-FM's weights in fairseq-signals and here.


_LAYER_MODULES = (
    ("self_attn.k_proj", "attention.k_proj"),
    ("self_attn.v_proj", "attention.v_proj"),
    ("self_attn.q_proj", "attention.q_proj"),
    ("self_attn.out_proj", "attention.out_proj"),
    ("self_attn_layer_norm", "layer_norm"),
    ("fc1", "feed_forward.intermediate_dense"),
    ("fc2", "feed_forward.output_dense"),
    ("final_layer_norm", "final_layer_norm"),
)
_POSITIONS = ("conv_pos.pos_conv.0", "encoder.pos_conv_embed.conv")


def fairseq_names(config: EcgFmConfig, *, finetuned: bool) -> dict[str, str]:
    """List every weight of an architecture: fairseq-signals' name → this package's.

    Parameters
    ----------
    config
        Numbers of convolutions and layers, and whether convolutions have a bias.
    finetuned
        True for `ecg_transformer_classifier` with its head, False for the encoder as it
        stands in a pre-training model.
    """
    prefix = "encoder." if finetuned else ""
    names = {f"{prefix}{theirs}": f"encoder.{ours}" for theirs, ours in _encoder(config)}
    return names | HEAD if finetuned else names


def map_weights(
    state: Mapping[str, Tensor], config: EcgFmConfig, *, finetuned: bool, where: str
) -> MappedWeights:
    """Rename the weights of a fairseq-signals model; none is passed over in silence.

    Raises
    ------
    CheckpointError
        When weights are missing, or there are others; the message names them.
    """
    names = fairseq_names(config, finetuned=finetuned)
    expected = "ECG-FM as fairseq-signals writes it"
    return sort_weights(state, names, config, where=where, expected=expected)


def _encoder(config: EcgFmConfig) -> Iterator[tuple[str, str]]:
    yield from front_names(config)
    theirs, ours = _POSITIONS
    for parameter in (
        "bias",
        "parametrizations.weight.original0",
        "parametrizations.weight.original1",
    ):
        yield f"{theirs}.{parameter}", f"{ours}.{parameter}"
    yield from weight_and_bias("encoder.layer_norm", "encoder.layer_norm")
    for i in range(config.num_hidden_layers):
        for theirs, ours in _LAYER_MODULES:
            yield from weight_and_bias(f"encoder.layers.{i}.{theirs}", f"encoder.layers.{i}.{ours}")
