"""What fairseq-signals' meta.csv says of each recording's signal, from a shard's statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.preprocess.millivolts import lead_scales
from ecg_assets.tables import Column, TableSchema

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
