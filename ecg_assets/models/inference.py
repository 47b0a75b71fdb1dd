"""Scores of recordings by a trained model."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

from ecg_assets.build import Manifest, SignalCache
from ecg_assets.labels.label_vocabulary import require_same_labels
from ecg_assets.models.aggregation import aggregate_segments
from ecg_assets.models.checkpoint import TrainedModel
from ecg_assets.models.device import autocast, choose_device
from ecg_assets.models.inputs import read_segments
from ecg_assets.models.predictions import Predictions
from ecg_assets.preprocess.signal_spec import require_same_spec


def predict_records(
    trained: TrainedModel,
    manifest: Manifest,
    signals: SignalCache,
    rows: NDArray[np.int64],
    *,
    device: str = "auto",
    batch_size: int = 256,
    precision: str = "fp32",
) -> Predictions:
    """Score recordings: a sigmoid for each segment, aggregated by each label's rule.

    Parameters
    ----------
    trained
        The model.
    manifest
        Recordings and targets.
    signals
        Their samples, by row of the manifest's index.
    rows
        Rows to score, ``(record,)``.
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    batch_size
        Recordings in one forward pass.
    precision
        ``fp32``, ``bf16`` or ``fp16``.

    Raises
    ------
    SpecMismatch
        When the manifest's signal spec or labels are not the model's.
    """
    require_same_labels(trained.vocabulary, manifest.vocabulary, where="the manifest")
    logits = predict_logits(
        trained,
        manifest,
        signals,
        rows,
        device=device,
        batch_size=batch_size,
        precision=precision,
    )
    return to_predictions(manifest, signals, rows, logits)


def predict_logits(
    trained: TrainedModel,
    manifest: Manifest,
    signals: SignalCache,
    rows: NDArray[np.int64],
    *,
    device: str = "auto",
    batch_size: int = 256,
    precision: str = "fp32",
) -> NDArray[np.float32]:
    """Compute the logits of all segments of recordings, ``(segment, label)``.

    They stand recording by recording, in the order of `rows`. Parameters are those of
    `predict_records`.
    """
    require_same_spec(trained.spec, manifest.spec, where="the manifest")
    place = choose_device(device)
    model = trained.model.to(place).eval()
    n_channels = model.config.n_channels
    batches = [np.empty((0, len(trained.vocabulary)), np.float32)]
    with torch.inference_mode(), autocast(place, precision):
        for start in range(0, len(rows), batch_size):
            chosen = rows[start : start + batch_size]
            segments, _ = read_segments(signals, chosen, trained.spec, n_channels)
            logits = model(torch.from_numpy(segments).to(place)).logits
            batches.append(logits.float().cpu().numpy())
    return np.concatenate(batches)


def to_predictions(
    manifest: Manifest,
    signals: SignalCache,
    rows: NDArray[np.int64],
    logits: NDArray[np.float32],
) -> Predictions:
    """Turn logits of segments, as `predict_logits` gives them, into scores of recordings."""
    record_index = np.repeat(np.arange(len(rows)), signals.n_segments(rows, manifest.spec))
    index = manifest.index.iloc[rows]
    return Predictions(
        record_ids=index["record_id"].to_numpy().astype(np.str_),
        subject_ids=index["subject_id"].to_numpy().astype(np.str_),
        vocabulary=manifest.vocabulary,
        target=manifest.targets[rows],
        score=aggregate_segments(expit(logits), record_index, manifest.vocabulary),
    )
