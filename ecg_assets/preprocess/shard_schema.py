"""The declared columns of a signal shard and of its rejects."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from ecg_assets.preprocess.lead_statistics import MIN_PLATEAU_SAMPLES, SUSPICIOUS_MV
from ecg_assets.sources import MISSING
from ecg_assets.tables import Column, TableSchema

SAMPLES = pa.list_(pa.field("element", pa.int16(), nullable=False))
"""A lead's samples; a missing one is the integer `MISSING`, never null."""

RECORD_COLUMNS = (
    Column("record_id", pa.string(), "the recording, as in record_list"),
    Column("sample_rate_hz", pa.float64(), "samples a second, as recorded"),
    Column("n_samples", pa.int32(), "samples of each lead"),
    Column(
        "limb_residual_mv",
        pa.float32(),
        "how far limb leads are from what I and II make of them, in mV; empty without them",
        nullable=True,
    ),
    Column(
        "limb_fault",
        pa.string(),
        f"what explains a residual above {SUSPICIOUS_MV} mV, e.g. aVL ↔ aVF or −I",
        nullable=True,
    ),
    Column(
        "signal_quality",
        pa.string(),
        "the worst lead's class by NeuroKit2 (zhao2018); empty where not asked for",
        nullable=True,
    ),
)

_LEAD_COLUMNS = (
    ("lead", SAMPLES, f"stored integers (ADC units); {MISSING} is a missing sample"),
    ("gain", pa.float64(), "ADC units in one mV"),
    ("baseline", pa.int32(), "ADC units at 0 mV"),
    ("sum", pa.int64(), "exact sum of the samples that are not missing"),
    ("sum_sq", pa.int64(), "exact sum of their squares"),
    ("n_missing", pa.int32(), "missing samples"),
    ("min", pa.int16(), "smallest sample in ADC units"),
    ("max", pa.int16(), "largest sample in ADC units"),
    ("is_flat", pa.bool_(), "no two samples differ"),
    (
        "n_clipped",
        pa.int32(),
        f"samples in runs of {MIN_PLATEAU_SAMPLES} or more at the lead's minimum or maximum",
    ),
)

REJECTS = TableSchema(
    "rejects",
    (
        Column("record_id", pa.string(), "the recording, as in record_list"),
        Column("reason", pa.string(), "short code, the same for every record with this fault"),
        Column("detail", pa.string(), "what was found in this recording"),
    ),
)


NO_SIGNAL, TOO_SHORT = "no_signal", "too_short"
"""Why a stored recording has no score: all leads are flat, or it has no whole segment."""


def lead_columns(lead: str) -> tuple[Column, ...]:
    """Columns of one lead, e.g. ``lead_I, gain_I, …``."""
    return tuple(
        Column(f"{name}_{lead}", type_, f"lead {lead}: {meaning}")
        for name, type_, meaning in _LEAD_COLUMNS
    )


def shard_schema(leads: Sequence[str]) -> TableSchema:
    """Give the schema of a shard that stores these leads.

    >>> [column.name for column in shard_schema(["I"]).columns][5:8]
    ['signal_quality', 'lead_I', 'gain_I']
    """
    if not leads or len(set(leads)) != len(leads):
        raise ValueError(f"leads is {list(leads)}; expected distinct lead names, at least one.")
    columns = [column for lead in leads for column in lead_columns(lead)]
    return TableSchema("signal_shards", (*RECORD_COLUMNS, *columns))
