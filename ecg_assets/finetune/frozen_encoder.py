"""An encoder as it is, before any training: for features that a probe is fitted on."""

from __future__ import annotations

import torch
from transformers import set_seed

from ecg_assets.finetune.starting_model import pretrained_model, random_model
from ecg_assets.finetune.starting_point import StartingPoint
from ecg_assets.labels.label_vocabulary import LabelVocabulary
from ecg_assets.lineage import fingerprint_bytes, fingerprint_file, fingerprint_json
from ecg_assets.models.checkpoint import TrainedModel
from ecg_assets.models.checkpoint_files import WEIGHTS, require_files
from ecg_assets.models.classifier import EcgClassifier

_NO_LABELS = LabelVocabulary(("unused",), ("mean",))
"""A head is never asked: only features are read."""


def load_encoder(start: StartingPoint) -> TrainedModel:
    """Build the model of a starting point; its head means nothing.

    Raises
    ------
    CheckpointError, SpecMismatch
        As `pretrained_model`.
    """
    set_seed(start.seed)
    if start.folder is None:
        model = random_model(start.recipe, start.spec, _NO_LABELS)
    else:
        require_files(start.folder, (WEIGHTS,))
        model = pretrained_model(
            start.recipe,
            start.spec,
            _NO_LABELS,
            start.folder,
            fingerprint=fingerprint_file(start.folder / WEIGHTS),
        )
    return TrainedModel(model.eval(), start.spec, _NO_LABELS, start.folder)


def fingerprint_encoder(model: EcgClassifier) -> str:
    """Fingerprint of all weights and statistics of a model but its head's, by name."""
    head = model.head_parameters()
    state = {name: value for name, value in model.state_dict().items() if name not in head}
    return fingerprint_json(
        {
            name: [
                list(value.shape),
                fingerprint_bytes(
                    value.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
                ),
            ]
            for name, value in state.items()
        }
    )
