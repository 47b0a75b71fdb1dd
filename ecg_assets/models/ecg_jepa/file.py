"""A checkpoint file of ECG-JEPA: its weights, the architecture that they tell, its import."""

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
from ecg_assets.models.ecg_jepa.family import ECG_JEPA, SIZES
from ecg_assets.models.ecg_jepa.model import EcgJepa, EcgJepaConfig, EcgJepaForClassification
from ecg_assets.models.fairseq_weights import count_modules
from ecg_assets.models.imported import ImportedModel, require_replaceable, write_imported
from ecg_assets.models.published_file import read_published_file
from ecg_assets.models.renamed_weights import rename_weights
from ecg_assets.models.weights import load_weights
from ecg_assets.preprocess.signal_spec import SignalSpec

_PREFIX = "encoder."
"""Of the encoder in a classifier."""
_HEAD = "fc.fc."
_UNUSED = re.compile(r"fc\.bn\..+")
"""A batch norm before the last layer, which the published classifier has and does not apply."""
_BLOCK = "encoder_blocks.blocks.{}.attn.qkv.weight"
_NAMES = ("W_P.weight", "pos_embed", _BLOCK.format(0))
_HEADS_OF_WIDTH = {one["hidden_size"]: one["num_attention_heads"] for one in SIZES.values()}


@dataclass(frozen=True, eq=False)
class EcgJepaFile:
    """What is read of a file; its epoch and optimizer are left alone.

    Attributes
    ----------
    path
        Where it was read.
    config
        Its architecture.
    weights
        By the names of the file.
    assumed
        What no weight tells, and what was taken instead.
    """

    path: Path
    config: EcgJepaConfig
    weights: dict[str, Tensor]
    assumed: tuple[str, ...] = ()

    @property
    def is_finetuned(self) -> bool:
        """Whether it is a classifier; otherwise it is a pre-trained encoder."""
        return f"{_HEAD}weight" in self.weights


def is_ecg_jepa(content: object) -> bool:
    """Tell whether the content of a file of torch.save is an ECG-JEPA."""
    return _find_weights(content) is not None


def read_ecg_jepa(path: Path, *, n_heads: int | None = None) -> EcgJepaFile:
    """Read a file of ECG-JEPA: an encoder under ``encoder``, or a classifier's weights.

    No code in it is run. `n_heads` is as `import_ecg_jepa` takes it.

    Raises
    ------
    UnsafeCheckpoint
        When the file would run code; the message names it.
    CheckpointError
        When the file is missing, damaged, or no ECG-JEPA.
    """
    return ecg_jepa_file(read_published_file(path), path, n_heads=n_heads)


def ecg_jepa_file(content: Any, path: Path, *, n_heads: int | None = None) -> EcgJepaFile:
    """Take weights and architecture from the content of the file at `path`."""
    weights = _find_weights(content)
    if weights is None:
        found = sorted(map(str, content))[:8] if isinstance(content, dict) else type(content)
        raise CheckpointError(
            f"{path} is no checkpoint of ECG-JEPA: expected the weights {', '.join(_NAMES)} under "
            f"'encoder', found {found}. Give the file as its training wrote it."
        )
    try:
        shape = _read_shape({name.removeprefix(_PREFIX): one for name, one in weights.items()})
        head = weights.get(f"{_HEAD}weight")
        if head is not None:
            shape["num_labels"] = len(head)
    except (*UNREADABLE_VALUES, ZeroDivisionError) as error:
        raise CheckpointError(
            f"{path} has weights like ECG-JEPA's, but lacks one or has it in another shape "
            f"({type(error).__name__}: {error}). Get the original file."
        ) from error
    width = shape["hidden_size"]
    known = n_heads or _HEADS_OF_WIDTH.get(width)
    if known is None:
        raise CheckpointError(
            f"{path} is {width} wide, unlike any published ECG-JEPA, and no weight tells its "
            "number of attention heads. Import it by import_ecg_jepa with n_heads."
        )
    config = EcgJepaConfig(**shape, num_attention_heads=known)
    told = f"{known} heads of attention, as in the published ECG-JEPA of this width"
    return EcgJepaFile(path, config, weights, () if n_heads else (told,))


def _find_weights(content: object) -> dict[str, Tensor] | None:
    if not isinstance(content, Mapping):
        return None
    for place, prefix in ((content.get("encoder"), ""), (content, _PREFIX)):
        if isinstance(place, Mapping) and all(f"{prefix}{name}" in place for name in _NAMES):
            is_whole = all(isinstance(value, Tensor) for value in place.values())
            return dict(place) if is_whole else None
    return None


def _read_shape(encoder: Mapping[str, Tensor]) -> dict[str, Any]:
    width, patch_samples = encoder["W_P.weight"].shape
    table = encoder["pos_embed"]
    # The second half of a row is that of its lead: the first lead has as many as it has patches.
    of_lead = table[:, width // 2 :]
    n_patches = int((of_lead == of_lead[0]).all(dim=1).sum())
    return {
        "n_channels": len(table) // n_patches,
        "n_patches": n_patches,
        "patch_samples": patch_samples,
        "hidden_size": width,
        "num_hidden_layers": count_modules(encoder, _BLOCK),
        "mlp_ratio": len(encoder["encoder_blocks.blocks.0.mlp.fc1.bias"]) / width,
    }


def _rename(name: str) -> str:
    # fc.fc.weight → head.weight; W_P.weight → encoder.W_P.weight
    if name.startswith(_HEAD):
        return f"head.{name.removeprefix(_HEAD)}"
    return f"{_PREFIX}{name.removeprefix(_PREFIX)}"


# The model of a file, and the checkpoint folder that is made of it.


def import_ecg_jepa(
    path: str | Path,
    folder: str | Path,
    *,
    spec: SignalSpec | None = None,
    vocabulary: LabelVocabulary | None = None,
    n_heads: int | None = None,
) -> Path:
    """Import a .pth file of ECG-JEPA as a checkpoint folder; no code in it is run.

    A classifier's file becomes a classifier, an encoder's one to start fine-tuning from. The folder
    appears complete or not at all.

    Parameters
    ----------
    path
        A published file, or the state of a classifier that was trained from one.
    folder
        Where to write; an earlier import there is replaced, anything else is refused.
    spec
        What the model reads. By default what ECG-JEPA's pre-training reads: 10 s of eight leads at
        250 Hz in mV, neither filtered nor normalized.
    vocabulary
        What its outputs mean; a file does not tell. A folder without it is not evaluated.
    n_heads
        Heads of attention, which no weight tells; by default those of the published model of the
        same width.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UnsafeCheckpoint
        When the file would run code.
    CheckpointError
        When the file is no ECG-JEPA, a weight is missing or one too many, `spec` gives other
        channels, `vocabulary` has another number of labels, or the folder holds something else.
    """
    path, folder = Path(path), Path(folder)
    require_replaceable(folder)
    file = read_ecg_jepa(path, n_heads=n_heads)
    return write_imported(_build(file), folder, spec, vocabulary)


def load_ecg_jepa(
    content: object, path: Path, pretrained: Path | None = None
) -> EcgJepaForClassification | EcgJepa:
    """Build the model of a file's content, which needs no other file."""
    model: EcgJepaForClassification | EcgJepa = _build(ecg_jepa_file(content, path)).model
    return model


def fit_meaning(
    content: object, path: Path, spec: SignalSpec | None, vocabulary: LabelVocabulary | None
) -> tuple[SignalSpec | None, None]:
    """Take a deployment's spec where its channels fit; the labels are never guessed."""
    n_channels = ecg_jepa_file(content, path).config.n_channels
    return (spec if spec and spec.can_give(n_channels) else None), None


def _build(file: EcgJepaFile) -> ImportedModel:
    where, config = str(file.path), file.config
    mapped = rename_weights(file.weights, _rename, unused=_UNUSED)
    model_class = EcgJepaForClassification if file.is_finetuned else EcgJepa
    return ImportedModel(
        family=ECG_JEPA,
        path=file.path,
        model=load_weights(partial(model_class, config), mapped.weights, where=where),
        architecture=f"{config.num_hidden_layers} transformer layers of width "
        f"{config.hidden_size}, {config.num_attention_heads} heads, {config.n_channels} leads of "
        f"{config.n_patches} patches,\n  {{n_parameters:,}} parameters",
        report=mapped.report(ECG_JEPA.title, file.assumed, is_finetuned=file.is_finetuned),
    )
