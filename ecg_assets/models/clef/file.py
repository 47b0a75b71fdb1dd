"""A checkpoint file of CLEF: its weights, the architecture that they tell, its import."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ecg_assets.errors import CheckpointError
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models.checkpoint_folder import UNREADABLE_VALUES
from ecg_assets.models.clef.family import CLEF
from ecg_assets.models.clef.model import Clef, ClefConfig, ClefForClassification, clef_config_of
from ecg_assets.models.ecg_founder.file import ASSUMED, read_net1d_shape
from ecg_assets.models.imported import ImportedModel, require_replaceable, write_imported
from ecg_assets.models.renamed_weights import rename_weights
from ecg_assets.models.torch_file import read_torch_file
from ecg_assets.models.weights import load_weights
from ecg_assets.preprocess.signal_spec import SignalSpec

_FIRST = "first_conv.conv.weight"
_PRETRAINED, _FINE_TUNED = "backbone.", "model."
_HEAD = "projection."
# The other copy of the encoder that MoCo and BYOL train with, MoCo's queue, BYOL's predictor.
_PRETRAINING = re.compile(r"backbone_(?:k|target)\..+|queue(?:_ptr)?|predictor\..+")
_UNUSED = re.compile(r"(?:backbone|model)\.dense\.(?:weight|bias)")


@dataclass(frozen=True, eq=False)
class ClefFile:
    """What is read of a file; its optimizer, loops and callbacks are left alone.

    Attributes
    ----------
    path
        Where it was read.
    config
        Its architecture.
    weights
        By the names of the file.
    """

    path: Path
    config: ClefConfig
    weights: dict[str, Tensor]

    @property
    def is_finetuned(self) -> bool:
        """Whether it is a classifier; otherwise it is a pre-training model."""
        return f"{_HEAD}weight" in self.weights


def is_clef(content: object) -> bool:
    """Tell whether the content of a file of torch.save is a CLEF."""
    return _find_weights(content) is not None


def read_clef(path: Path) -> ClefFile:
    """Read ``clef_small.ckpt``, one of the other sizes, or a model fine-tuned from one.

    No code in it is run.

    Raises
    ------
    UnsafeCheckpoint
        When the file would run code; the message names it.
    CheckpointError
        When the file is missing, damaged, or no CLEF.
    """
    return clef_file(read_torch_file(path), path)


def clef_file(content: object, path: Path) -> ClefFile:
    """Take weights and architecture from the content of the file at `path`."""
    weights = _find_weights(content)
    if weights is None:
        found = sorted(map(str, content))[:8] if isinstance(content, dict) else type(content)
        raise CheckpointError(
            f"{path} is no checkpoint of CLEF: expected weights with {_PRETRAINED}{_FIRST} under "
            f"'state_dict', found {found}. Give clef_small.ckpt, clef_medium.ckpt, "
            "clef_largel.ckpt or a file fine-tuned from one."
        )
    prefix = _PRETRAINED if f"{_PRETRAINED}{_FIRST}" in weights else _FINE_TUNED
    encoder = {
        name.removeprefix(prefix): value
        for name, value in weights.items()
        if name.startswith(prefix)
    }
    try:
        shape, n_channels = read_net1d_shape(encoder)
        head = weights.get(f"{_HEAD}weight")
        n_labels = None if head is None else len(head)
        config = clef_config_of(shape, n_channels=n_channels, n_labels=n_labels)
    except (*UNREADABLE_VALUES, ZeroDivisionError) as error:
        raise CheckpointError(
            f"{path} has weights like CLEF's, but not in the shapes of a Net1D "
            f"({type(error).__name__}: {error}). Get the original file."
        ) from error
    return ClefFile(path, config, weights)


def _find_weights(content: object) -> dict[str, Tensor] | None:
    """Find the weights, alone or under ``state_dict``, as CLEF's own loader takes both."""
    if not isinstance(content, Mapping):
        return None
    for place in (content.get("state_dict"), content):
        if isinstance(place, Mapping) and (
            f"{_PRETRAINED}{_FIRST}" in place
            or {f"{_FINE_TUNED}{_FIRST}", f"{_HEAD}weight"} <= set(place)
        ):
            is_whole = all(isinstance(value, Tensor) for value in place.values())
            return dict(place) if is_whole else None
    return None


def _rename(name: str) -> str:
    # projection.weight → dense.weight; backbone.first_conv.… → first_conv.…
    if name.startswith(_HEAD):
        return f"dense.{name.removeprefix(_HEAD)}"
    return name.removeprefix(_PRETRAINED).removeprefix(_FINE_TUNED)


# The model of a file, and the checkpoint folder that is made of it.


def import_clef(
    path: str | Path,
    folder: str | Path,
    *,
    spec: SignalSpec | None = None,
    vocabulary: LabelVocabulary | None = None,
) -> Path:
    """Import a .ckpt file of CLEF as a checkpoint folder; no code in it is run.

    A pre-trained file becomes an encoder to start fine-tuning from, one fine-tuned by its authors'
    program a classifier. The folder appears complete or not at all.

    Parameters
    ----------
    path
        The file.
    folder
        Where to write; an earlier import there is replaced, anything else is refused.
    spec
        What the model reads. By default what CLEF's pre-training reads: 10 s of one lead at 500 Hz,
        here Lead I, filtered and z-scored; other numbers of channels go without.
    vocabulary
        What its outputs mean; a file does not tell. A folder without it is not evaluated.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UnsafeCheckpoint
        When the file would run code.
    CheckpointError
        When the file is no CLEF, a weight is missing or one too many, `spec` has other channels,
        `vocabulary` another number of labels, or the folder holds something else.
    """
    path, folder = Path(path), Path(folder)
    require_replaceable(folder)
    return write_imported(_build(read_clef(path)), folder, spec, vocabulary)


def load_clef(
    content: object, path: Path, pretrained: Path | None = None
) -> ClefForClassification | Clef:
    """Build the model of a file's content, which needs no other file."""
    model: ClefForClassification | Clef = _build(clef_file(content, path)).model
    return model


def fit_meaning(
    content: object, path: Path, spec: SignalSpec | None, vocabulary: LabelVocabulary | None
) -> tuple[SignalSpec | None, None]:
    """Take a deployment's spec where its channels fit; the labels are never guessed."""
    n_channels = clef_file(content, path).config.n_channels
    return (spec if spec and spec.can_give(n_channels) else None), None


def _build(file: ClefFile) -> ImportedModel:
    where, config = str(file.path), file.config
    mapped = rename_weights(file.weights, _rename, dropped=_PRETRAINING, unused=_UNUSED)
    model_class: Any = ClefForClassification if file.is_finetuned else Clef
    return ImportedModel(
        family=CLEF,
        path=file.path,
        model=load_weights(partial(model_class, config), mapped.weights, where=where),
        architecture=f"Net1D of {len(config.filter_list)} stages with "
        f"{sum(config.m_blocks_list)} blocks, {config.hidden_size} features, "
        f"{config.n_channels} input channels, {{n_parameters:,}} parameters",
        report=mapped.report(CLEF.title, ASSUMED, is_finetuned=file.is_finetuned),
    )
