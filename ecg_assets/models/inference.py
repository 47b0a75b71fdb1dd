"""Scores of recordings by a trained model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ecg_assets.build import Manifest, SignalCache
from ecg_assets.labels.label_vocabulary import require_same_labels
from ecg_assets.models.aggregation import aggregate_segments
from ecg_assets.models.checkpoint import TrainedModel
from ecg_assets.models.device import autocast, choose_device
from ecg_assets.models.inputs import read_segments
from ecg_assets.models.predictions import Predictions
from ecg_assets.models.probabilities import is_exclusive, to_probabilities
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
    """Score recordings: a sigmoid or softmax for each segment, aggregated by each label's rule.

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
    exclusive = is_exclusive(trained.model.config)
    return to_predictions(manifest, signals, rows, logits, exclusive=exclusive)


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
    n_channels = trained.model.config.n_channels
    batches = (
        read_segments(signals, rows[start : start + batch_size], trained.spec, n_channels)[0]
        for start in range(0, len(rows), batch_size)
    )
    return score_segments(trained, batches, device=device, precision=precision)


def score_segments(
    trained: TrainedModel,
    batches: Iterable[NDArray[np.float32]],
    *,
    device: str = "auto",
    precision: str = "fp32",
) -> NDArray[np.float32]:
    """Compute the logits of batches of model input, ``(segment, label)``.

    Each batch is ``(segment, channel, sample)``, with the model's channels.
    """
    place = choose_device(device)
    model = trained.model.to(place).eval()
    logits = [np.empty((0, len(trained.vocabulary)), np.float32)]
    with torch.inference_mode(), autocast(place, precision):
        for segments in batches:
            found = model(torch.from_numpy(segments).to(place)).logits
            logits.append(found.float().cpu().numpy())
    return np.concatenate(logits)


def to_predictions(
    manifest: Manifest,
    signals: SignalCache,
    rows: NDArray[np.int64],
    logits: NDArray[np.float32],
    *,
    exclusive: bool = False,
    columns: Sequence[int] | None = None,
) -> Predictions:
    """Turn logits of segments, as `predict_logits` gives them, into scores of recordings.

    `exclusive` says that just one of the model's labels is true at a time; `columns` are the
    outputs that the manifest's labels are, by default all in order.
    """
    record_index = np.repeat(np.arange(len(rows)), signals.n_segments(rows, manifest.spec))
    probability = to_probabilities(logits, exclusive=exclusive)
    if columns is not None:
        probability = probability[:, list(columns)]
    score = aggregate_segments(probability, record_index, manifest.vocabulary)
    return Predictions.of_rows(manifest, rows, score)
