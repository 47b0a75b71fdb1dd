"""Read recordings out of .npy, .csv and .mat files."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import scipy.io
from numpy.typing import NDArray

from ecg_assets.errors import BadRecord
from ecg_assets.sources.file_limits import (
    MOST_DECODED_VALUES,
    MOST_SAMPLES,
    MOST_TEXT_BYTES,
    require_regular_file,
)
from ecg_assets.sources.folder.settings import FolderSettings
from ecg_assets.sources.reader_process import call_in_child
from ecg_assets.sources.record import MISSING, Record
from ecg_assets.sources.wfdb.header import normalize_lead_name

# Millivolts as 16-bit integers, fine enough that nothing visible is lost.


_LEAST_GAIN = 1000.0
_MOST_DOUBLINGS = 5
_LARGEST = 32766
"""One below the largest int16: rounding the baseline may add one."""


def store_millivolts(
    signal_mv: NDArray[np.floating],
) -> tuple[NDArray[np.int16], NDArray[np.float64], NDArray[np.int64]]:
    """Turn millivolts into stored integers.

    Each lead has a gain of its own: 1000/mV, doubled up to five times while its samples fit.
    What was digitized at 1000, 500, 250, 200 or 125 ADC units per mV is thus stored without
    loss, all else to half a microvolt or better. A lead that lies far from 0 mV is stored
    around its middle.

    Parameters
    ----------
    signal_mv
        ``(lead, sample)``; NaN is a missing sample.

    Returns
    -------
    tuple
        int16 ``(lead, sample)`` with -32768 for missing; gain and baseline, ``(lead,)``.

    Raises
    ------
    BadRecord
        ``not_finite``, or ``samples_exceed_int16`` when a lead spans more than 65 mV.

    >>> stored, gain, baseline = store_millivolts(np.array([[0.5, -2.0, np.nan]]))
    >>> stored.tolist(), gain.tolist(), baseline.tolist()
    ([[8000, -32000, -32768]], [16000.0], [0])
    """
    signal = np.asarray(signal_mv, dtype=np.float64)
    if np.isinf(signal).any():
        raise BadRecord("not_finite", "samples are infinite; a missing one is NaN")
    present = ~np.isnan(signal)
    low = np.min(signal, axis=1, where=present, initial=np.inf)
    high = np.max(signal, axis=1, where=present, initial=-np.inf)
    low, high = (np.where(present.any(axis=1), edge, 0.0) for edge in (low, high))
    fits = np.maximum(high, -low) * _LEAST_GAIN <= _LARGEST
    middle = np.where(fits, 0.0, (low + high) / 2)
    gain = _choose_gain(np.maximum(high - middle, middle - low))
    baseline = -np.rint(middle * gain).astype(np.int64)
    digital = np.rint(signal * gain[:, None]) + baseline[:, None]
    return np.where(present, digital, MISSING).astype(np.int16), gain, baseline


def require_span(signal: NDArray[np.int16], units_per_mv: float) -> None:
    """Refuse integers that span more than millivolts may: they are in another unit.

    Parameters
    ----------
    signal
        int16 ``(lead, sample)``; -32768 is a missing sample.
    units_per_mv
        How many of them are said to be one mV.

    Raises
    ------
    BadRecord
        ``unlikely_unit``.

    >>> require_span(np.array([[-125, 915]], dtype=np.int16), 1000)
    """
    present = signal != MISSING
    low = np.min(signal, axis=1, where=present, initial=np.iinfo(np.int16).max).astype(np.float64)
    high = np.max(signal, axis=1, where=present, initial=MISSING).astype(np.float64)
    span = float(np.max((high - low) / units_per_mv, initial=0.0))
    if span > 2 * _LARGEST / _LEAST_GAIN:
        raise BadRecord("unlikely_unit", _describe_span(span))


def _describe_span(span_mv: float) -> str:
    return (
        f"a lead spans {span_mv:.6g} mV, more than 65: is its unit mV? "
        "folder.yaml's units_per_mv says how many units are one mV"
    )


def _choose_gain(reach_mv: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the gain of each lead, given how far it goes from its middle: ``(lead,)``."""
    if np.any(reach_mv * _LEAST_GAIN > _LARGEST):
        raise BadRecord("samples_exceed_int16", _describe_span(2 * float(reach_mv.max())))
    finest = _LARGEST / np.maximum(reach_mv * _LEAST_GAIN, 1e-9)
    doublings = np.clip(np.floor(np.log2(finest)), 0, _MOST_DOUBLINGS)
    gain: NDArray[np.float64] = _LEAST_GAIN * 2.0**doublings
    return gain


# A recording made of an array and the names of its leads.


_INT16 = np.iinfo(np.int16)


def find_named_leads(names: Sequence[str], leads: Sequence[str] | None) -> list[int]:
    """Find the positions of leads by name; None stands for all.

    Raises
    ------
    BadRecord
        ``missing_lead``, or ``bad_header`` when two leads have the name asked for.
    """
    if leads is None:
        return list(range(len(names)))
    known = [normalize_lead_name(name) for name in names]
    wanted = [normalize_lead_name(lead) for lead in leads]
    missing = [lead for lead in wanted if lead not in known]
    if missing:
        raise BadRecord("missing_lead", f"{', '.join(missing)} not among {', '.join(known)}"[:200])
    for lead in wanted:
        if known.count(lead) > 1:
            raise BadRecord("bad_header", f"{known.count(lead)} leads are named {lead}")
    return [known.index(lead) for lead in wanted]


def put_leads_first(values: NDArray[Any], n_leads: int) -> NDArray[Any]:
    """Turn ``(sample, lead)`` into ``(lead, sample)``, telling them apart by the leads' number.

    Raises
    ------
    BadRecord
        ``bad_shape`` when no side or both have that length.
    """
    if values.ndim == 1:
        values = values[None]
    is_lead = [size == n_leads for size in values.shape]
    if values.ndim != 2 or sum(is_lead) != 1:
        raise BadRecord(
            "bad_shape",
            f"the array is {' × '.join(map(str, values.shape))}; expected one side of {n_leads}, "
            "the number of leads in folder.yaml",
        )
    return values if is_lead[0] else values.T


def require_array(dtype: np.dtype[Any], n_leads: int, n_samples: int) -> None:
    """Refuse what is no recording before it is copied out of its file.

    Raises
    ------
    BadRecord
        ``unreadable`` when the values are no numbers, or are more than are read.
    """
    if dtype.kind not in "iuf":
        raise BadRecord("unreadable", f"values are {dtype}; expected numbers"[:200])
    if n_samples > MOST_SAMPLES or n_leads * n_samples > MOST_DECODED_VALUES:
        raise BadRecord(
            "unreadable",
            f"{n_leads} leads of {n_samples} samples; at most {MOST_SAMPLES} of a lead and "
            f"{MOST_DECODED_VALUES} of all are read",
        )


def make_array_record(
    values: NDArray[Any],
    names: Sequence[str],
    sample_rate: float,
    *,
    units_per_mv: float | None = None,
) -> Record:
    """Make a recording of ``(lead, sample)`` values.

    Parameters
    ----------
    values
        Floats, NaN where missing, or integers, which are stored as they are and of which
        -32768 is a missing one.
    names
        Name of each lead, in any spelling.
    sample_rate
        Samples per second.
    units_per_mv
        How many of the values' units are one mV; None takes floats for mV.

    Raises
    ------
    BadRecord
        ``unknown_unit`` for integers without `units_per_mv`, ``samples_exceed_int16``,
        ``not_finite``, or ``unreadable`` when the values are no numbers.
    """
    require_array(values.dtype, *values.shape)
    if values.dtype.kind == "f":
        signal, gain, baseline = store_millivolts(values.astype(np.float64) / (units_per_mv or 1.0))
    elif units_per_mv is None:
        raise BadRecord(
            "unknown_unit",
            "values are integers; set units_per_mv in folder.yaml to how many are one mV",
        )
    else:
        signal = _require_int16(values)
        require_span(signal, units_per_mv)
        gain = np.full(len(values), units_per_mv)
        baseline = np.zeros(len(values), dtype=np.int64)
    return Record(
        signal=signal,
        gain=gain,
        baseline=baseline,
        units=("mV",) * len(names),
        sample_rate=sample_rate,
        lead_names=tuple(normalize_lead_name(name) for name in names),
    )


def _require_int16(values: NDArray[Any]) -> NDArray[np.int16]:
    if values.size and not _INT16.min <= values.min() <= values.max() <= _INT16.max:
        raise BadRecord(
            "samples_exceed_int16", f"samples run from {values.min()} to {values.max()}"
        )
    return np.ascontiguousarray(values, dtype=np.int16)


# Read the signal of a .mat file, in a child process: `scipy` crashes on damaged ones.


_SIGNAL_KEYS = ("val", "feats", "signal", "ecg", "data")
_RATE_KEYS = ("curr_sample_rate", "sample_rate_hz", "sample_rate", "sampling_rate", "fs", "Fs")
_MOST_BYTES = 16 * MOST_DECODED_VALUES
"""Real and imaginary part of that many values; a file of recordings is smaller by far."""


def read_mat_array(path: Path) -> tuple[NDArray[Any], float | None]:
    """Read the signal of a .mat file and, where there is one, its sample rate.

    Raises
    ------
    BadRecord
        ``missing_file``, or ``unreadable``: of MATLAB 7.3, without a signal, damaged or too
        large.
    """
    require_regular_file(path, _MOST_BYTES)
    return call_in_child(_read, path)


def _read(path: Path) -> tuple[NDArray[Any], float | None]:
    try:
        shapes = {name: shape for name, shape, _ in scipy.io.whosmat(path)}
        signal = next((key for key in _SIGNAL_KEYS if key in shapes), None)
        rate = next((key for key in _RATE_KEYS if key in shapes), None)
        if signal is None:
            raise BadRecord(
                "unreadable",
                f"{path.name} has none of {', '.join(_SIGNAL_KEYS)}: {list(shapes)}"[:200],
            )
        for key in (signal, rate or signal):
            _require_bounded(path, shapes[key])
        found = scipy.io.loadmat(path, variable_names=[signal, *([rate] if rate else [])])
        return _numbers(found[signal]), float(found[rate].item()) if rate else None
    except BadRecord:
        raise
    except NotImplementedError as error:
        raise BadRecord("unreadable", f"{path.name} is of MATLAB 7.3; save it with -v7") from error
    except Exception as error:  # scipy tells a spoilt file by many kinds of error
        reason = str(error).replace(str(path), path.name)
        raise BadRecord("unreadable", f"{path.name}: {type(error).__name__}: {reason}"[:200]) from (
            error
        )


def _require_bounded(path: Path, shape: tuple[int, ...]) -> None:
    if int(np.prod(shape, dtype=object)) > MOST_DECODED_VALUES:
        raise BadRecord("unreadable", f"{path.name} claims more than {MOST_DECODED_VALUES} values")


def _numbers(found: Any) -> NDArray[Any]:
    """Take what can be numbers; anything else, as a cell array, would not be worth sending."""
    array = np.asarray(found)
    if array.dtype.kind not in "iuf":
        raise BadRecord("unreadable", f"values are {array.dtype}; expected numbers")
    return array


_MOST_HEADER_CHARACTERS = 1 << 16


def read_array_file(
    path: Path,
    leads: Sequence[str] | None,
    settings: FolderSettings,
    sample_rate_hz: float | None = None,
) -> Record:
    """Read the named leads of a .npy, .csv or .mat file; None reads all.

    A .csv has a row of lead names, then a sample a row. A .npy is one array and a .mat
    (version 5, ``save -v7``) has one under `val`, `feats`, `signal`, `ecg` or `data`, lead ×
    sample or sample × lead, with the leads of folder.yaml. Of the sample rate, the file's own
    (``curr_sample_rate``, ``sample_rate``, ``fs`` in a .mat) counts, then `sample_rate_hz`,
    then folder.yaml's.

    Raises
    ------
    BadRecord
        ``missing_file``, ``missing_lead``, ``missing_lead_names``, ``missing_sample_rate``,
        ``bad_sample_rate`` (two that differ), ``bad_header``, ``bad_shape``, those of
        `make_array_record`, or ``unreadable`` for all the rest.
    """
    own_rate = None
    if path.suffix == ".csv":
        values, names = _read_csv(path, leads)
    else:
        if path.suffix == ".mat":
            array, own_rate = read_mat_array(path)
        else:
            array = _read_npy(path)
        values, names = _choose_leads(array, settings.leads, leads)
    rate = _choose_rate(own_rate, sample_rate_hz, settings.sample_rate_hz)
    return make_array_record(values, names, rate, units_per_mv=settings.units_per_mv)


def _choose_leads(
    array: NDArray[Any], names: Sequence[str], leads: Sequence[str] | None
) -> tuple[NDArray[Any], list[str]]:
    if not names:
        raise BadRecord("missing_lead_names", "set leads in folder.yaml: the file names none")
    array = put_leads_first(array, len(names))
    rows = find_named_leads(names, leads)
    require_array(array.dtype, len(rows), array.shape[1])
    return array[rows], [names[row] for row in rows]


def _choose_rate(own: float | None, stated: float | None, of_folder: float | None) -> float:
    if own is not None and stated is not None and own != stated:
        raise BadRecord("bad_sample_rate", f"the file says {own:g} Hz, labels.csv {stated:g} Hz")
    for rate in (own, stated, of_folder):
        if rate is not None:
            return float(rate)
    raise BadRecord(
        "missing_sample_rate", "set sample_rate_hz, as a column of labels.csv or in folder.yaml"
    )


def _read_npy(path: Path) -> NDArray[Any]:
    require_regular_file(path)
    try:
        # Mapped: a header that claims more than the file holds is refused, not allocated.
        return np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # numpy tells a spoilt header by many kinds of error
        raise _unreadable(path, error) from error


def _read_csv(path: Path, leads: Sequence[str] | None) -> tuple[NDArray[np.float64], list[str]]:
    """Read columns by lead: float64 ``(lead, sample)``, NaN where empty."""
    require_regular_file(path, MOST_TEXT_BYTES)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header = stream.readline(_MOST_HEADER_CHARACTERS)
        names = next(csv.reader([header]), [])
        columns = find_named_leads(names, leads)
        values = _read_columns(path, len(names), columns)
    except (pa.ArrowException, OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from error
    return values, [names[i] for i in columns]


def _read_columns(path: Path, n_columns: int, wanted: list[int]) -> NDArray[np.float64]:
    """Read columns block by block, so that too many rows are refused before they are all there."""
    names = [str(i) for i in range(n_columns)]
    blocks, n_rows = [np.empty((len(wanted), 0))], 0
    with pa_csv.open_csv(
        path,
        read_options=pa_csv.ReadOptions(column_names=names, skip_rows=1),
        convert_options=pa_csv.ConvertOptions(
            include_columns=[names[i] for i in wanted],
            column_types={names[i]: pa.float64() for i in wanted},
        ),
    ) as reader:
        for batch in reader:
            n_rows += batch.num_rows
            require_array(np.dtype(np.float64), len(wanted), n_rows)
            blocks.append(np.array([c.to_numpy(zero_copy_only=False) for c in batch.columns]))
    return np.concatenate(blocks, axis=1)


def _unreadable(path: Path, error: Exception) -> BadRecord:
    # Its message may name a path of this machine.
    reason = str(error).replace(str(path), path.name)
    return BadRecord("unreadable", f"{path.name}: {type(error).__name__}: {reason}"[:200])
