"""Which weights a recipe's method trains, and when."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.modeling_outputs import SequenceClassifierOutput

from ecg_assets.errors import SettingsError
from ecg_assets.lineage import fingerprint_bytes, fingerprint_json
from ecg_assets.models.classifier import EcgClassifier, training_loss
from ecg_assets.models.device import autocast
from ecg_assets.models.device_signals import to_device
from ecg_assets.models.families import family_of
from ecg_assets.models.family import EMBEDDING_VERSION
from ecg_assets.models.scoring import read_ahead
from ecg_assets.preprocess.model_input import number_segments
from ecg_assets.storage import replace_file
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.engine.segments import (
    Batch,
    BatchTargets,
    SegmentDataset,
    count_known,
)
from ecg_assets.training.finetune.recipe import PROBES, Recipe
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets.training.finetune.starting_model import fingerprint_encoder

# Low-rank adapters (LoRA, https://arxiv.org/abs/2106.09685) inside the encoder, by PEFT.


def add_adapters(model: EcgClassifier, recipe: Recipe) -> None:
    """Put adapters into the encoder, in place; only they and the head stay trainable.

    An adapter starts as no change: its second matrix is zero.

    Raises
    ------
    SettingsError
        When peft is not installed.
    """
    require_peft()
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=list(family_of(model).adapted_layers),
        modules_to_save=[model.head_name],
    )
    inject_adapter_in_model(config, model)


def require_peft() -> None:
    """Raise `SettingsError` when peft is not installed."""
    try:
        import peft  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            "Method 'lora' needs the package peft, which is not installed. "
            "Install it (pip install 'ecg-assets[lora]'), or choose another method."
        ) from error


def save_adapters(model: EcgClassifier, folder: Path) -> None:
    """Write the adapters and the head as `peft.PeftModel.from_pretrained` reads them.

    They belong on the model that training started from.
    """
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(model, adapter_name="default")
    folder.mkdir()
    model.peft_config["default"].save_pretrained(folder)
    save_file(
        {f"base_model.model.{name}": value.cpu().contiguous() for name, value in state.items()},
        folder / "adapter_model.safetensors",
    )


def merge_adapters(model: EcgClassifier) -> None:
    """Add the adapters to the weights that they adapt, in place: a model without adapters again."""
    from peft.tuners.lora import LoraLayer

    for name, layer in list(model.named_modules()):
        if isinstance(layer, LoraLayer):
            layer.merge(safe_merge=True)
            model.set_submodule(name, layer.get_base_layer())
    head = model.get_submodule(f"{model.head_name}.modules_to_save.default")
    model.set_submodule(model.head_name, head)
    del model.peft_config


# The head alone, trained on features that the encoder computes once.


_SEGMENTS_PER_PASS = 256


class HeadOnFeatures(nn.Module):
    """A model's head, as a model of features; training it trains the model's.

    Parameters
    ----------
    model
        Owner of the head.
    """

    def __init__(self, model: EcgClassifier) -> None:
        super().__init__()
        self.config = model.config
        self.head = model.get_submodule(model.head_name)

    def forward(
        self,
        features: Tensor,
        labels: Tensor,
        pos_weight: Tensor,
        known: Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Compute logits and loss as `EcgClassifier`, of features ``[batch, feature]``."""
        logits = self.head(features)
        loss = training_loss(self.config, logits, labels, pos_weight, known)
        return SequenceClassifierOutput(loss=loss, logits=logits)


class HeadOnFrozenEncoder(nn.Module):
    """A model whose encoder stays in evaluation mode while its head is trained.

    The tokens of a segment are too many to be stored as features are: the encoder computes them
    in each epoch, without gradients.

    Parameters
    ----------
    model
        Its encoder's weights have no gradients; its head, with attention pool, has no dropout.
    """

    def __init__(self, model: EcgClassifier) -> None:
        super().__init__()
        self.config = model.config
        self.model = model

    def train(self, mode: bool = True) -> HeadOnFrozenEncoder:
        """Leave the model in evaluation mode."""
        super().train(mode)
        self.model.eval()
        return self

    def forward(
        self,
        input_values: Tensor,
        labels: Tensor,
        pos_weight: Tensor,
        known: Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Compute logits and loss as `EcgClassifier`, of signals ``[batch, channel, sample]``."""
        found: SequenceClassifierOutput = self.model(
            input_values, labels=labels, pos_weight=pos_weight, known=known
        )
        return found


class FeatureDataset(Dataset[Batch]):
    """Features of all segments of some recordings, one after the other.

    Parameters
    ----------
    data
        Manifest and signals.
    rows
        Rows of the manifest's index, ``(record,)``.
    features
        Float32 ``(segment, feature)``, of the segments of `of_rows`, one recording after another.
    of_rows
        Rows of the index in their order, with all of `rows` among them.
    """

    def __init__(
        self,
        data: TrainingData,
        rows: NDArray[np.int64],
        features: NDArray[np.float32],
        of_rows: NDArray[np.int64],
    ) -> None:
        self.counts = count_known(data, rows)
        self._features = features
        self._places = find_places(data, rows, of_rows)
        targets = np.repeat(data.manifest.targets[rows], data.n_segments(rows), axis=0)
        self._targets = BatchTargets(data.manifest, torch.from_numpy(targets))
        self._pos_weight = torch.from_numpy(data.manifest.pos_weight).float()

    def __len__(self) -> int:
        return len(self._places)

    def __getitems__(self, items: list[int]) -> Batch:
        """Read features as the arguments of `HeadOnFeatures.forward`."""
        return {
            "features": torch.from_numpy(self._features[self._places[items]]),
            **self._targets.of(items),
            "pos_weight": self._pos_weight,
        }


def find_places(
    data: TrainingData, rows: NDArray[np.int64], of_rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Find the segments of `rows` among those of `of_rows`, as `FeatureDataset` takes them."""
    stored, counts = data.n_segments(of_rows), data.n_segments(rows)
    first = (np.cumsum(stored) - stored)[np.searchsorted(of_rows, rows)]
    return np.repeat(first, counts) + number_segments(counts)


def find_features(
    model: EcgClassifier,
    data: TrainingData,
    rows: NDArray[np.int64],
    segments: Callable[[], SegmentDataset],
    *,
    request: FinetuneRequest,
    device: torch.device,
) -> NDArray[np.float32]:
    """Compute the features of all segments of recordings, or read them where they are stored.

    They are stored by encoder, signals and recordings: probes with other rates, seeds or labels,
    and the folds of a cross-validation, find them.

    Parameters
    ----------
    model
        Moved to `device` and set to evaluation.
    rows
        Rows of the manifest's index, ``(record,)``.
    segments
        Opens these rows' segments.

    Returns
    -------
    NDArray[np.float32]
        ``(segment, feature)``, memory-mapped where it is stored.
    """
    if data.signals.folder == Path():  # signals that are not stored
        return _compute_features(model, segments(), device, request.precision)
    made_of = {
        "version": EMBEDDING_VERSION,
        "encoder": fingerprint_encoder(model),
        "signals": data.signals.folder.name,
        "spec": data.manifest.spec.to_json(),
        "rows": fingerprint_bytes(rows.astype("<i8").tobytes()),
        "precision": request.precision,
        "device": device.type,
    }
    path = request.cache_folder / "features" / f"{fingerprint_json(made_of)[:32]}.npy"
    if not path.is_file():
        found = _compute_features(model, segments(), device, request.precision)
        with replace_file(path) as temporary, temporary.open("wb") as file:
            np.save(file, found)
    stored: NDArray[np.float32] = np.load(path, mmap_mode="r")
    return stored


def _compute_features(
    model: EcgClassifier, segments: SegmentDataset, device: torch.device, precision: str
) -> NDArray[np.float32]:
    model.to(device).eval()
    parts: list[Tensor] = []
    items = list(range(len(segments)))
    starts = range(0, len(items), _SEGMENTS_PER_PASS)
    passes = (items[start : start + _SEGMENTS_PER_PASS] for start in starts)
    for batch in read_ahead(segments.__getitems__(one) for one in passes):
        with torch.no_grad(), autocast(device, precision):
            features = model.features(to_device(batch["input_values"], device))
        parts.append(features.float().cpu())
    return torch.cat(parts).numpy()


def choose_trained_weights(model: EcgClassifier, recipe: Recipe) -> None:
    """Freeze what the recipe's method never trains; add adapters where it asks for them."""
    if recipe.freeze_convolutions:
        model.freeze_convolutions()
    if recipe.method in PROBES:
        for parameter in model.encoder_parameters():
            parameter.requires_grad_(False)
    elif recipe.method == "lora":
        add_adapters(model, recipe)


def trained_module(model: EcgClassifier, recipe: Recipe) -> nn.Module:
    """Choose what the Trainer trains, and keeps the weights of in its checkpoints."""
    if recipe.method == "linear-probe":
        return HeadOnFeatures(model)
    return HeadOnFrozenEncoder(model) if recipe.method == "attention-probe" else model


class HeadFirst(TrainerCallback):  # type: ignore[misc]
    """Trains the head alone for some epochs, then all weights that were trainable before.

    The optimizer has all of them from the start; it skips a weight without a gradient, so
    that its moments begin when it is first trained. What is frozen follows from the epoch
    alone: a resumed run continues as an undisturbed one.

    Parameters
    ----------
    model
        Its frozen weights stay frozen.
    head_epochs
        Epochs of the head alone.
    """

    def __init__(self, model: EcgClassifier, head_epochs: int) -> None:
        self._trainable = [p for p in model.encoder_parameters() if p.requires_grad]
        self._head_epochs = head_epochs

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Freeze the encoder, or train it from here on."""
        is_trained = round(state.epoch) >= self._head_epochs
        for parameter in self._trainable:
            parameter.requires_grad_(is_trained)
