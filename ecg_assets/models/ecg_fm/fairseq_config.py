"""The architecture of a fairseq-signals checkpoint, from its configuration and its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ecg_assets.errors import CheckpointError
from ecg_assets.models.ecg_fm.config import EcgFmConfig, ecg_fm_config_of
from ecg_assets.models.ecg_fm.fairseq_file import FairseqFile
from ecg_assets.models.ecg_fm.family import SIZES
from ecg_assets.models.fairseq_weights import count_modules, modern_names
from ecg_assets.models.token_config import ConvLayers, parse_conv_layers

_CLASSIFIER = "ecg_transformer_classifier"
_PRETRAINING = ("wav2vec2_cmsc", "wav2vec2", "ecg_transformer")


@dataclass(frozen=True)
class Architecture:
    """What a checkpoint's model is.

    Attributes
    ----------
    config
        The configuration.
    assumed
        What neither the weights nor a configuration that fits them state, and what was
        taken instead; one sentence each.
    """

    config: EcgFmConfig
    assumed: tuple[str, ...] = ()


def read_architecture(
    file: FairseqFile,
    pretrained: FairseqFile | None = None,
    *,
    config_of: Callable[..., EcgFmConfig] = ecg_fm_config_of,
) -> Architecture:
    """Find the architecture of a checkpoint; the weights' shapes decide.

    A pre-trained checkpoint's configuration must agree with its weights. That of a
    fine-tuned one often holds defaults instead, because fairseq-signals builds the encoder
    from the configuration of the pre-trained file (``model.model_path``). Then the number of
    attention heads and the strides, which no shape tells, come from `pretrained`; without
    it, the heads from the known size of the same shape and the strides from a configuration
    with the same kernels, and `assumed` says so. `config_of` builds the configuration, of a family
    that has ECG-FM's architecture.

    Raises
    ------
    CheckpointError
        When the model is another one, configuration and weights disagree, or the number of
        heads or the strides cannot be told.
    """
    _require_kind(file)
    prefix = "encoder." if file.is_finetuned else ""
    encoder = {name.removeprefix(prefix): tensor for name, tensor in file.model.items()}
    shape = read_shape(encoder, file.path, prefix=prefix)
    n_heads, strides, assumed = _read_unshaped(shape, file, pretrained)
    values = shape.as_config(n_heads=n_heads, strides=strides)
    n_labels = _count_labels(file) if file.is_finetuned else None
    config = config_of(values, n_channels=shape.n_channels, n_labels=n_labels)
    return Architecture(config, assumed)


def _read_unshaped(
    shape: EncoderShape, file: FairseqFile, pretrained: FairseqFile | None
) -> tuple[int, tuple[int, ...], tuple[str, ...]]:
    """Find what no shape tells: attention heads and strides, and what was assumed for them."""
    source = file if pretrained is None else pretrained
    stated = _Stated.of(source.cfg["model"], source.path)
    if stated.fits(shape):
        return stated.n_heads, tuple(stride for _, _, stride in stated.convolutions), ()
    if pretrained is not None or not file.is_finetuned:
        raise CheckpointError(
            f"The configuration of {source.path} states {stated}, the weights of {file.path} are "
            f"those of {shape}. They belong to different models; get the originals."
        )
    n_heads = _heads_of_known_size(shape, file)
    strides = _strides_of_same_kernels(shape, stated, file)
    assumed = (
        f"{n_heads} attention heads, as the known size of the same shape has, and the strides "
        f"{strides}: the configuration states another encoder than the weights have"
    )
    return n_heads, strides, (assumed,)


def find_heads_and_strides(
    shape: EncoderShape,
    stated: Mapping[str, Any],
    path: Path,
    *,
    known: Iterable[Mapping[str, Any]],
) -> tuple[int, tuple[int, ...], tuple[str, ...]]:
    """Find what no shape tells, for a file that stands apart from its configuration.

    Parameters
    ----------
    shape
        Of the weights.
    stated
        The configuration's options of the model; empty where there is none.
    path
        The file, for errors.
    known
        Sizes of the family, of which one of the same shape is taken where nothing is stated.

    Returns
    -------
    tuple
        Number of attention heads, strides, and what was assumed, one sentence each.

    Raises
    ------
    CheckpointError
        When the configuration is of another model, or there is none and no size has that shape.
    """
    if stated:
        said = _Stated.of(stated, path)
        if not said.fits(shape):
            raise CheckpointError(
                f"The configuration beside {path} states {said}, its weights are those of "
                f"{shape}. They belong to different models; get the originals."
            )
        return said.n_heads, tuple(stride for _, _, stride in said.convolutions), ()
    for size in known:
        n_heads, strides = size["num_attention_heads"], tuple(size["conv_stride"])
        if shape.as_config(n_heads=n_heads, strides=strides, conv_bias=None) == dict(size):
            sentence = (
                f"{n_heads} attention heads and the strides {strides}, as the known size of the "
                "same shape has"
            )
            return n_heads, strides, (sentence,)
    raise CheckpointError(
        f"{path} does not tell its number of attention heads, and is of no known size ({shape}). "
        "Put the config.json that its authors publish beside it."
    )


@dataclass(frozen=True)
class EncoderShape:
    """What the shapes of the weights tell; convolutions are (channels, kernel)."""

    n_channels: int
    convolutions: tuple[tuple[int, int], ...]
    width: int
    inner_width: int
    n_layers: int
    n_positions: int
    n_position_groups: int
    has_conv_bias: bool = field(default=False, compare=False)

    def as_config(
        self, *, n_heads: int, strides: tuple[int, ...], conv_bias: bool | None = True
    ) -> dict[str, Any]:
        """Give the fields of a size with it; those of `conv_bias` are left out where it is None."""
        bias = {} if conv_bias is None else {"conv_bias": self.has_conv_bias}
        return {
            "hidden_size": self.width,
            "num_hidden_layers": self.n_layers,
            "num_attention_heads": n_heads,
            "intermediate_size": self.inner_width,
            "conv_dim": tuple(dim for dim, _ in self.convolutions),
            "conv_kernel": tuple(kernel for _, kernel in self.convolutions),
            "conv_stride": strides,
            "num_conv_pos_embeddings": self.n_positions,
            "num_conv_pos_embedding_groups": self.n_position_groups,
            **bias,
        }


@dataclass(frozen=True)
class _Stated:
    """What the section ``model`` of a configuration tells."""

    n_channels: int
    convolutions: ConvLayers
    width: int
    inner_width: int
    n_layers: int
    n_heads: int
    n_positions: int
    n_position_groups: int

    @classmethod
    def of(cls, model: Mapping[str, Any], path: Path) -> _Stated:
        """Read it; raise `CheckpointError` when an option is missing."""
        try:
            return cls(
                n_channels=int(model["in_d"]),
                convolutions=parse_conv_layers(model["conv_feature_layers"]),
                width=int(model["encoder_embed_dim"]),
                inner_width=int(model["encoder_ffn_embed_dim"]),
                n_layers=int(model["encoder_layers"]),
                n_heads=int(model["encoder_attention_heads"]),
                n_positions=int(model["conv_pos"]),
                n_position_groups=int(model["conv_pos_groups"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{path}: its configuration lacks a usable model.{error}, which ECG-FM has. Is "
                "it of another program?"
            ) from error

    def fits(self, shape: EncoderShape) -> bool:
        """Tell whether a model of these options has weights of this shape."""
        stated = EncoderShape(
            n_channels=self.n_channels,
            convolutions=tuple((dim, kernel) for dim, kernel, _ in self.convolutions),
            width=self.width,
            inner_width=self.inner_width,
            n_layers=self.n_layers,
            n_positions=self.n_positions,
            n_position_groups=self.n_position_groups,
        )
        return stated == shape and self.n_heads > 0 and self.width % self.n_heads == 0


def _require_kind(file: FairseqFile) -> None:
    model = file.cfg["model"]
    allowed = (_CLASSIFIER,) if file.is_finetuned else _PRETRAINING
    found = {
        "_name": (model.get("_name"), allowed),
        "layer_norm_first": (model.get("layer_norm_first", False), (False,)),
        "extractor_mode": (model.get("extractor_mode", "default"), ("default",)),
    }
    wrong = {name: value for name, (value, known) in found.items() if value not in known}
    if wrong:
        readable = {name: found[name][1] for name in wrong}
        raise CheckpointError(
            f"{file.path} holds another architecture than ECG-FM: its configuration has "
            f"{wrong}; readable are {readable}."
        )


def read_shape(encoder: Mapping[str, Tensor], path: Path, *, prefix: str = "") -> EncoderShape:
    """Read an encoder's architecture off its weights.

    Parameters
    ----------
    encoder
        Weights by fairseq-signals' names.
    path, prefix
        The file, and what stands before each name in it, for errors.

    Raises
    ------
    CheckpointError
        When a weight is missing or has another number of dimensions.
    """
    encoder = modern_names(encoder)

    def shape(name: str, rank: int) -> tuple[int, ...]:
        if name not in encoder or encoder[name].ndim != rank:
            found = list(encoder[name].shape) if name in encoder else "no such weight"
            raise CheckpointError(
                f"{path} is not ECG-FM as fairseq-signals writes it: expected {prefix}{name} with "
                f"{rank} dimensions, found {found}. Is it of another architecture, or incomplete?"
            )
        return tuple(encoder[name].shape)

    convolution, layer = "feature_extractor.conv_layers.{}.0.weight", "encoder.layers.{}.fc1.weight"
    convolutions = [
        shape(convolution.format(i), 3) for i in range(count_modules(encoder, convolution))
    ]
    first = shape(convolution.format(0), 3)
    inner_width, width = shape(layer.format(0), 2)
    position = shape("conv_pos.pos_conv.0.parametrizations.weight.original1", 3)
    return EncoderShape(
        n_channels=first[1],
        convolutions=tuple((dim, kernel) for dim, _, kernel in convolutions),
        width=width,
        inner_width=inner_width,
        n_layers=count_modules(encoder, layer),
        n_positions=position[2],
        n_position_groups=width // position[1],
        has_conv_bias="feature_extractor.conv_layers.0.0.bias" in encoder,
    )


def _heads_of_known_size(shape: EncoderShape, file: FairseqFile) -> int:
    for size in SIZES.values():
        known = (size["hidden_size"], size["intermediate_size"], size["num_hidden_layers"])
        if known == (shape.width, shape.inner_width, shape.n_layers):
            return int(size["num_attention_heads"])
    raise CheckpointError(
        f"{file.path} does not tell its number of attention heads: its configuration states "
        f"another encoder than its weights have ({shape}). Give the checkpoint that it was "
        f"fine-tuned from (model.model_path: {file.cfg['model'].get('model_path')}) as pretrained."
    )


def _strides_of_same_kernels(
    shape: EncoderShape, stated: _Stated, file: FairseqFile
) -> tuple[int, ...]:
    kernels = [kernel for _, kernel in shape.convolutions]
    if [kernel for _, kernel, _ in stated.convolutions] == kernels:
        return tuple(stride for _, _, stride in stated.convolutions)
    raise CheckpointError(
        f"{file.path} does not tell the strides of its convolutions: its weights have the kernels "
        f"{kernels}, its configuration states {stated.convolutions}. Give the checkpoint that it "
        "was fine-tuned from as pretrained."
    )


def _count_labels(file: FairseqFile) -> int:
    head = file.model.get("proj.weight")
    if head is None or head.ndim != 2:
        raise CheckpointError(
            f"{file.path} has no classification head proj.weight [label, feature], but its other "
            "weights are named as a classifier's. It is incomplete; get the original."
        )
    stated = file.cfg["model"].get("num_labels", head.shape[0])
    if stated != head.shape[0]:
        raise CheckpointError(
            f"{file.path}: its configuration states {stated} labels, its head has "
            f"{head.shape[0]}. The file was put together from two models; get the original."
        )
    return int(head.shape[0])
