"""A checkpoint file of D-BETA: the weights that read signals, their architecture, the import."""

from __future__ import annotations

import logging
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
from ecg_assets.models.d_beta.family import D_BETA
from ecg_assets.models.d_beta.model import DBeta, DBetaConfig, d_beta_config_of
from ecg_assets.models.ecg_fm.fairseq_config import find_heads_and_strides, read_shape
from ecg_assets.models.ecg_fm.fairseq_file import fairseq_names
from ecg_assets.models.fairseq_weights import sort_weights, weight_and_bias
from ecg_assets.models.imported import ImportedModel, require_replaceable, write_imported
from ecg_assets.models.published_file import read_config_beside
from ecg_assets.models.torch_file import read_torch_file
from ecg_assets.models.weights import load_weights
from ecg_assets.preprocess.signal_spec import SignalSpec

_log = logging.getLogger(__name__)

_ENCODER = "ecg_encoder."
_MARKS = ("class_embedding", f"{_ENCODER}encoder.layers.0.self_attn.q_proj.weight")
# The mask, what reads texts, what joins them with signals, and the heads of pre-training.
_PRETRAINING = re.compile(
    r"ecg_encoder\.mask_emb|language_encoder\..+|modality_type_embeddings\..+|"
    r"multi_modal_(?:language_.+|ecg_layers\..+|ecg_pooler\..+)|unimodal_language_pooler\..+|"
    r"m[li]m_head\..+|itm_head\..+"
)


@dataclass(frozen=True, eq=False)
class DBetaFile:
    """What is read of a file.

    Attributes
    ----------
    path
        Where it was read.
    config
        Its architecture.
    weights
        By the names of the file.
    assumed
        What no weight tells and no configuration states, and what was taken instead; one sentence
        each.
    """

    path: Path
    config: DBetaConfig
    weights: dict[str, Tensor]
    assumed: tuple[str, ...] = ()


def is_d_beta(content: object) -> bool:
    """Tell whether the content of a file of torch.save is a D-BETA."""
    weights = content.get("model") if isinstance(content, Mapping) else None
    return isinstance(weights, Mapping) and all(name in weights for name in _MARKS)


def read_d_beta(path: Path) -> DBetaFile:
    """Read ``sample.pt``; no code in it is run.

    A config.json beside it, as D-BETA's repository has it, tells the number of heads and the
    strides.

    Raises
    ------
    UnsafeCheckpoint
        When the file would run code; the message names it.
    CheckpointError
        When the file is missing, damaged, or no D-BETA.
    """
    return d_beta_file(read_torch_file(path), path)


def d_beta_file(content: Any, path: Path) -> DBetaFile:
    """Take weights and architecture from the content of the file at `path`."""
    if not is_d_beta(content):
        found = sorted(map(str, content))[:8] if isinstance(content, dict) else type(content)
        raise CheckpointError(
            f"{path} is no checkpoint of D-BETA: expected 'model' with {' and '.join(_MARKS)}, "
            f"found {found}. Give the file as its authors published it."
        )
    weights = dict(content["model"])
    encoder = {
        name.removeprefix(_ENCODER): value
        for name, value in weights.items()
        if name.startswith(_ENCODER)
    }
    stated = read_config_beside(path).get("model")
    stated = stated if isinstance(stated, dict) and stated.get("_name") == D_BETA.title else {}
    try:
        shape = read_shape(encoder, path, prefix=_ENCODER)
        n_heads, strides, assumed = find_heads_and_strides(
            shape, stated, path, known=D_BETA.sizes.values()
        )
        config = d_beta_config_of(
            shape.as_config(n_heads=n_heads, strides=strides), n_channels=shape.n_channels
        )
    except UNREADABLE_VALUES as error:
        raise CheckpointError(
            f"{path} has weights like D-BETA's, but lacks one or has it in another shape "
            f"({type(error).__name__}: {error}). Get the original file."
        ) from error
    return DBetaFile(path, config, weights, assumed)


def d_beta_names(config: DBetaConfig) -> dict[str, str]:
    """List every weight that reads signals: D-BETA's name → this package's."""
    of_encoder = fairseq_names(config, finetuned=False)
    names = {f"{_ENCODER}{theirs}": ours for theirs, ours in of_encoder.items()}
    names["class_embedding"] = "encoder.class_embedding"
    names |= weight_and_bias("multi_modal_ecg_proj", "encoder.output_projection")
    return names | dict(weight_and_bias("unimodal_ecg_pooler.dense", "encoder.pooler"))


# The model of a file, and the checkpoint folder that is made of it.


def import_d_beta(
    path: str | Path,
    folder: str | Path,
    *,
    spec: SignalSpec | None = None,
    vocabulary: LabelVocabulary | None = None,
) -> Path:
    """Import a .pt file of D-BETA as a checkpoint folder; no code in it is run.

    It becomes an encoder to start fine-tuning from: its authors publish no classifier. What reads
    texts is left behind. The folder appears complete or not at all.

    Parameters
    ----------
    path
        The file.
    folder
        Where to write; an earlier import there is replaced, anything else is refused.
    spec
        What the model reads. By default what D-BETA's training reads: 10 s of twelve leads at
        500 Hz in mV; other numbers of channels go without.
    vocabulary
        Refused: there is no head whose outputs it could name.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UnsafeCheckpoint
        When the file would run code.
    CheckpointError
        When the file is no D-BETA, a weight is missing or one too many, `spec` has other channels,
        or the folder holds something else.
    """
    path, folder = Path(path), Path(folder)
    require_replaceable(folder)
    return write_imported(_build(read_d_beta(path)), folder, spec, vocabulary)


def load_d_beta(content: object, path: Path, pretrained: Path | None = None) -> DBeta:
    """Build the model of a file's content, which needs no other file."""
    imported = _build(d_beta_file(content, path))
    for assumption in imported.report["assumed"]:
        _log.warning("%s: assumed %s", path, assumption)
    model: DBeta = imported.model
    return model


def fit_meaning(
    content: object, path: Path, spec: SignalSpec | None, vocabulary: LabelVocabulary | None
) -> tuple[SignalSpec | None, None]:
    """Take a deployment's spec where its channels fit; there are no labels."""
    n_channels = d_beta_file(content, path).config.n_channels
    return (spec if spec and spec.can_give(n_channels) else None), None


def _build(file: DBetaFile) -> ImportedModel:
    where, config = str(file.path), file.config
    mapped = sort_weights(
        file.weights,
        d_beta_names(config),
        config,
        where=where,
        expected="D-BETA as its authors publish it",
        dropped=_PRETRAINING,
    )
    return ImportedModel(
        family=D_BETA,
        path=file.path,
        model=load_weights(partial(DBeta, config), mapped.weights, where=where),
        architecture=f"{config.num_hidden_layers} layers of width {config.hidden_size}, "
        f"{config.num_attention_heads} heads, {config.n_channels} input channels,\n"
        "  {n_parameters:,} parameters",
        report=mapped.report(D_BETA.title, file.assumed, is_finetuned=False),
    )
