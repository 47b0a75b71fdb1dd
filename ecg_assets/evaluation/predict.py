"""Scores of a checkpoint on some recordings. The one module of this room that loads torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_assets.build import Manifest, SignalCache
from ecg_assets.labels.label_vocabulary import require_same_labels
from ecg_assets.models.checkpoint import load_trained
from ecg_assets.models.inference import predict_records
from ecg_assets.models.predictions import Predictions
from ecg_assets.preprocess import require_same_spec


def predict_checkpoint(
    folder: Path,
    manifest: Manifest,
    signals: SignalCache,
    rows: NDArray[np.int64],
    *,
    device: str,
    precision: str,
) -> Predictions:
    """Load a checkpoint and score some rows of a manifest.

    Raises
    ------
    SpecMismatch
        When the manifest's signal spec or labels are not those the model was trained on;
        both are printed.
    """
    trained = load_trained(folder)
    require_same_spec(trained.spec, manifest.spec, where="the manifests")
    require_same_labels(trained.vocabulary, manifest.vocabulary, where="the manifests")
    return predict_records(trained, manifest, signals, rows, device=device, precision=precision)
