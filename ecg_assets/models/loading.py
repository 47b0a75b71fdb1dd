"""A model from any checkpoint that can be read: a folder of ours, or a file of its authors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ecg_assets.models.checkpoint import load_weights, read_config, read_weights
from ecg_assets.models.checkpoint_files import CONFIG, WEIGHTS, require_files
from ecg_assets.models.families import FAMILIES, family_of_file
from ecg_assets.models.torch_file import read_torch_file

if TYPE_CHECKING:
    from ecg_assets.models.classifier import EcgClassifier
    from ecg_assets.models.token_models import TokenModel


def load_checkpoint(
    path: str | Path, *, pretrained: str | Path | None = None
) -> EcgClassifier | TokenModel:
    """Load a model in evaluation mode.

    Called on standardized samples, float32 ``(batch, lead, sample)``, and optionally on
    ``lengths`` ``(batch,)``, the samples of each before its padding, a classifier returns an
    output with ``logits`` ``(batch, label)``. A pre-trained checkpoint has no head: its
    `TokenModel` returns ``last_hidden_state`` ``(batch, token, feature)`` and ``pooled``
    ``(batch, feature)``, and becomes a classifier by fine-tuning.

    Parameters
    ----------
    path
        A checkpoint folder of this package, or a file that the authors of a family of
        `FAMILIES` publish. No code in it is run.
    pretrained
        The .pt file that a fine-tuned .pt file started from. It is needed only where that
        one does not tell its number of attention heads; the error says so.

    Raises
    ------
    UnsafeCheckpoint
        When a file would run code; the message names it.
    CheckpointError
        When the path holds nothing readable, another architecture, or not all weights.
    """
    path = Path(path)
    if path.is_dir():
        return _load_folder(path)
    content = read_torch_file(path)
    start = None if pretrained is None else Path(pretrained)
    model: EcgClassifier | TokenModel = family_of_file(content, path).load_file(
        content, path, start
    )
    return model


def _load_folder(folder: Path) -> EcgClassifier | TokenModel:
    require_files(folder, (CONFIG, WEIGHTS))
    config, weights = read_config(folder), read_weights(folder)
    family = FAMILIES[config.model_type]
    head = f"{family.classifier_class.head_name}.weight"
    if family.encoder_class is not None and head not in weights:
        encoder: TokenModel = load_weights(family.encoder_class(config), weights, where=str(folder))
        return encoder
    return load_weights(family.classifier_class(config), weights, where=str(folder))
