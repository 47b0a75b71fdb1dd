"""Recordings to scores by a trained model: the one path, whatever the recordings come from.

Stored signals to model input (`read_segments` of a cache, `read_block` of a shard or file), to
features and logits (`run_model`), to probabilities of recordings (`score_recordings`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecg_assets.build import Manifest, SignalCache
from ecg_assets.errors import BadRecord, SpecMismatch
from ecg_assets.labels.vocabulary import LabelVocabulary, require_same_labels
from ecg_assets.models.checkpoint import TrainedModel
from ecg_assets.models.device import autocast, choose_device
from ecg_assets.models.device_signals import DeviceSignals, to_device
from ecg_assets.models.predictions import Predictions
from ecg_assets.models.probabilities import (
    Regression,
    aggregate_segments,
    is_exclusive,
    to_probabilities,
)
from ecg_assets.models.signals import require_readable
from ecg_assets.preprocess import (
    SignalSpec,
    count_segments,
    prepare,
    project_channels,
    segment,
    used_part,
)
from ecg_assets.preprocess.blocks import SignalBlock
from ecg_assets.preprocess.model_input import number_segments, warn_of_cut
from ecg_assets.preprocess.shard import StoredRecord, read_stored_record
from ecg_assets.preprocess.shard_schema import NO_SIGNAL

Item = TypeVar("Item")

# Stored signals to model input.


def read_segments(
    signals: SignalCache, rows: NDArray[np.int64], spec: SignalSpec
) -> NDArray[np.float32]:
    """Read all segments of recordings, ``(segment, lead, sample)``, recording by recording.

    Parameters
    ----------
    signals
        Decoded signals.
    rows
        Rows of the manifest's index, ``(record,)``.
    spec
        How to standardize and cut.

    Raises
    ------
    SpecMismatch
        When a recording has no whole segment.
    """
    _count_whole(signals, rows, spec)
    return signals.segments(rows, spec)[0]


def cut_segments(
    signals: SignalCache, rows: NDArray[np.int64], spec: SignalSpec, device: torch.device
) -> Tensor:
    """Read what `read_segments` reads, standardized on a device: the same, bit for bit."""
    counts = _count_whole(signals, rows, spec)
    positions, numbers = np.repeat(np.arange(len(rows)), counts), number_segments(counts)
    stored = DeviceSignals(signals, rows, spec, device)
    return stored.segments_at(to_device(positions, device), to_device(numbers, device))


def _count_whole(
    signals: SignalCache, rows: NDArray[np.int64], spec: SignalSpec
) -> NDArray[np.int64]:
    """Count each recording's segments; refuse one that has none."""
    counts = signals.n_segments(rows, spec)
    if n_lacking := int((counts == 0).sum()):
        raise SpecMismatch(
            f"{n_lacking} of {len(rows)} recordings have no whole segment of "
            f"{spec.segment_s} s. Build manifests with the model's spec; they exclude these."
        )
    return counts


def read_block(trained: TrainedModel, block: SignalBlock) -> NDArray[np.float32]:
    """Make a model's input of stored recordings, ``(record, segment, channel, sample)``.

    The block's leads are those of the model's spec; recordings may have no segment.
    """
    return project_channels(block.segments(trained.spec), trained.model.config.n_channels)


def read_ahead(items: Iterable[Item], *, n_ahead: int = 2) -> Iterator[Item]:
    """Give items in order; a thread makes the next ones while these are used."""
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(max_workers=1) as reader:
        waiting = deque(reader.submit(next, iterator, end) for _ in range(n_ahead))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(reader.submit(next, iterator, end))
            yield item  # type: ignore[misc]


# Model input to features and logits.


MOST_SEGMENTS = 1024
"""In one forward pass, and of several recordings in memory: 256 of 10 s in segments of 2.5 s."""


def run_model(
    trained: TrainedModel,
    segments: NDArray[np.float32],
    *,
    device: torch.device,
    precision: str = "fp32",
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compute the features ``(segment, feature)`` and logits ``(segment, label)`` of a batch.

    Parameters
    ----------
    trained
        The model, on the device and in evaluation mode.
    segments
        Model input, ``(segment, channel, sample)``.
    device
        Where it computes.
    precision
        ``fp32``, ``bf16`` or ``fp16``.
    """
    return fetch_outputs(start_model(trained, segments, device=device, precision=precision))


Outputs = list[tuple[Tensor, Tensor]]
"""Features and logits of some segments each, on a device that may not have computed them yet."""


def start_model(
    trained: TrainedModel,
    segments: NDArray[np.float32],
    *,
    device: torch.device,
    precision: str = "fp32",
) -> Outputs:
    """Begin what `run_model` does, without waiting for a GPU; `fetch_outputs` waits."""
    return [
        # Long recordings have many segments: a device takes so many at a time.
        _compute(trained, to_device(segments[at : at + MOST_SEGMENTS], device), precision)
        for at in range(0, max(len(segments), 1), MOST_SEGMENTS)
    ]


def fetch_outputs(found: Outputs) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Copy the features ``(segment, feature)`` and logits ``(segment, label)`` of a batch."""
    features, logits = (
        np.concatenate([one.cpu().numpy() for one in of]) for of in zip(*found, strict=True)
    )
    return features, logits


def _compute(trained: TrainedModel, segments: Tensor, precision: str) -> tuple[Tensor, Tensor]:
    """Compute features and logits, float32 on the segments' device; nobody waits for a GPU."""
    with torch.inference_mode(), autocast(segments.device, precision):
        features = trained.model.features(segments)
        logits = trained.model.classify(features)
    return features.float(), logits.float()


def score_segments(
    trained: TrainedModel,
    batches: Iterable[NDArray[np.float32] | Tensor],
    *,
    device: str = "auto",
    precision: str = "fp32",
) -> NDArray[np.float32]:
    """Compute the logits of batches of model input, ``(segment, label)``.

    Each batch is ``(segment, channel, sample)``, with the model's channels. The next ones are
    made while one is computed.
    """
    place = choose_device(device)
    trained.model.to(place).eval()
    inputs = read_ahead(to_device(one, place) for one in batches)
    found = [_compute(trained, one, precision)[1] for one in inputs]
    return np.concatenate([no_logits(trained), *(logits.cpu().numpy() for logits in found)])


def no_logits(trained: TrainedModel) -> NDArray[np.float32]:
    """Give the logits of no segment, ``(0, label)``."""
    return np.empty((0, len(trained.vocabulary)), np.float32)


# Logits of segments to probabilities of recordings.


def score_recordings(
    logits: NDArray[np.float32],
    record_index: NDArray[np.int64],
    vocabulary: LabelVocabulary,
    *,
    exclusive: bool,
    columns: Sequence[int] | None = None,
    regression: Regression | None = None,
) -> NDArray[np.float32]:
    """Turn each segment's logits into scores, and aggregate by each label's rule.

    Parameters
    ----------
    logits
        Of each segment, ``(segment, output)``.
    record_index
        Recording of each segment, ``(segment,)``, as `aggregate_segments` takes it.
    vocabulary
        The labels that are wanted, and their rules.
    exclusive
        Whether just one of the model's outputs is true at a time.
    columns
        The outputs that the labels are; by default all in order.
    regression
        What the outputs are, of a model of numbers.

    Returns
    -------
    NDArray[np.float32]
        ``(record, label)``, 0 to 1, or numbers in their units.
    """
    if regression is not None:
        score = regression.to_units(logits)
    else:
        score = to_probabilities(logits, exclusive=exclusive)
    if columns is not None:
        score = score[:, list(columns)]
    return aggregate_segments(score, record_index, vocabulary)


class OutputKind(TypedDict):
    """What a model's outputs are, as `score_recordings` takes it."""

    exclusive: bool
    regression: Regression | None


def describe_outputs(trained: TrainedModel) -> OutputKind:
    """Say what a model's outputs are, by its configuration."""
    config = trained.model.config
    return OutputKind(exclusive=is_exclusive(config), regression=Regression.of(config))


# The recordings of a manifest.


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
    """Score recordings of a manifest that has the model's labels.

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
    return to_predictions(manifest, signals, rows, logits, **describe_outputs(trained))


def predict_logits(
    trained: TrainedModel,
    manifest: Manifest,
    signals: SignalCache,
    rows: NDArray[np.int64],
    *,
    spec: SignalSpec | None = None,
    to_channels: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None,
    device: str = "auto",
    batch_size: int = 256,
    precision: str = "fp32",
) -> NDArray[np.float32]:
    """Compute the logits of all segments of recordings, ``(segment, label)``.

    They stand recording by recording, in the order of `rows`. Parameters are those of
    `predict_records`, and where the signals are not read with all of the model's leads:

    Parameters
    ----------
    spec
        How they are read instead.
    to_channels
        Makes the model's channels of segments ``(segment, lead, sample)``; by default
        `project_channels`.
    """
    require_readable(trained.input, manifest.spec, exactly=True)
    place, spec = choose_device(device), spec or trained.spec
    n_channels = trained.model.config.n_channels
    parts = (rows[part] for part in _split(signals.n_segments(rows, spec), batch_size))
    on_gpu = place.type == "cuda" and not to_channels and not signals.find_obstacle(rows, spec)
    inputs: Iterator[NDArray[np.float32] | Tensor]
    if on_gpu:
        stored = (cut_segments(signals, part, spec, place) for part in parts)
        inputs = (one.expand(-1, n_channels, -1) for one in stored)
    else:
        lay_out = to_channels or partial(project_channels, n_channels=n_channels)
        inputs = (lay_out(read_segments(signals, part, spec)) for part in parts)
    return score_segments(trained, inputs, device=device, precision=precision)


def _split(n_segments: NDArray[np.int64], most_records: int) -> Iterator[slice]:
    """Split recordings into batches that are bounded in recordings and segments.

    >>> list(_split(np.array([2, 2, 2000, 2]), 2))
    [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None)]
    """
    start, total = 0, 0
    for at, count in enumerate(n_segments.tolist()):
        if at > start and (at - start == most_records or total + count > MOST_SEGMENTS):
            yield slice(start, at)
            start, total = at, 0
        total += count
    if start < len(n_segments):
        yield slice(start, len(n_segments))


def to_predictions(
    manifest: Manifest,
    signals: SignalCache,
    rows: NDArray[np.int64],
    logits: NDArray[np.float32],
    *,
    exclusive: bool = False,
    columns: Sequence[int] | None = None,
    regression: Regression | None = None,
) -> Predictions:
    """Turn logits of segments, as `predict_logits` gives them, into scores of recordings.

    `exclusive`, `columns` and `regression` are as `score_recordings` takes them.
    """
    record_index = np.repeat(np.arange(len(rows)), signals.n_segments(rows, manifest.spec))
    score = score_recordings(
        logits,
        record_index,
        manifest.vocabulary,
        exclusive=exclusive,
        columns=columns,
        regression=regression,
    )
    return Predictions.of_rows(manifest, rows, score)


# One recording, straight from its file.


def predict_recording(trained: TrainedModel, path: str | Path) -> dict[str, float]:
    """Score one recording: a sigmoid or softmax for each segment, aggregated by each label's rule.

    Of a longer recording the part that the model's spec says is used, with a warning.

    Parameters
    ----------
    trained
        The model, the signals that it reads and its labels, as `load_trained` gives them.
    path
        Of a WFDB record, with or without the extension, or any file that
        `ecg_assets.sources.read_recording` reads. Leads are found by name.

    Returns
    -------
    dict[str, float]
        Probability of each label, 0 to 1; of a model of numbers each one, in its unit.

    Raises
    ------
    BadRecord
        When the recording cannot be read, lacks a lead, or holds no signal.
    CheckpointError
        When the model reads other channels than its spec gives.
    SpecMismatch
        When it is shorter than one segment.
    """
    require_readable(trained.input)
    path = Path(path)
    record = read_stored_record(path.name, path.parent, trained.spec.leads)
    return predict_stored(trained, record, where=str(path))


def predict_stored(trained: TrainedModel, record: StoredRecord, *, where: str) -> dict[str, float]:
    """Score the stored integers of one recording as `predict_recording` does.

    Its leads are those of the model's spec, in this order; `where` names it in errors.
    """
    require_readable(trained.input)
    block = SignalBlock.of_record(record)
    require_signal([where], block, trained)
    n_samples = record.signal.shape[-1]
    warn_of_cut(n_samples, record.sample_rate_hz, trained.spec)
    (segments,) = read_block(trained, block)
    return _score_one(trained, segments, n_samples / record.sample_rate_hz, where)


def predict_millivolts(
    trained: TrainedModel, signal_mv: NDArray[Any], sample_rate_hz: float, *, where: str
) -> dict[str, float]:
    """Score one recording in mV as `predict_recording` does, to the rounding of its samples.

    Parameters
    ----------
    signal_mv
        ``(lead, sample)``: the leads of the model's spec, in this order; NaN is a missing sample.
    sample_rate_hz
        Its sample rate.
    where
        Names it in errors.
    """
    require_readable(trained.input)
    spec, n_samples = trained.spec, signal_mv.shape[-1]
    used = signal_mv[:, used_part(spec, sample_rate_hz)]
    # Of missing samples fmax and fmin take no notice.
    if not used.size or not (np.fmax.reduce(used, axis=-1) > np.fmin.reduce(used, axis=-1)).any():
        raise _lacks_signal(where)
    warn_of_cut(n_samples, sample_rate_hz, spec)
    if not count_segments(n_samples, sample_rate_hz, spec):
        return _score_one(trained, np.empty((0,), np.float32), n_samples / sample_rate_hz, where)
    prepared = prepare(signal_mv[None].astype(np.float64), sample_rate_hz, spec)
    (segments,) = project_channels(segment(prepared, spec), trained.model.config.n_channels)
    return _score_one(trained, segments, n_samples / sample_rate_hz, where)


def _score_one(
    trained: TrainedModel, segments: NDArray[np.float32], seconds: float, where: str
) -> dict[str, float]:
    """Score the segments of one recording, ``(segment, channel, sample)``."""
    if not len(segments):
        raise SpecMismatch(
            f"Recording {where} has {seconds:.1f} s; the "
            f"model reads segments of {trained.spec.segment_s} s, and of a recording "
            f"{trained.spec.describe_part()}. Give a longer one."
        )
    _, logits = run_model(trained, segments, device=trained.model.device)
    same_record = np.zeros(len(segments), np.int64)
    kind = describe_outputs(trained)
    (scores,) = score_recordings(logits, same_record, trained.vocabulary, **kind)
    return dict(zip(trained.vocabulary.names, scores.tolist(), strict=True))


def require_signal(names: Sequence[str], block: SignalBlock, trained: TrainedModel) -> None:
    """Refuse recordings of which no lead holds anything in the part that the model reads.

    Raises
    ------
    BadRecord
        When all leads of one are flat; with its name, of ``(record,)``.
    """
    for at in np.flatnonzero(block.lacks_signal(trained.spec)).tolist():
        raise _lacks_signal(names[at])


def _lacks_signal(name: str) -> BadRecord:
    return BadRecord(
        NO_SIGNAL,
        f"{name}: all samples that are used of its leads are missing or the same; "
        "there is nothing to score. Look at the electrodes, or at the file that it was "
        "exported to.",
    )
