"""A file of xresnet1d101 as fastai 1 writes it: weights by position, and its model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from torch import Tensor

from ecg_assets.errors import CheckpointError
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models.fairseq_weights import count_modules
from ecg_assets.models.imported import ImportedModel, shapes_of
from ecg_assets.models.renamed_weights import rename_weights
from ecg_assets.models.weights import load_weights
from ecg_assets.models.xresnet.family import XRESNET1D101
from ecg_assets.models.xresnet.model import Xresnet, XresnetConfig, xresnet_config_of
from ecg_assets.preprocess.signal_spec import SignalSpec

_FIRST = ("0.0.weight", "4.0.convs.0.0.weight", "8.8.weight")
# Each convolution of a block is registered a second time, with the same values.
_TWICE = re.compile(r"(\d+\.\d+)\.convpath\.0\.(.+)")
_HEAD = {"2": "pooled_norm", "4": "hidden", "6": "hidden_norm", "8": "head"}
"""Layers of the last of its modules; between them are activations and dropout."""


def is_xresnet(content: object) -> bool:
    """Tell whether the content of a published file is an xresnet1d101."""
    return bool(_find_weights(content))


def fit_meaning(
    content: object, path: Path, spec: SignalSpec | None, vocabulary: LabelVocabulary | None
) -> tuple[None, None]:
    """Take nothing from a deployment: neither its scale nor its labels can be told to fit."""
    return None, None


def _find_weights(content: object) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        return {}
    for place in (content.get("model"), content.get("state_dict"), content):
        if isinstance(place, Mapping) and all(name in place for name in _FIRST):
            is_whole = all(isinstance(value, Tensor) for value in place.values())
            return dict(place) if is_whole else {}
    return {}


def _rename(name: str) -> str:
    # 0.0.weight → stem.0.0.weight; 4.0.convs.… → stages.0.0.convs.…; 8.8.weight → head.weight
    number, _, rest = name.partition(".")
    if int(number) < 3:
        return f"stem.{name}"
    if number != "8":
        return f"stages.{int(number) - 4}.{rest}"
    layer, _, rest = rest.partition(".")
    return f"{_HEAD[layer]}.{rest}"


def build_xresnet(content: object, path: Path) -> ImportedModel:
    """Build the model of a .pth file of fastai 1.

    Its input had the mean and deviation that its training put into ``standard_scaler.pkl``, which
    the file does not tell.
    """
    weights = _find_weights(content)
    other = "not under its names and in its shapes"
    with shapes_of(path, XRESNET1D101.title, other=other):
        _require_twice(weights, path)
        mapped = rename_weights(weights, _rename, unused=_TWICE)
        config = _read_config(weights)
    return ImportedModel(
        family=XRESNET1D101,
        path=path,
        model=load_weights(partial(Xresnet, config), mapped.weights, where=str(path)),
        architecture=f"xresnet1d of {sum(config.blocks)} blocks in {len(config.blocks)} stages, "
        f"{config.width} features in the middle of each,\n  {{n_parameters:,}} parameters",
        report=mapped.report(
            XRESNET1D101.title,
            ("strides and kernels of pooling are those of all its published models",),
            is_finetuned=True,
        ),
    )


def _require_twice(weights: Mapping[str, Tensor], path: Path) -> None:
    """Raise `CheckpointError` where the second name of a weight has other values."""
    for name, value in weights.items():
        match = _TWICE.fullmatch(name)
        if match and not value.equal(weights[f"{match[1]}.convs.{match[2]}"]):
            raise CheckpointError(
                f"{path}: {name} and {match[1]}.convs.{match[2]} are one weight of xresnet1d101 "
                "and have two values. Get the original file."
            )


def _read_config(weights: Mapping[str, Tensor]) -> XresnetConfig:
    """Read the architecture off the shapes; loading the weights then checks every one."""
    shape = {
        "stem": tuple(len(weights[f"{i}.0.weight"]) for i in range(3)),
        "width": len(weights["4.0.convs.0.0.weight"]),
        "blocks": tuple(
            count_modules(weights, f"{stage}.{{}}.convs.0.0.weight") for stage in range(4, 8)
        ),
        "head_size": len(weights["8.4.weight"]),
    }
    n_channels, n_labels = weights["0.0.weight"].shape[1], len(weights["8.8.weight"])
    return xresnet_config_of(shape, n_channels=n_channels, n_labels=n_labels)
