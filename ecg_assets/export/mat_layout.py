"""What the .mat files of one recording are called and hold, in each layout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.preprocess.blocks import signal_blocks
from ecg_assets.preprocess.model_input import (
    lead_scales,
    project_channels,
    resampled_millivolts,
    segment,
)
from ecg_assets.preprocess.signal_spec import STANDARD_LEADS, SignalSpec
from ecg_assets.tables import Column, TableSchema

# The recordings of a shard as model input, with what their .mat files say of them.


@dataclass(frozen=True)
class MatRecording:
    """A recording as its .mat files hold it.

    Attributes
    ----------
    record_id, study_id
        As in the record list.
    row
        Its row in the record list.
    standardized
        float32 ``(lead, sample)``.
    mean_mv, deviation_mv
        Of each lead in mV, resampled and not yet standardized, float64 ``(lead,)``.
    sample_rate_hz, n_samples
        As recorded.
    """

    record_id: str
    study_id: str
    row: int
    standardized: NDArray[np.float32]
    mean_mv: NDArray[np.float64]
    deviation_mv: NDArray[np.float64]
    sample_rate_hz: float
    n_samples: int


def standardized_recordings(
    signals: pa.Table, spec: SignalSpec, numbers: pd.DataFrame, *, keep_missing: bool
) -> Iterator[MatRecording]:
    """Give all recordings of a shard, those of one length and sample rate together.

    Parameters
    ----------
    signals
        Table as `shard_schema` declares, with the leads of the spec.
    spec
        How to standardize.
    numbers
        ``study_id`` and ``row`` of each recording, by ``record_id``, in the table's order.
    keep_missing
        Leave missing samples NaN.

    Raises
    ------
    SettingsError
        When the spec's signals are no leads of a recording: `.mat` files hold those alone.
    """
    if spec.holds_segments:
        raise SettingsError(
            "A .mat file holds the leads of a recording as they follow in time, but the signal "
            f"spec cuts, fills or lays out each segment by itself: {spec.to_json()}. Choose "
            "another ECG_SIGNAL_KIND to write .mat files."
        )
    record_ids = numbers.index.tolist()
    study_ids, rows = numbers["study_id"].tolist(), numbers["row"].tolist()
    for block in signal_blocks(signals, spec.leads):
        standardized = block.standardize(spec)
        signal_mv = resampled_millivolts(
            block.samples, block.sample_rate_hz, spec, block.gain, block.baseline
        )
        if keep_missing:
            standardized[np.isnan(signal_mv)] = np.nan
        mean, deviation = _mean_and_deviation(signal_mv)
        for at, row in enumerate(block.rows):
            yield MatRecording(
                record_id=record_ids[row],
                study_id=study_ids[row],
                row=rows[row],
                standardized=standardized[at],
                mean_mv=mean[at],
                deviation_mv=deviation[at],
                sample_rate_hz=block.sample_rate_hz,
                n_samples=block.samples.shape[-1],
            )


def _mean_and_deviation(
    signal: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give ``(record, lead)`` of the samples that are not NaN; NaN where all are."""
    is_present = ~np.isnan(signal)
    n_present = is_present.sum(axis=-1).astype(np.float64)
    n_present[n_present == 0] = np.nan
    mean = np.where(is_present, signal, 0).sum(axis=-1) / n_present
    centred = np.where(is_present, signal - mean[..., None], 0)
    return mean, np.sqrt(np.square(centred).sum(axis=-1) / n_present)


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
    is_whole = spec.record_s is not None and spec.segment_samples == spec.record_samples
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
    SettingsError
        When all of each recording is used: ``idx`` counts on one length of them all.
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
            "'reference' needs whole numbers. Materialize mat_records with layout: fairseq."
        ) from error


# What fairseq-signals' meta.csv says of each recording's signal, from a shard's statistics.


_NAMES, _VALUES = pa.list_(pa.string()), pa.list_(pa.float64())

MAT_META = TableSchema(
    "mat_meta",
    (
        Column("record_id", pa.string(), "the recording, as in record_list"),
        Column("sample_rate_hz", pa.float64(), "samples a second, as recorded"),
        Column("n_samples", pa.int32(), "samples of each lead, as recorded"),
        Column("missing_leads", _NAMES, "leads with a missing sample"),
        Column("absent_leads", _NAMES, "leads with no other"),
        Column("constant_leads", _NAMES, "leads of which no two samples differ"),
        Column("mean_mv", _VALUES, "mean of each lead in mV; NaN for an absent lead"),
        Column("deviation_mv", _VALUES, "population standard deviation of each lead in mV"),
    ),
)


def describe_recordings(signals: pa.Table, leads: Sequence[str]) -> pd.DataFrame:
    """Describe a shard's recordings as stored, before any resampling or cutting.

    Missing samples count for neither mean nor deviation.

    Parameters
    ----------
    signals
        Table as `shard_schema` declares, with these leads.
    leads
        Order of `mean_mv` and `deviation_mv`.

    Returns
    -------
    DataFrame
        As `MAT_META` declares.
    """
    n_samples = signals["n_samples"].to_numpy().astype(np.int64)
    n_missing = _by_lead(signals, "n_missing", leads).astype(np.int64)
    n_present = n_samples[:, None] - n_missing
    is_absent = n_present == 0
    is_constant = _by_lead(signals, "is_flat", leads) & ~is_absent
    total, squares = (_by_lead(signals, name, leads) for name in ("sum", "sum_sq"))
    gain, baseline = lead_scales(signals, leads)
    n = np.where(is_absent, np.nan, n_present)
    # The difference of large numbers is exact in Python's integers.
    exact = n_present.astype(object) * squares.astype(object) - total.astype(object) ** 2
    return pd.DataFrame(
        {
            "record_id": signals["record_id"].to_pylist(),
            "sample_rate_hz": signals["sample_rate_hz"].to_numpy(),
            "n_samples": n_samples,
            "missing_leads": _names(n_missing > 0, leads),
            "absent_leads": _names(is_absent, leads),
            "constant_leads": _names(is_constant, leads),
            "mean_mv": _lists((total / n - baseline) / gain),
            "deviation_mv": _lists(np.sqrt(exact.astype(np.float64)) / n / gain),
        }
    )


def _by_lead(signals: pa.Table, name: str, leads: Sequence[str]) -> NDArray[Any]:
    return np.stack([signals[f"{name}_{lead}"].to_numpy() for lead in leads], axis=1)


def _names(mask: NDArray[np.bool_], leads: Sequence[str]) -> pd.Series[Any]:
    """Leads whose mask, ``(record, lead)``, is true."""
    named = [[lead for lead, is_one in zip(leads, row, strict=True) if is_one] for row in mask]
    return pd.Series(named, dtype=object)


def _lists(values: NDArray[np.float64]) -> pd.Series[Any]:
    """Rows as lists; of type object even where there is no row."""
    return pd.Series(values.tolist(), dtype=object)
