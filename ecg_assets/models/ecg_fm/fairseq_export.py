"""A model of ours to a checkpoint file that fairseq-signals loads and continues from."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from ecg_assets.errors import CheckpointError
from ecg_assets.models.checkpoint_folder import FAIRSEQ, PRETRAINING_WEIGHTS, read_json
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.ecg_fm.config import EcgFmConfig
from ecg_assets.models.ecg_fm.fairseq_file import (
    FairseqFile,
    fairseq_names,
    map_weights,
    read_fairseq,
)
from ecg_assets.models.ecg_fm.model import EcgFm, EcgFmForClassification
from ecg_assets.models.fairseq_weights import has_no_projection, identity_projection, modern_names
from ecg_assets.models.fold import unfold_weight
from ecg_assets.models.load import load_checkpoint
from ecg_assets.models.token_models import TokenModel
from ecg_assets.storage import replace_file

_FIRST = "encoder.feature_extractor.conv_layers.0.conv.weight"
_HEAD = ("proj.weight", "proj.bias")


def export_fairseq(
    model: EcgClassifier | TokenModel | str | Path,
    path: str | Path,
    *,
    like: str | Path | None = None,
) -> Path:
    """Write a .pt file in the form of fairseq-signals' trainer.

    The weights are the model's, float32. A model folded to one channel is unfolded: its 12
    channels give the same outputs on one lead repeated 12 times. The optimizer's state is
    not part of it; training goes on with a new optimizer.

    Parameters
    ----------
    model
        A model, or a checkpoint folder.
    path
        The file to write; an existing one is replaced.
    like
        A .pt file of the same architecture that gives configuration and history, and for
        an encoder the weights that only pre-training uses. By default they come from the
        folder; one that was not imported gets ECG-FM's configuration, which opens without
        the pre-trained file.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    CheckpointError
        When the model is no ECG-FM, `like` is of another architecture, an encoder comes
        without the weights that fairseq-signals' pre-training model needs, or fairseq-signals
        has no such model: it puts no projection between convolutions and an encoder of the
        same width.
    """
    folder = Path(model) if isinstance(model, str | Path) else None
    source = load_checkpoint(model) if isinstance(model, str | Path) else model
    if not isinstance(source, EcgFmForClassification | EcgFm):
        raise CheckpointError(
            f"{type(source).__name__} is no model of fairseq-signals, which cannot load it; only "
            "ECG-FM can be exported."
        )
    if isinstance(source, EcgFmForClassification) and source.attention_pool is not None:
        raise CheckpointError(
            "The model's head pools tokens by attention (attention-probe), which no model of "
            "fairseq-signals does. Export one that was trained by another method."
        )
    frame = _find_frame(source, folder, None if like is None else read_fairseq(Path(like)))
    content = {
        "args": None,
        "cfg": frame.cfg,
        "model": _rename(source) | frame.pretraining_weights,
        "criterion": None,
        "optimizer_history": frame.optimizer_history,
        "task_state": frame.task_state,
        "extra_state": frame.extra_state,
    }
    # An open file: torch.save would write the temporary path's name into the archive.
    with replace_file(Path(path)) as target, target.open("wb") as file:
        torch.save(content, file)
    return Path(path)


@dataclass(frozen=True, eq=False)
class _Frame:
    """What stands around the weights in a checkpoint file."""

    cfg: dict[str, Any]
    optimizer_history: list[dict[str, Any]]
    task_state: dict[str, Any]
    extra_state: dict[str, Any]
    pretraining_weights: dict[str, Tensor] = field(default_factory=dict)


def _rename(model: EcgFmForClassification | EcgFm) -> dict[str, Tensor]:
    """Take the weights by fairseq-signals' names, float32 on the CPU and unfolded."""
    weights = {
        # A copy: torch.save writes all of the storage that a view is part of.
        name: value.detach().to("cpu", torch.float32, copy=True).contiguous()
        for name, value in model.state_dict().items()
    }
    if model.config.folded_from:
        weights[_FIRST] = unfold_weight(weights[_FIRST], model.config.folded_from)
    if has_no_projection(model.config):
        _require_identity(model.config, weights)
    names = fairseq_names(model.config, finetuned=isinstance(model, EcgFmForClassification))
    return {theirs: weights[ours] for theirs, ours in names.items()}


def _require_identity(config: EcgFmConfig, weights: dict[str, Tensor]) -> None:
    expected = identity_projection(config)
    if any(not torch.equal(weights[name], expected[name]) for name in expected):
        raise CheckpointError(
            f"The model's convolutions are as wide as its encoder ({config.hidden_size}) and a "
            "trained projection stands between them. fairseq-signals builds none there, so it "
            "cannot load this model. Train one of another width, e.g. size 'base'."
        )


def _find_frame(
    model: EcgFmForClassification | EcgFm, folder: Path | None, like: FairseqFile | None
) -> _Frame:
    if like is not None:
        return _frame_like(model, like)
    if folder is not None and (folder / FAIRSEQ).is_file():
        return _Frame(**read_json(folder / FAIRSEQ), pretraining_weights=_read_kept(folder))
    if isinstance(model, EcgFmForClassification):
        return _finetuning_frame(model.config)
    if folder is not None and (kept := _read_kept(folder)):
        return _pretraining_frame(model.config, kept)
    raise CheckpointError(
        "An encoder alone is no checkpoint of fairseq-signals: its pre-training model also has a "
        "code book and projections. Give the .pt file that the encoder came from as like, or the "
        "folder that import_fairseq wrote."
    )


def _frame_like(model: EcgFmForClassification | EcgFm, like: FairseqFile) -> _Frame:
    _require_alike(model, like)
    mapped = map_weights(
        like.model, model.config, finetuned=like.is_finetuned, where=str(like.path)
    )
    cfg = copy.deepcopy(like.cfg)
    if like.is_finetuned:
        cfg["model"]["num_labels"] = model.config.num_labels
    # The meters hold predictions of the patients it was trained on.
    extra = {name: value for name, value in like.extra_state.items() if name != "metrics"}
    return _Frame(cfg, like.optimizer_history, like.task_state, extra, mapped.dropped)


def _require_alike(model: EcgFmForClassification | EcgFm, like: FairseqFile) -> None:
    is_classifier = isinstance(model, EcgFmForClassification)
    if is_classifier != like.is_finetuned:
        kinds = ("a pre-trained encoder", "a classifier")
        raise CheckpointError(
            f"The model is {kinds[is_classifier]}, {like.path} holds {kinds[like.is_finetuned]}. "
            "Give a file of the same kind as like, or none."
        )
    ours = {name: tuple(tensor.shape) for name, tensor in _rename(model).items()}
    theirs = {name: tuple(tensor.shape) for name, tensor in modern_names(like.model).items()}
    other = [
        f"{name} {theirs.get(name, 'missing')} instead of {shape}"
        for name, shape in ours.items()
        if name not in _HEAD and theirs.get(name) != shape
    ]
    if other:
        raise CheckpointError(
            f"{like.path} is of another architecture than the model: {'; '.join(other[:3])} "
            f"({len(other)} weights differ). Give the file that the model came from."
        )


def _read_kept(folder: Path) -> dict[str, Tensor]:
    path = folder / PRETRAINING_WEIGHTS
    return load_file(path) if path.is_file() else {}


def _finetuning_frame(config: EcgFmConfig) -> _Frame:
    cfg = _read_defaults()["finetuning"]
    cfg["model"] |= {**_shape(config), "num_labels": config.num_labels}
    return _new_frame(cfg, "BinaryCrossEntropyWithLogitsCriterion", {})


def _read_defaults() -> dict[str, dict[str, Any]]:
    """Read the configurations of runs of fairseq-signals, for checkpoints that it did not train."""
    path = files("ecg_assets.models.ecg_fm").joinpath("fairseq_defaults.yaml")
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def _pretraining_frame(config: EcgFmConfig, kept: dict[str, Tensor]) -> _Frame:
    defaults = _read_defaults()
    cfg = defaults["finetuning"] | defaults["pretraining"]
    final_dim, width = kept["project_q.weight"].shape
    _, n_codes, code_width = kept["quantizer.vars"].shape
    n_groups = width // code_width
    code_book = {"latent_vars": n_codes // n_groups, "latent_groups": n_groups}
    cfg["model"] |= {**_shape(config), **code_book, "latent_dim": width, "final_dim": final_dim}
    return _new_frame(cfg, "Wav2Vec2WithCMSCCriterion", kept)


def _shape(config: EcgFmConfig) -> dict[str, Any]:
    layers = zip(config.conv_dim, config.conv_kernel, config.conv_stride, strict=True)
    return {
        "encoder_layers": config.num_hidden_layers,
        "encoder_embed_dim": config.hidden_size,
        "encoder_ffn_embed_dim": config.intermediate_size,
        "encoder_attention_heads": config.num_attention_heads,
        "conv_feature_layers": str([tuple(layer) for layer in layers]),
        "conv_bias": config.conv_bias,
        "in_d": config.folded_from or config.n_channels,
        "conv_pos": config.num_conv_pos_embeddings,
        "conv_pos_groups": config.num_conv_pos_embedding_groups,
    }


def _new_frame(cfg: dict[str, Any], criterion: str, kept: dict[str, Tensor]) -> _Frame:
    """Start a history: no updates yet, at the first epoch."""
    run = {
        "criterion_name": criterion,
        "optimizer_name": "Adam",
        "lr_scheduler_state": {"lr": cfg["lr_scheduler"]["lr"][0]},
        "num_updates": 0,
    }
    start = {"version": 2, "epoch": 1, "iterations_in_epoch": 0, "shuffle": True}
    return _Frame(cfg, [run], {}, {"train_iterator": start, "val_loss": None}, kept)
