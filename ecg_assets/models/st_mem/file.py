"""A checkpoint file of ST-MEM: its weights, the architecture that they tell, its import."""

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
from ecg_assets.models.fairseq_weights import count_modules
from ecg_assets.models.imported import ImportedModel, require_replaceable, write_imported
from ecg_assets.models.published_file import read_published_file
from ecg_assets.models.renamed_weights import NEVER, rename_weights
from ecg_assets.models.st_mem.family import SIZES, ST_MEM
from ecg_assets.models.st_mem.model import StMem, StMemConfig, StMemForClassification
from ecg_assets.models.weights import load_weights
from ecg_assets.preprocess.signal_spec import SignalSpec

_PREFIX = "encoder."
"""Of the encoder in the file of the whole pre-training model."""
_HEAD = "head."
_DECODER = re.compile(rf"(?!{re.escape(_PREFIX)}).+")
"""All else in that file."""
_BLOCK = "block{}.attn.fn.to_qkv.weight"
_NAMES = ("to_patch_embedding.2.weight", "sep_embedding", _BLOCK.format(0))
_HEADS_OF_WIDTH = {one["hidden_size"]: one["num_attention_heads"] for one in SIZES.values()}


@dataclass(frozen=True, eq=False)
class StMemFile:
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
    config: StMemConfig
    weights: dict[str, Tensor]
    assumed: tuple[str, ...] = ()

    @property
    def is_finetuned(self) -> bool:
        """Whether it is a classifier; otherwise it is a pre-trained encoder."""
        return f"{_HEAD}weight" in self.weights

    @property
    def has_decoder(self) -> bool:
        """Whether it is the whole model of the pre-training."""
        return _is_whole(self.weights)


def is_st_mem(content: object) -> bool:
    """Tell whether the content of a file of torch.save is an ST-MEM."""
    return _find_weights(content) is not None


def read_st_mem(path: Path, *, n_heads: int | None = None) -> StMemFile:
    """Read a file of ST-MEM: the encoder, with or without a head, or the whole pre-training model.

    No code in it is run. `n_heads` is as `import_st_mem` takes it.

    Raises
    ------
    UnsafeCheckpoint
        When the file would run code; the message names it.
    CheckpointError
        When the file is missing, damaged, or no ST-MEM.
    """
    return st_mem_file(read_published_file(path), path, n_heads=n_heads)


def st_mem_file(content: Any, path: Path, *, n_heads: int | None = None) -> StMemFile:
    """Take weights and architecture from the content of the file at `path`."""
    weights = _find_weights(content)
    if weights is None:
        found = sorted(map(str, content))[:8] if isinstance(content, dict) else type(content)
        raise CheckpointError(
            f"{path} is no checkpoint of ST-MEM: expected the weights {', '.join(_NAMES)} under "
            f"'model', found {found}. Give the file as its training wrote it."
        )
    prefix = _PREFIX if _is_whole(weights) else ""
    encoder = {name.removeprefix(prefix): one for name, one in weights.items()}
    try:
        width = len(encoder["sep_embedding"])
        known = n_heads or _HEADS_OF_WIDTH.get(width)
        if known is None:
            raise CheckpointError(
                f"{path} is {width} wide, unlike any published ST-MEM, and no weight tells its "
                "number of attention heads. Import it by import_st_mem with n_heads."
            )
        config = StMemConfig(**_read_shape(encoder, known))
    except (*UNREADABLE_VALUES, ZeroDivisionError) as error:
        raise CheckpointError(
            f"{path} has weights like ST-MEM's, but lacks one or has it in another shape "
            f"({type(error).__name__}: {error}). Get the original file."
        ) from error
    told = f"{known} heads of attention, as in the published ST-MEM of this width"
    return StMemFile(path, config, weights, () if n_heads else (told,))


def _find_weights(content: object) -> dict[str, Tensor] | None:
    place = content.get("model") if isinstance(content, Mapping) else None
    if not isinstance(place, Mapping) or not any(
        all(f"{prefix}{name}" in place for name in _NAMES) for prefix in ("", _PREFIX)
    ):
        return None
    return dict(place) if all(isinstance(value, Tensor) for value in place.values()) else None


def _is_whole(weights: Mapping[str, Tensor]) -> bool:
    return f"{_PREFIX}{_NAMES[0]}" in weights


def _read_shape(encoder: Mapping[str, Tensor], n_heads: int) -> dict[str, Any]:
    width, patch_samples = encoder["to_patch_embedding.2.weight"].shape
    inner = encoder[_BLOCK.format(0)].shape[0] // 3
    if inner % n_heads:
        raise ValueError(f"{inner} features of queries cannot be those of {n_heads} heads")
    head = encoder.get(f"{_HEAD}weight")
    return {
        "n_channels": count_modules(encoder, "lead_embeddings.{}"),
        "n_patches": encoder["pos_embedding"].shape[1] - 2,
        "patch_samples": patch_samples,
        "hidden_size": width,
        "intermediate_size": len(encoder["block0.ff.fn.net.0.bias"]),
        "num_hidden_layers": count_modules(encoder, _BLOCK),
        "num_attention_heads": n_heads,
        "head_size": inner // n_heads,
        "qkv_bias": _BLOCK.format(0).replace("weight", "bias") in encoder,
        **({} if head is None else {"num_labels": len(head)}),
    }


def _rename(name: str) -> str:
    # block0.… and encoder.block0.… → encoder.block0.…; head.weight stays
    if name.startswith(_HEAD):
        return name
    return f"{_PREFIX}{name.removeprefix(_PREFIX)}"


# The model of a file, and the checkpoint folder that is made of it.


def import_st_mem(
    path: str | Path,
    folder: str | Path,
    *,
    spec: SignalSpec | None = None,
    vocabulary: LabelVocabulary | None = None,
    n_heads: int | None = None,
) -> Path:
    """Import a .pth file of ST-MEM as a checkpoint folder; no code in it is run.

    A fine-tuned file becomes a classifier, a pre-trained one an encoder to start fine-tuning from;
    the decoder of its pre-training is kept beside it. The folder appears complete or not at all.

    Parameters
    ----------
    path
        A published file: the encoder's or the whole model's, or one fine-tuned from it.
    folder
        Where to write; an earlier import there is replaced, anything else is refused.
    spec
        What the model reads. By default what ST-MEM's evaluation reads: three crops of 9 s of
        twelve leads at 250 Hz, each filtered and normalized by itself.
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
        When the file is no ST-MEM, a weight is missing or one too many, `spec` gives other
        channels, `vocabulary` has another number of labels, or the folder holds something else.
    """
    path, folder = Path(path), Path(folder)
    require_replaceable(folder)
    file = read_st_mem(path, n_heads=n_heads)
    return write_imported(_build(file), folder, spec, vocabulary)


def load_st_mem(
    content: object, path: Path, pretrained: Path | None = None
) -> StMemForClassification | StMem:
    """Build the model of a file's content, which needs no other file."""
    model: StMemForClassification | StMem = _build(st_mem_file(content, path)).model
    return model


def fit_meaning(
    content: object, path: Path, spec: SignalSpec | None, vocabulary: LabelVocabulary | None
) -> tuple[SignalSpec | None, None]:
    """Take a deployment's spec where its channels fit; the labels are never guessed."""
    n_channels = st_mem_file(content, path).config.n_channels
    return (spec if spec and spec.can_give(n_channels) else None), None


def _build(file: StMemFile) -> ImportedModel:
    where, config = str(file.path), file.config
    dropped = _DECODER if file.has_decoder else NEVER
    mapped = rename_weights(file.weights, _rename, dropped=dropped)
    model_class = StMemForClassification if file.is_finetuned else StMem
    return ImportedModel(
        family=ST_MEM,
        path=file.path,
        model=load_weights(partial(model_class, config), mapped.weights, where=where),
        architecture=f"{config.num_hidden_layers} transformer layers of width "
        f"{config.hidden_size}, {config.num_attention_heads} heads, {config.n_channels} leads of "
        f"{config.n_patches} patches,\n  {{n_parameters:,}} parameters",
        report=mapped.report(ST_MEM.title, file.assumed, is_finetuned=file.is_finetuned),
        pretraining=mapped.dropped,
    )
