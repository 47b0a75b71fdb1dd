"""A checkpoint file of MELP: the weights that read signals, their architecture, the import."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ecg_assets.errors import CheckpointError
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models.checkpoint_folder import UNREADABLE_VALUES
from ecg_assets.models.ecg_fm.fairseq_config import find_heads_and_strides, read_shape
from ecg_assets.models.ecg_fm.fairseq_file import fairseq_names
from ecg_assets.models.fairseq_weights import sort_weights, weight_and_bias
from ecg_assets.models.imported import ImportedModel, require_replaceable, write_imported
from ecg_assets.models.melp.family import MELP
from ecg_assets.models.melp.model import (
    Melp,
    MelpConfig,
    melp_config_of,
    transformer_config,
)
from ecg_assets.models.published_file import read_published_file
from ecg_assets.models.weights import load_weights
from ecg_assets.preprocess.signal_spec import SignalSpec

_log = logging.getLogger(__name__)

_PARTS, _ENCODER = "ecg_encoder.", "ecg_encoder.ecg_encoder."
_POOL = f"{_PARTS}attn_pool_contrast"
_MARKS = (f"{_POOL}.query", f"{_ENCODER}encoder.layers.0.self_attn.q_proj.weight")
_OF_POOL = ("encoder_size", "n_queries", "n_pool_heads")
_N_POOL_HEADS = 8
"""Of all published models."""
# What pre-training of the encoder alone uses, the pooling that captions are written from, the
# projection and the scale that compare with texts, and all that is no part of the encoder.
_PRETRAINING = re.compile(
    r"ecg_encoder\.(?:ecg_encoder\.(?:mask_emb|(?:quantizer|project_q|final_proj)\..+)|"
    r"(?:attn_pool_caption|ln_caption|bn)\..+|proj_contrast|logit_scale)|(?!ecg_encoder\.).+"
)


@dataclass(frozen=True, eq=False)
class MelpFile:
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
    config: MelpConfig
    weights: dict[str, Tensor]
    assumed: tuple[str, ...] = ()


def is_melp(content: object) -> bool:
    """Tell whether the content of a published file is a MELP."""
    weights = content.get("state_dict") if isinstance(content, Mapping) else None
    return isinstance(weights, Mapping) and all(name in weights for name in _MARKS)


def read_melp(path: Path) -> MelpFile:
    """Read model.safetensors of MELP's folder on the hub, or a .ckpt file of its training.

    No code in it is run.

    Raises
    ------
    UnsafeCheckpoint
        When the file would run code; the message names it.
    CheckpointError
        When the file is missing, damaged, or no MELP.
    """
    return melp_file(read_published_file(path), path)


def melp_file(content: Any, path: Path) -> MelpFile:
    """Take weights and architecture from the content of the file at `path`."""
    if not is_melp(content):
        found = sorted(map(str, content))[:8] if isinstance(content, dict) else type(content)
        raise CheckpointError(
            f"{path} is no checkpoint of MELP: expected 'state_dict' with {' and '.join(_MARKS)}, "
            f"found {found}. Give model.safetensors beside its config.json, as its authors "
            "published them."
        )
    weights = dict(content["state_dict"])
    encoder = {
        name.removeprefix(_ENCODER): value
        for name, value in weights.items()
        if name.startswith(_ENCODER)
    }
    known = [
        {name: value for name, value in size.items() if name not in _OF_POOL}
        | {"hidden_size": size["encoder_size"]}
        for size in MELP.sizes.values()
    ]
    try:
        shape = read_shape(encoder, path, prefix=_ENCODER)
        n_heads, strides, assumed = find_heads_and_strides(shape, {}, path, known=known)
        values = shape.as_config(n_heads=n_heads, strides=strides)
        pool, of_pool = _read_pool(weights, content)
        config = melp_config_of(
            {**values, "encoder_size": shape.width, **pool}, n_channels=shape.n_channels
        )
    except UNREADABLE_VALUES as error:
        raise CheckpointError(
            f"{path} has weights like MELP's, but lacks one or has it in another shape "
            f"({type(error).__name__}: {error}). Get the original file."
        ) from error
    return MelpFile(path, config, weights, (*assumed, *of_pool))


def _read_pool(
    weights: Mapping[str, Tensor], content: Mapping[str, Any]
) -> tuple[dict[str, int], tuple[str, ...]]:
    n_queries, width = weights[f"{_POOL}.query"].shape
    stated = content.get("config") or {}
    n_heads = stated.get("attn_pooler_heads")
    assumed = () if n_heads else (f"{_N_POOL_HEADS} heads of the pooling, as MELP has",)
    n_heads = int(n_heads or _N_POOL_HEADS)
    if width % n_heads:
        raise ValueError(f"{n_heads} heads do not divide the pooling's width, {width}")
    return {"hidden_size": width, "n_queries": n_queries, "n_pool_heads": n_heads}, assumed


def melp_names(config: MelpConfig) -> dict[str, str]:
    """List every weight that a recording's features need: MELP's name → this package's."""
    of_encoder = fairseq_names(transformer_config(config), finetuned=False)
    names = {f"{_ENCODER}{theirs}": ours for theirs, ours in of_encoder.items()}
    return names | dict(_pool_names(config))


def _pool_names(config: MelpConfig) -> Iterator[tuple[str, str]]:
    # nn.MultiheadAttention keeps one matrix where queries are as wide as tokens, else three.
    is_one = config.hidden_size == config.encoder_size
    of_inputs = ("in_proj",) if is_one else ("q_proj", "k_proj", "v_proj")
    for name in ("query", *(f"attn.{one}_weight" for one in of_inputs), "attn.in_proj_bias"):
        yield f"{_POOL}.{name}", f"encoder.pool.{name}"
    for module in ("attn.out_proj", "ln_q", "ln_k"):
        yield from weight_and_bias(f"{_POOL}.{module}", f"encoder.pool.{module}")
    yield from weight_and_bias(f"{_PARTS}ln_contrast", "encoder.pool_norm")


# The model of a file, and the checkpoint folder that is made of it.


def import_melp(
    path: str | Path,
    folder: str | Path,
    *,
    spec: SignalSpec | None = None,
    vocabulary: LabelVocabulary | None = None,
) -> Path:
    """Import a file of MELP as a checkpoint folder; no code in it is run.

    It becomes an encoder to start fine-tuning from: its authors publish no classifier. What reads
    and writes texts is left behind. The folder appears complete or not at all.

    Parameters
    ----------
    path
        The file; of model.safetensors its config.json is read, too.
    folder
        Where to write; an earlier import there is replaced, anything else is refused.
    spec
        What the model reads. By default what MELP's training reads: 10 s of twelve leads at 500 Hz,
        aVF before aVL, 0 to 1 over the recording; other numbers of channels go without.
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
        When the file is no MELP, a weight is missing or one too many, `spec` has other channels,
        or the folder holds something else.
    """
    path, folder = Path(path), Path(folder)
    require_replaceable(folder)
    return write_imported(_build(read_melp(path)), folder, spec, vocabulary)


def load_melp(content: object, path: Path, pretrained: Path | None = None) -> Melp:
    """Build the model of a file's content, which needs no other file."""
    imported = _build(melp_file(content, path))
    for assumption in imported.report["assumed"]:
        _log.warning("%s: assumed %s", path, assumption)
    model: Melp = imported.model
    return model


def fit_meaning(
    content: object, path: Path, spec: SignalSpec | None, vocabulary: LabelVocabulary | None
) -> tuple[SignalSpec | None, None]:
    """Take a deployment's spec where its channels fit; there are no labels."""
    n_channels = melp_file(content, path).config.n_channels
    return (spec if spec and spec.can_give(n_channels) else None), None


def _build(file: MelpFile) -> ImportedModel:
    where, config = str(file.path), file.config
    mapped = sort_weights(
        file.weights,
        melp_names(config),
        transformer_config(config),
        where=where,
        expected="MELP as its authors publish it",
        dropped=_PRETRAINING,
    )
    return ImportedModel(
        family=MELP,
        path=file.path,
        model=load_weights(partial(Melp, config), mapped.weights, where=where),
        architecture=f"{config.num_hidden_layers} layers of width {config.encoder_size}, "
        f"{config.num_attention_heads} heads, {config.n_queries} queries of width "
        f"{config.hidden_size},\n  {config.n_channels} input channels, "
        "{n_parameters:,} parameters",
        report=mapped.report(MELP.title, file.assumed, is_finetuned=False),
    )
