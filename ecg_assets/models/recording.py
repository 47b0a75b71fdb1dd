"""Predictions of one recording, straight from its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ecg_assets.errors import SpecMismatch
from ecg_assets.models.aggregation import aggregate_segments
from ecg_assets.models.checkpoint import TrainedModel
from ecg_assets.models.inputs import require_channels
from ecg_assets.models.probabilities import is_exclusive, to_probabilities
from ecg_assets.preprocess import project_channels, segment, standardize
from ecg_assets.preprocess.stored_record import read_stored_record


def predict_recording(trained: TrainedModel, path: str | Path) -> dict[str, float]:
    """Score one recording: a sigmoid or softmax for each segment, aggregated by each label's rule.

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
        Probability of each label, 0 to 1.

    Raises
    ------
    BadRecord
        When the recording cannot be read, or lacks a lead.
    SpecMismatch
        When it is shorter than one segment, or the model reads other channels.
    """
    path, spec = Path(path), trained.spec
    n_channels = trained.model.config.n_channels
    require_channels(spec, n_channels)
    record = read_stored_record(path.name, path.parent, spec.leads)
    standardized = standardize(
        record.signal[None],
        record.sample_rate_hz,
        spec,
        record.gain[None],
        record.baseline[None].astype(np.float64),
    )
    segments = segment(standardized, spec)[0]
    if not len(segments):
        raise SpecMismatch(
            f"Recording {path} has {standardized.shape[-1] / spec.sample_rate_hz:.1f} s; the model "
            f"reads segments of {spec.segment_s} s. Give a longer one."
        )
    with torch.inference_mode():
        device = trained.model.device
        logits = trained.model(torch.from_numpy(project_channels(segments, n_channels)).to(device))
    probability = to_probabilities(
        logits.logits.float().cpu().numpy(), exclusive=is_exclusive(trained.model.config)
    )
    same_record = np.zeros(len(segments), np.int64)
    (scores,) = aggregate_segments(probability, same_record, trained.vocabulary)
    return dict(zip(trained.vocabulary.names, scores.tolist(), strict=True))
