"""A checkpoint file of ECGFounder: its weights, the architecture that they tell, its import."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from ecg_assets.errors import CheckpointError
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models.ecg_founder.family import ECG_FOUNDER
from ecg_assets.models.ecg_founder.net1d import EcgFounder, Net1DConfig, net1d_config_of
from ecg_assets.models.imported import (
    ImportedModel,
    require_replaceable,
    shapes_of,
    write_imported,
)
from ecg_assets.models.torch_file import read_torch_file
from ecg_assets.models.weights import load_weights
from ecg_assets.preprocess.signal_spec import SignalSpec

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


def ecg_founder_file(content: object, path: Path) -> EcgFounderFile:
    """Take weights and architecture from the content of the file at `path`.

    The weights stand under ``state_dict``, under ``model_state_dict``, or are all that it holds.
    """
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
    with shapes_of(path, ECG_FOUNDER.title, other="not in the shapes of a Net1D"):
        config = _read_config(weights)
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
    shape, n_channels = read_net1d_shape(weights)
    return net1d_config_of(shape, n_channels=n_channels, n_labels=len(weights[_HEAD[1]]))


def read_net1d_shape(weights: Mapping[str, Tensor]) -> tuple[dict[str, Any], int]:
    """Read the architecture off the shapes; loading the weights then checks every one.

    Parameters
    ----------
    weights
        Of a Net1D, by its names.

    Returns
    -------
    tuple
        What `net1d_config_of` takes, and the number of channels.
    """
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
        "groups_width": _read_groups_width([_shape(weights, s, "conv2") for s in range(n_stages)]),
        "ratio": _shape(weights, 0, "conv1")[0] / widths[0],
    }
    return shape, n_channels


def _read_groups_width(shapes: Sequence[tuple[int, int, int]]) -> int:
    """Find the width that gives the grouped convolution of each stage as many groups as it has.

    A stage has ``features // groups_width`` groups. Where that leaves a rest, its groups are wider,
    so that no single stage tells.

    >>> _read_groups_width([(24, 24, 16), (32, 16, 16)])
    16
    """
    groups_width = min(of_group for _, of_group, _ in shapes)
    misfits = [s for s, (n, of_group, _) in enumerate(shapes) if n // groups_width * of_group != n]
    if misfits:
        found = [f"{n} features in groups of {of_group}" for n, of_group, _ in shapes]
        raise ValueError(
            f"no groups_width fits all stages, which have {', '.join(found)}: {groups_width} is "
            f"not that of the stages {misfits}"
        )
    return groups_width


def _shape(weights: Mapping[str, Tensor], stage: int, layer: str) -> tuple[int, int, int]:
    """Shape of a convolution of a stage's first block: features out, in (of a group), kernel."""
    out, of_group, kernel = weights[f"stage_list.{stage}.block_list.0.{layer}.conv.weight"].shape
    return out, of_group, kernel


# What the outputs of ECGFounder's public checkpoints mean.


@cache
def ecg_founder_labels() -> LabelVocabulary:
    """Read the 150 statements in the order of the outputs; segments are averaged.

    >>> names = ecg_founder_labels().names
    >>> len(names), names[5]
    (150, 'ATRIAL FIBRILLATION')
    """
    names = tuple(_read()["statements"])
    return LabelVocabulary(names, ("mean",) * len(names))


def find_statements(vocabulary: LabelVocabulary) -> list[str] | None:
    """Find the statement that stands for each label; None unless every label has one.

    >>> find_statements(LabelVocabulary(("AFLT", "RBBB"), ("mean", "mean")))
    ['ATRIAL FLUTTER', 'RIGHT BUNDLE BRANCH BLOCK']
    """
    statement_of: dict[str, str] = _read()["six_conditions"]
    if not set(vocabulary.names) <= set(statement_of):
        return None
    return [statement_of[name] for name in vocabulary.names]


@cache
def _read() -> dict[str, Any]:
    text = files("ecg_assets.models").joinpath("ecg_founder_labels.yaml").read_text("utf-8")
    table: dict[str, Any] = yaml.safe_load(text)
    return table


# The model of a file, and the checkpoint folder that is made of it.


def import_ecg_founder(
    path: str | Path,
    folder: str | Path,
    *,
    spec: SignalSpec | None = None,
    vocabulary: LabelVocabulary | None = None,
) -> Path:
    """Import a .pth file of ECGFounder as a checkpoint folder; no code in it is run.

    The folder appears complete or not at all. It starts fine-tuning, which gives it another
    last layer where the labels are others.

    Parameters
    ----------
    path
        ``12_lead_ECGFounder.pth``, ``1_lead_ECGFounder.pth``, or a file fine-tuned from one.
    folder
        Where to write; an earlier import there is replaced, anything else is refused.
    spec
        What the model reads. By default what ECGFounder's training reads: 10 s at 500 Hz,
        filtered, all leads z-scored together; twelve leads, or Lead I for one channel.
    vocabulary
        What its outputs mean. By default ECGFounder's statements when there are 150; other
        numbers go without. A folder without it is not evaluated. Of 150 outputs those are
        kept that stand for the labels of the label set six-conditions, where these are given.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UnsafeCheckpoint
        When the file would run code.
    CheckpointError
        When the file is no Net1D, a weight is missing or one too many, `spec` has another
        number of leads, `vocabulary` another number of labels, or the folder holds something
        else.
    """
    path, folder = Path(path), Path(folder)
    require_replaceable(folder)
    imported = build_ecg_founder(read_torch_file(path), path, spec=spec, vocabulary=vocabulary)
    return write_imported(imported, folder, spec, vocabulary)


def fit_meaning(
    content: object, path: Path, spec: SignalSpec | None, vocabulary: LabelVocabulary | None
) -> tuple[SignalSpec | None, LabelVocabulary | None]:
    """Take a deployment's spec where it gives each channel its own lead, and labels that it states.

    Labels are those of the public model's 150 statements, where each label is one of them.
    """
    config = ecg_founder_file(content, path).config
    fits = spec is not None and config.n_channels == spec.n_channels == len(spec.leads)
    is_public = config.num_labels == len(ecg_founder_labels())
    is_expressible = vocabulary is not None and find_statements(vocabulary) is not None
    return (spec if fits else None), (vocabulary if is_public and is_expressible else None)


def _choose_outputs(
    file: EcgFounderFile, vocabulary: LabelVocabulary | None
) -> tuple[EcgFounderFile, dict[str, str]]:
    """Keep what stands for the labels of a vocabulary; give the statement of each."""
    statements = ecg_founder_labels().names
    if vocabulary is None or file.config.num_labels != len(statements):
        return file, {}
    chosen = find_statements(vocabulary)
    if chosen is None:
        return file, {}
    kept = keep_outputs(file, [statements.index(name) for name in chosen])
    return kept, dict(zip(vocabulary.names, chosen, strict=True))


def _require_leads(file: EcgFounderFile, spec: SignalSpec) -> None:
    n_channels = file.config.n_channels
    if not n_channels == spec.n_channels == len(spec.leads):
        raise CheckpointError(
            f"{file.path} reads {n_channels} leads, each its own, but the signal spec gives "
            f"{len(spec.leads)} ({', '.join(spec.leads)}) on {spec.n_channels} channels. Give a "
            f"spec of {n_channels} leads (ECG_LEADS=all for twelve), or import the file of that "
            "many leads: 12_lead_ECGFounder.pth or 1_lead_ECGFounder.pth."
        )


def build_ecg_founder(
    content: object,
    path: Path,
    *,
    spec: SignalSpec | None = None,
    vocabulary: LabelVocabulary | None = None,
) -> ImportedModel:
    """Build the model of a .pth file's content, with the outputs that stand for a vocabulary."""
    file, outputs = _choose_outputs(ecg_founder_file(content, path), vocabulary)
    if spec is not None:
        _require_leads(file, spec)
    config = file.config
    model = load_weights(partial(EcgFounder, config), file.weights, where=str(file.path))
    architecture = (
        f"Net1D of {len(config.filter_list)} stages with {sum(config.m_blocks_list)} blocks, "
        f"{config.hidden_size} features, {config.n_channels} input channels, "
        "{n_parameters:,} parameters"
    )
    report = {
        "kind": f"{config.n_channels} leads",
        "writer": ECG_FOUNDER.title,
        "assumed": list(ASSUMED),
        "mapped": [
            {"from": name, "to": name, "shape": list(value.shape)}
            for name, value in file.weights.items()
        ],
        "outputs": outputs,
        "dropped": [],
    }
    known = ecg_founder_labels()
    return ImportedModel(ECG_FOUNDER, path, model, architecture, report, known=known)
