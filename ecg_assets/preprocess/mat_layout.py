"""What the .mat files of one recording are called and hold, in each layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ecg_assets.errors import SchemaError
from ecg_assets.preprocess.mat_recording import MatRecording
from ecg_assets.preprocess.segment import project_channels, segment
from ecg_assets.preprocess.signal_spec import STANDARD_LEADS, SignalSpec


@dataclass(frozen=True)
class MatFile:
    """A .mat file to write.

    Attributes
    ----------
    name
        Path below the shard's folder.
    content
        Its variables.
    segment
        Position in the recording, from 0; None for a whole recording beside its segments.
    """

    name: str
    content: dict[str, Any]
    segment: int | None = None


def fairseq_files(recording: MatRecording, spec: SignalSpec) -> list[MatFile]:
    """Give a file a segment, as fairseq-signals' ``preprocess.py`` writes it.

    It is called ``<record_id>_<segment>.mat``, or ``<record_id>.mat`` where a segment is
    the whole recording. ``idx`` is the recording's row in ``y.npy``; a lead repeated in
    ``feats`` is repeated in ``mean`` and ``std`` too.
    """
    is_whole = spec.segment_samples == spec.record_samples
    common = {
        "org_sample_rate": _rate(recording.sample_rate_hz),
        "curr_sample_rate": _rate(spec.sample_rate_hz),
        "org_sample_size": np.int64(recording.n_samples),
        "curr_sample_size": np.int64(spec.segment_samples),
    }
    n_copies = spec.n_channels // len(spec.leads)
    statistics = {
        "idx": np.int64(recording.row),
        "mean": np.repeat(recording.mean_mv, n_copies)[:, None],
        "std": np.repeat(recording.deviation_mv, n_copies)[:, None],
    }
    return [
        MatFile(
            f"{recording.record_id}.mat" if is_whole else f"{recording.record_id}_{number}.mat",
            {
                **common,
                "feats": project_channels(leads, spec.n_channels),
                **statistics,
                "segment_i": np.int64(number),
            },
            number,
        )
        for number, leads in enumerate(segment(recording.standardized[None], spec)[0])
    ]


def reference_files(recording: MatRecording, spec: SignalSpec) -> list[MatFile]:
    """Give the whole recording and its segments, as the Lead-I pipeline writes them.

    ``lead_1/mats_10s/<record_id>.mat`` holds ``idx`` = study_id. The segments
    ``lead_1/segmented_5s/<record_id>_<segment>.mat`` hold ``idx`` = the segment's row in
    ``y.npy``, `reference_row`, and ``original_idx`` = study_id. The names follow the
    spec's lead and lengths. A recording shorter than ``spec.record_s`` gives nothing.

    Raises
    ------
    SchemaError
        When the study_id is no whole number, which ``idx`` must be.
    """
    if recording.standardized.shape[-1] < spec.record_samples:
        return []
    study = _study_number(recording)
    rate = np.float64(spec.sample_rate_hz)
    folder = lead_folder(spec)
    whole = {
        "feats": project_channels(recording.standardized, spec.n_channels),
        "curr_sample_rate": rate,
        "org_sample_rate": np.float64(recording.sample_rate_hz),
        "curr_sample_size": np.int64(spec.record_samples),
        "org_sample_size": np.int64(recording.n_samples),
        "idx": study,
    }
    files = [MatFile(f"{folder}/mats_{spec.record_s:g}s/{recording.record_id}.mat", whole)]
    for number, leads in enumerate(segment(recording.standardized[None], spec)[0]):
        content = {
            "feats": project_channels(leads, spec.n_channels),
            "curr_sample_rate": rate,
            "idx": np.int64(reference_row(recording.row, number, spec)),
            "original_idx": study,
        }
        name = f"{folder}/segmented_{spec.segment_s:g}s/{recording.record_id}_{number}.mat"
        files.append(MatFile(name, content, number))
    return files


def reference_row(record_row: int, number: int, spec: SignalSpec) -> int:
    """Row of a segment in the Lead-I pipeline's ``y.npy``, counted over all recordings.

    It follows from the record list alone: other labels or another split change no .mat.

    >>> reference_row(3, 1, SignalSpec())
    7
    """
    return record_row * (spec.record_samples // spec.segment_samples) + number


def lead_folder(spec: SignalSpec) -> str:
    """Name the Lead-I pipeline's folder of a lead, by its number; ours for several leads.

    >>> lead_folder(SignalSpec(leads=("II",))), lead_folder(SignalSpec(("I", "V1"), 2))
    ('lead_2', 'leads_1_7')
    """
    numbers = [str(STANDARD_LEADS.index(lead) + 1) for lead in spec.leads]
    if len(numbers) == len(STANDARD_LEADS):
        return "leads_all"
    return "_".join(["lead" if len(numbers) == 1 else "leads", *numbers])


def _rate(sample_rate_hz: float) -> np.int64 | np.float64:
    """Sample rate as fairseq-signals has it: whole where the header's is."""
    is_whole = float(sample_rate_hz).is_integer()
    return np.int64(sample_rate_hz) if is_whole else np.float64(sample_rate_hz)


def _study_number(recording: MatRecording) -> np.int64:
    try:
        return np.int64(int(recording.study_id))
    except ValueError as error:
        raise SchemaError(
            f"study_id of {recording.record_id} is {recording.study_id!r}; the layout "
            "'reference' needs whole numbers. Set ECG_MAT_LAYOUT=fairseq for this dataset."
        ) from error
