"""Names of weights in fairseq-signals and here, as far as its models have them in common."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch
from torch import Tensor

from ecg_assets.errors import CheckpointError
from ecg_assets.models.imported import PRETRAINED

PROJECTION = (
    "encoder.feature_projection.projection.weight",
    "encoder.feature_projection.projection.bias",
)
HEAD = {"proj.weight": "head.weight", "proj.bias": "head.bias"}

# Weight norm as torch before 2.0 stores it: g is the magnitude, v the direction.
_OLD_ENDINGS = {
    ".pos_conv.0.weight_g": ".pos_conv.0.parametrizations.weight.original0",
    ".pos_conv.0.weight_v": ".pos_conv.0.parametrizations.weight.original1",
}
# What only pre-training uses: the mask, the code book, and the projections of its losses.
PRETRAINING = re.compile(
    r"(?:encoder\.)?(?:mask_emb|(?:input_)?quantizer\..+|(?:project_q|project_inp|final_proj)"
    r"\.(?:weight|bias)|target_glu\..+)"
)


@dataclass(frozen=True, eq=False)
class MappedWeights:
    """The weights of a fairseq-signals checkpoint, sorted.

    Attributes
    ----------
    weights
        Those of the encoder and the head, float32, by this package's names.
    names
        For each of them fairseq-signals' name → this package's.
    dropped
        Those that only pre-training uses, by fairseq-signals' name.
    unused
        Those that the model carries and nothing uses, by their name in the file.
    """

    weights: dict[str, Tensor]
    names: dict[str, str]
    dropped: dict[str, Tensor]
    unused: dict[str, Tensor] = field(default_factory=dict)

    def report(self, writer: str, assumed: Sequence[str], *, is_finetuned: bool) -> dict[str, Any]:
        """Say what became of each weight, as import_report.json has it."""
        reasons = (
            (self.dropped, "only pre-training uses it"),
            (self.unused, f"{writer} carries it and never uses it"),
        )
        return {
            "writer": writer,
            "kind": "fine-tuned" if is_finetuned else PRETRAINED,
            "assumed": list(assumed),
            "mapped": [
                {"from": theirs, "to": ours, "shape": list(self.weights[ours].shape)}
                for theirs, ours in self.names.items()
            ],
            "dropped": [
                {"from": name, "shape": list(tensor.shape), "reason": reason}
                for weights, reason in reasons
                for name, tensor in weights.items()
            ],
        }


def is_classifier(names: Iterable[str]) -> bool:
    """Tell by the names of its weights whether a model has a head; else it is for pre-training."""
    return any(name.startswith(("encoder.encoder.", "proj.")) for name in names)


def count_modules(names: Container[str], template: str) -> int:
    """Count modules by the name of a weight of each, with ``{}`` for its number from 0.

    >>> count_modules({"layers.0.fc.weight", "layers.1.fc.weight"}, "layers.{}.fc.weight")
    2
    """
    return next(n for n in count() if template.format(n) not in names)


def front_names(config: Any) -> Iterator[tuple[str, str]]:
    """Name the weights before the transformer: fairseq-signals' name, this package's."""
    for i in range(len(config.conv_dim)):
        theirs, ours = f"feature_extractor.conv_layers.{i}", f"feature_extractor.conv_layers.{i}"
        yield f"{theirs}.0.weight", f"{ours}.conv.weight"
        if config.conv_bias:
            yield f"{theirs}.0.bias", f"{ours}.conv.bias"
    # Only the first convolution is followed by a (group) norm.
    first = "feature_extractor.conv_layers.0"
    yield from weight_and_bias(f"{first}.2", f"{first}.layer_norm")
    yield from weight_and_bias("layer_norm", "feature_projection.layer_norm")
    if not has_no_projection(config):
        yield from weight_and_bias("post_extract_proj", "feature_projection.projection")


def has_no_projection(config: Any) -> bool:
    """Whether fairseq-signals builds no projection: the convolutions are as wide as the encoder.

    Here there always is one; for such a model it is the identity.
    """
    return bool(config.conv_dim[-1] == config.hidden_size)


def identity_projection(config: Any) -> dict[str, Tensor]:
    """Give the weights of the projection that changes nothing, by this package's names."""
    width = config.hidden_size
    values = (torch.eye(width), torch.zeros(width))
    return dict(zip(PROJECTION, values, strict=True))


def sort_weights(
    state: Mapping[str, Tensor],
    names: Mapping[str, str],
    config: Any,
    *,
    where: str,
    expected: str,
    dropped: re.Pattern[str] = PRETRAINING,
    unused: re.Pattern[str] | None = None,
) -> MappedWeights:
    """Rename the weights that `names` has, and set aside those that are known besides.

    Parameters
    ----------
    state
        Weights by fairseq-signals' names.
    names
        fairseq-signals' name → this package's, of all that the model uses.
    config
        Its width and that of its convolutions.
    where, expected
        The checkpoint, and what it ought to be, in errors.
    dropped
        Names of what only pre-training uses.
    unused
        Names of what the model carries and nothing uses.

    Raises
    ------
    CheckpointError
        When weights are missing, or there are others; the message names them.
    """
    in_file = {_modern(name): name for name in state}
    state = modern_names(state)
    others = [name for name in state if name not in names]
    heads = {name: state[name] for name in others if dropped.fullmatch(name)}
    idle = {name: state[name] for name in others if unused and unused.fullmatch(name)}
    missing = [name for name in names if name not in state]
    unexpected = [name for name in others if name not in heads and name not in idle]
    if missing or unexpected:
        raise CheckpointError(
            f"{where} is not {expected}: missing {_first(missing)}; unexpected "
            f"{_first(unexpected)}. Is it of another architecture, or incomplete?"
        )
    weights = {ours: _as_float32(state[theirs]) for theirs, ours in names.items()}
    if has_no_projection(config):
        weights |= identity_projection(config)
    idle = {in_file[name]: tensor for name, tensor in idle.items()}
    return MappedWeights(weights, dict(names), heads, idle)


def modern_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename weight norm's parameters from torch before 2.0 to those of today."""
    return {_modern(name): tensor for name, tensor in state.items()}


def _modern(name: str) -> str:
    for old, new in _OLD_ENDINGS.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def weight_and_bias(theirs: str, ours: str) -> Iterator[tuple[str, str]]:
    """Name a module's two weights: fairseq-signals' name, this package's."""
    for parameter in ("weight", "bias"):
        yield f"{theirs}.{parameter}", f"{ours}.{parameter}"


def _first(names: list[str], n_shown: int = 8) -> str:
    if not names:
        return "none"
    rest = len(names) - n_shown
    return ", ".join(names[:n_shown]) + (f" and {rest} more" if rest > 0 else "")


def _as_float32(value: Tensor) -> Tensor:
    """Counters of batch norms stay whole numbers."""
    return value.float() if value.is_floating_point() else value
