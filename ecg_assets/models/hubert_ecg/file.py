"""A checkpoint file of HuBERT-ECG: its weights, the architecture that it states, its import."""

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
from ecg_assets.models.hubert_ecg.family import HUBERT_ECG
from ecg_assets.models.hubert_ecg.model import (
    HubertEcg,
    HubertEcgConfig,
    HubertEcgForClassification,
    hubert_ecg_config_of,
)
from ecg_assets.models.imported import ImportedModel, require_replaceable, write_imported
from ecg_assets.models.published_file import read_published_file
from ecg_assets.models.renamed_weights import rename_weights
from ecg_assets.models.weights import load_weights
from ecg_assets.preprocess.signal_spec import SignalSpec

_PREFIX = "hubert_ecg."
"""Of the encoder in a fine-tuned file."""
_HEAD = "classifier."
_FIRST = ("feature_extractor.conv_layers.0.conv.weight", "encoder.layers.0.attention.q_proj.weight")
# The vector of masked tokens, and what compares tokens with the codes that stand for them.
_PRETRAINING = re.compile(
    rf"(?:{_PREFIX})?(?:masked_spec_embed|(?:final_proj|label_embedding)\..+)"
)
_WEIGHT_NORM = {
    "conv.weight_g": "conv.parametrizations.weight.original0",
    "conv.weight_v": "conv.parametrizations.weight.original1",
}
"""As torch before 2.0 stores it: magnitude, direction."""
_SHAPE = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("conv_dim", "conv_kernel", "conv_stride", "conv_bias"),
    *("num_conv_pos_embeddings", "num_conv_pos_embedding_groups"),
)
_DETAILS = (
    *("hidden_act", "layer_norm_eps", "feat_extract_norm", "feat_extract_activation"),
    *("feat_proj_layer_norm", "do_stable_layer_norm", "conv_pos_batch_norm"),
)


@dataclass(frozen=True, eq=False)
class HubertEcgFile:
    """What is read of a file; its optimizer, counters and scores are left alone.

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
    config: HubertEcgConfig
    weights: dict[str, Tensor]

    @property
    def is_finetuned(self) -> bool:
        """Whether it is a classifier; otherwise it is a pre-training model."""
        return any(name.startswith(_HEAD) for name in self.weights)


def is_hubert_ecg(content: object) -> bool:
    """Tell whether the content of a published file is a HuBERT-ECG."""
    return _find_weights(content) is not None


def read_hubert_ecg(path: Path) -> HubertEcgFile:
    """Read a .pt file of HuBERT-ECG's training, or model.safetensors beside config.json.

    No code in it is run: of the configuration that a .pt file holds as an object, the attributes
    are read.

    Raises
    ------
    UnsafeCheckpoint
        When the file would run code; the message names it.
    CheckpointError
        When the file is missing, damaged, or no HuBERT-ECG.
    """
    return hubert_ecg_file(read_published_file(path), path)


def hubert_ecg_file(content: Any, path: Path) -> HubertEcgFile:
    """Take weights and architecture from the content of the file at `path`.

    The configuration decides, since no weight tells the number of heads; loading the weights then
    checks every shape.
    """
    weights = _find_weights(content)
    if weights is None:
        found = sorted(map(str, content))[:8] if isinstance(content, dict) else type(content)
        raise CheckpointError(
            f"{path} is no checkpoint of HuBERT-ECG: expected 'model_state_dict' with the weights "
            f"of a HuBERT, found {found}. Give the file as its training wrote it."
        )
    stated = content.get("model_config") or content.get("config")
    lacking = [name for name in _SHAPE if not isinstance(stated, Mapping) or name not in stated]
    if lacking:
        raise CheckpointError(
            f"{path} does not state {', '.join(lacking)} of its HuBERT, and no weight tells the "
            "number of heads. Give the file with its configuration: a .pt file with "
            "'model_config', or model.safetensors beside its config.json."
        )
    shape = {name: stated[name] for name in (*_SHAPE, *_DETAILS) if name in stated}
    try:
        head = weights.get(f"{_HEAD}weight")
        config = hubert_ecg_config_of(shape, n_labels=None if head is None else len(head))
    except UNREADABLE_VALUES as error:
        raise CheckpointError(
            f"{path}: its configuration is that of no HuBERT ({type(error).__name__}: {error}). "
            "Get the original file."
        ) from error
    return HubertEcgFile(path, config, weights)


def _find_weights(content: object) -> dict[str, Tensor] | None:
    if not isinstance(content, Mapping):
        return None
    for place in (content.get("model_state_dict"), content.get("state_dict")):
        if isinstance(place, Mapping) and any(
            all(f"{prefix}{name}" in place for name in _FIRST) for prefix in ("", _PREFIX)
        ):
            is_whole = all(isinstance(value, Tensor) for value in place.values())
            return dict(place) if is_whole else None
    return None


def _rename(name: str) -> str:
    # classifier.weight → head.weight; hubert_ecg.encoder.… → encoder.encoder.…
    if name.startswith(_HEAD):
        return f"head.{name.removeprefix(_HEAD)}"
    for old, new in _WEIGHT_NORM.items():
        if name.endswith(old):
            name = name.removesuffix(old) + new
    return f"encoder.{name.removeprefix(_PREFIX)}"


# The model of a file, and the checkpoint folder that is made of it.


def import_hubert_ecg(
    path: str | Path,
    folder: str | Path,
    *,
    spec: SignalSpec | None = None,
    vocabulary: LabelVocabulary | None = None,
) -> Path:
    """Import a file of HuBERT-ECG as a checkpoint folder; no code in it is run.

    A fine-tuned file becomes a classifier. A pre-trained one becomes an encoder to start
    fine-tuning from; what only pre-training uses is kept beside it. The folder appears complete
    or not at all.

    Parameters
    ----------
    path
        The .pt file, or model.safetensors with config.json beside it.
    folder
        Where to write; an earlier import there is replaced, anything else is refused.
    spec
        What the model reads. By default what HuBERT-ECG's training reads: 5 s of twelve leads
        laid end to end, 100 samples a second each.
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
        When the file is no HuBERT-ECG, a weight is missing or one too many, `vocabulary` has
        another number of labels, or the folder holds something else.
    """
    path, folder = Path(path), Path(folder)
    require_replaceable(folder)
    return write_imported(_build(read_hubert_ecg(path)), folder, spec, vocabulary)


def load_hubert_ecg(
    content: object, path: Path, pretrained: Path | None = None
) -> HubertEcgForClassification | HubertEcg:
    """Build the model of a file's content, which needs no other file."""
    model: HubertEcgForClassification | HubertEcg = _build(hubert_ecg_file(content, path)).model
    return model


def fit_meaning(
    content: object, path: Path, spec: SignalSpec | None, vocabulary: LabelVocabulary | None
) -> tuple[SignalSpec | None, None]:
    """Take a deployment's spec: any leads laid end to end fit. Labels are never guessed."""
    return spec, None


def _build(file: HubertEcgFile) -> ImportedModel:
    where, config = str(file.path), file.config
    mapped = rename_weights(file.weights, _rename, dropped=_PRETRAINING)
    model_class = HubertEcgForClassification if file.is_finetuned else HubertEcg
    return ImportedModel(
        family=HUBERT_ECG,
        path=file.path,
        model=load_weights(partial(model_class, config), mapped.weights, where=where),
        architecture=f"{config.num_hidden_layers} transformer layers of width "
        f"{config.hidden_size}, {config.num_attention_heads} heads,\n"
        "  {n_parameters:,} parameters",
        report=mapped.report(HUBERT_ECG.title, (), is_finetuned=file.is_finetuned),
        pretraining=mapped.dropped,
    )
