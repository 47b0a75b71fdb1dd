"""A checkpoint file of ECG-LFM: its weights, the architecture that they tell, its import."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ecg_assets.errors import CheckpointError
from ecg_assets.labels.label_set import MYOCARDIAL_INFARCTION, load_label_set
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models.ecg_lfm.config import EcgLfmConfig, ecg_lfm_config_of
from ecg_assets.models.ecg_lfm.family import ECG_LFM
from ecg_assets.models.ecg_lfm.model import EcgLfm, EcgLfmForClassification
from ecg_assets.models.fairseq_weights import (
    HEAD,
    PRETRAINING,
    MappedWeights,
    count_modules,
    front_names,
    is_classifier,
    sort_weights,
    weight_and_bias,
)
from ecg_assets.models.imported import (
    ImportedModel,
    require_replaceable,
    shapes_of,
    write_imported,
)
from ecg_assets.models.token_config import parse_conv_layers
from ecg_assets.models.torch_file import read_torch_file
from ecg_assets.models.weights import load_weights
from ecg_assets.preprocess.signal_spec import SignalSpec

# Attention with a bias for its relative positions, which no other conformer of fairseq has.
_CONFORMER = re.compile(r"(?:encoder\.)?encoder\.layers\.0\.self_attn\.pos_bias_u")
_CONVOLUTION = "feature_extractor.conv_layers.{}.0.weight"
_LAYER = "encoder.layers.{}."
_STATED = {
    "encoder_layers": "num_hidden_layers",
    "encoder_embed_dim": "hidden_size",
    "encoder_ffn_embed_dim": "intermediate_size",
    "encoder_attention_heads": "num_attention_heads",
    "depthwise_conv_kernel_size": "conv_depthwise_kernel_size",
}


def is_ecg_lfm(content: object) -> bool:
    """Tell whether the content of a file of torch.save is an ECG-LFM."""
    weights = content.get("model") if isinstance(content, Mapping) else None
    return isinstance(weights, Mapping) and any(
        isinstance(name, str) and _CONFORMER.fullmatch(name) for name in weights
    )


def build_ecg_lfm(content: Any, path: Path) -> ImportedModel:
    """Build the model of a .pt file of ECG-LFM, pre-trained or fine-tuned.

    The shapes decide. A configuration, which a file may lack, gives the strides; that of a
    pre-trained file must agree with the weights, that of a fine-tuned one often holds defaults.
    """
    if not is_ecg_lfm(content):
        found = sorted(map(str, content))[:8] if isinstance(content, dict) else type(content)
        raise CheckpointError(
            f"{path} is no checkpoint of ECG-LFM: expected 'model' with the weights of its "
            f"conformer layers, found {found}. Give the file as its training wrote it."
        )
    weights = dict(content["model"])
    finetuned = is_classifier(weights)
    prefix = "encoder." if finetuned else ""
    encoder = {name.removeprefix(prefix): value for name, value in weights.items()}
    stated = _settings(content)
    with shapes_of(path, ECG_LFM.title):
        shape, assumed = _read_shape(encoder, stated)
        n_labels = len(weights["proj.weight"]) if finetuned else None
        n_channels = encoder[_CONVOLUTION.format(0)].shape[1]
        config = ecg_lfm_config_of(shape, n_channels=n_channels, n_labels=n_labels)
    if not finetuned:
        _require_agreement(config, stated, path)
    mapped = map_ecg_lfm_weights(weights, config, finetuned=finetuned, where=str(path))
    model_class = EcgLfmForClassification if finetuned else EcgLfm
    return ImportedModel(
        family=ECG_LFM,
        path=path,
        model=load_weights(partial(model_class, config), mapped.weights, where=str(path)),
        architecture=f"{config.num_hidden_layers} conformer layers of width {config.hidden_size}, "
        f"{config.num_attention_heads} heads, {config.n_channels} input channels,\n"
        "  {n_parameters:,} parameters",
        report=mapped.report(ECG_LFM.title, assumed, is_finetuned=finetuned),
        pretraining=mapped.dropped,
        known=load_label_set(MYOCARDIAL_INFARCTION).vocabulary,
        warnings=assumed,
    )


def _settings(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Find the options of the model: a section of ``cfg``, or ``config`` alone, or none."""
    cfg = content.get("cfg")
    stated = cfg.get("model") if isinstance(cfg, Mapping) else content.get("config")
    return stated if isinstance(stated, Mapping) else {}


def _read_shape(
    encoder: Mapping[str, Tensor], stated: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    n_convolutions = count_modules(encoder, _CONVOLUTION)
    convolutions = [encoder[_CONVOLUTION.format(i)].shape for i in range(n_convolutions)]
    first = _LAYER.format(0)
    inner_width, width = encoder[f"{first}ffn1.w_1.weight"].shape
    kernels = tuple(shape[2] for shape in convolutions)
    strides, assumed = _read_strides(kernels, stated)
    shape = {
        "hidden_size": width,
        "num_hidden_layers": count_modules(encoder, f"{_LAYER}ffn1.w_1.weight"),
        "num_attention_heads": len(encoder[f"{first}self_attn.pos_bias_u"]),
        "intermediate_size": inner_width,
        "conv_dim": tuple(shape[0] for shape in convolutions),
        "conv_kernel": kernels,
        "conv_stride": strides,
        "conv_bias": f"{_CONVOLUTION.format(0).removesuffix('weight')}bias" in encoder,
        "conv_depthwise_kernel_size": encoder[f"{first}conv_module.depthwise_conv.weight"].shape[2],
    }
    return shape, assumed


def _read_strides(
    kernels: tuple[int, ...], stated: Mapping[str, Any]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Take the strides of a configuration with the same kernels; else they are the kernels."""
    text = stated.get("conv_feature_layers")
    if isinstance(text, str):
        layers = parse_conv_layers(text)
        if tuple(kernel for _, kernel, _ in layers) == kernels:
            return tuple(stride for _, _, stride in layers), ()
    assumed = f"strides {kernels} of the convolutions, which are their kernels as in ECG-LFM"
    return kernels, (assumed,)


def _require_agreement(config: EcgLfmConfig, stated: Mapping[str, Any], path: Path) -> None:
    wrong = {
        theirs: (stated[theirs], getattr(config, ours))
        for theirs, ours in _STATED.items()
        if theirs in stated and stated[theirs] != getattr(config, ours)
    }
    if wrong:
        listed = "; ".join(f"{name} {says}, not {has}" for name, (says, has) in wrong.items())
        raise CheckpointError(
            f"{path}: its configuration states {listed} as its weights have. They belong to "
            "different models; get the original."
        )


# Names of ECG-LFM's weights in its own checkpoints and here.


_SAME_NORMS = ("self_attn_layer_norm", "conv_module.layer_norm", "final_layer_norm")
_SAME = (
    *(f"self_attn.{name}" for name in ("pos_bias_u", "pos_bias_v", "linear_pos.weight")),
    *(f"conv_module.{name}.weight" for name in ("pointwise_conv1", "pointwise_conv2")),
    "conv_module.depthwise_conv.weight",
    *(f"conv_module.batch_norm.running_{name}" for name in ("mean", "var")),
    "conv_module.batch_norm.num_batches_tracked",
)
_PRETRAINING = re.compile(PRETRAINING.pattern + r"|(?:encoder\.)?mlm_proj\.(?:weight|bias)")
_FEED_FORWARD = (
    ("layer_norm", "_layer_norm"),
    ("w_1", ".intermediate_dense"),
    ("w_2", ".output_dense"),
)
# Its encoder is made with convolutional positions and a last layer norm, and runs without: the
# positions are relative, and the norm is left out wherever a layer is asked for, which is always.
_UNUSED = re.compile(
    r"(?:encoder\.)?(?:conv_pos\.pos_conv|encoder\.pos_conv)\.0\."
    r"(?:bias|parametrizations\.weight\.original[01])|(?:encoder\.)?encoder\.layer_norm\.(?:weight|bias)"
)


def ecg_lfm_names(config: EcgLfmConfig, *, finetuned: bool) -> dict[str, str]:
    """List every weight of an architecture: ECG-LFM's name → this package's.

    Parameters
    ----------
    config
        Numbers of convolutions and layers.
    finetuned
        True for its classifier, False for the encoder as it stands in a pre-training model.
    """
    prefix = "encoder." if finetuned else ""
    pairs = [*front_names(config), *_layers(config.num_hidden_layers)]
    names = {f"{prefix}{theirs}": f"encoder.{ours}" for theirs, ours in pairs}
    return names | HEAD if finetuned else names


def map_ecg_lfm_weights(
    state: Mapping[str, Tensor], config: EcgLfmConfig, *, finetuned: bool, where: str
) -> MappedWeights:
    """Rename the weights of an ECG-LFM; none is passed over in silence.

    Raises
    ------
    CheckpointError
        When weights are missing, or there are others; the message names them.
    """
    return sort_weights(
        state,
        ecg_lfm_names(config, finetuned=finetuned),
        config,
        where=where,
        expected="ECG-LFM as its authors' program writes it",
        dropped=_PRETRAINING,
        unused=_UNUSED,
    )


def _layers(n_layers: int) -> Iterator[tuple[str, str]]:
    for i in range(n_layers):
        layer = f"encoder.layers.{i}."
        for name in _SAME:
            yield layer + name, layer + name
        linear = tuple(f"self_attn.linear_{name}" for name in ("q", "k", "v", "out"))
        for name in (*_SAME_NORMS, *linear, "conv_module.batch_norm"):
            yield from weight_and_bias(layer + name, layer + name)
        for half in ("ffn1", "ffn2"):
            for theirs, ours in _FEED_FORWARD:
                yield from weight_and_bias(f"{layer}{half}.{theirs}", f"{layer}{half}{ours}")


# The model of a file, and the checkpoint folder that is made of it.


def import_ecg_lfm(
    path: str | Path,
    folder: str | Path,
    *,
    spec: SignalSpec | None = None,
    vocabulary: LabelVocabulary | None = None,
) -> Path:
    """Import a .pt file of ECG-LFM as a checkpoint folder; no code in it is run.

    A fine-tuned file becomes a classifier. A pre-trained one becomes an encoder to start
    fine-tuning from; what only pre-training uses is kept beside it. The folder appears complete
    or not at all.

    Parameters
    ----------
    path
        The file.
    folder
        Where to write; an earlier import there is replaced, anything else is refused.
    spec
        What the model reads. By default what ECG-LFM's scripts store: 5 s at 500 Hz in mV,
        twelve leads, or Lead I for one channel; other numbers of channels go without.
    vocabulary
        What its outputs mean. By default ECG-LFM's task, myocardial infarction, for one output;
        other numbers go without. A folder without it gives logits, and can start fine-tuning,
        but is not evaluated.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UnsafeCheckpoint
        When the file would run code.
    CheckpointError
        When the file is not ECG-LFM as its training writes it, `vocabulary` has another number
        of labels, `spec` other channels, or the folder holds something else.
    """
    path, folder = Path(path), Path(folder)
    require_replaceable(folder)
    return write_imported(build_ecg_lfm(read_torch_file(path), path), folder, spec, vocabulary)
