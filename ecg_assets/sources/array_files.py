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
from ecg_assets.sources.array_record import find_named_leads, make_array_record, put_leads_first
from ecg_assets.sources.folder_settings import FolderSettings
from ecg_assets.sources.record import Record

_SIGNAL_KEYS = ("val", "feats", "signal", "ecg", "data")
_RATE_KEYS = ("curr_sample_rate", "sample_rate_hz", "sample_rate", "sampling_rate", "fs", "Fs")
_MOST_VALUES = 1 << 26
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
    if not path.is_file():
        raise BadRecord("missing_file", f"{path.name} does not exist")
    own_rate = None
    if path.suffix == ".csv":
        values, names = _read_csv(path, leads)
    else:
        array, own_rate = _read_mat(path) if path.suffix == ".mat" else (_read_npy(path), None)
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
    try:
        # Mapped: a header that claims more than the file holds is refused, not allocated.
        return np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # numpy tells a spoilt header by many kinds of error
        raise _unreadable(path, error) from error


def _read_mat(path: Path) -> tuple[NDArray[Any], float | None]:
    """Read the signal and, where there is one, the sample rate."""
    try:
        shapes = {name: shape for name, shape, _ in scipy.io.whosmat(path)}
        signal = next((key for key in _SIGNAL_KEYS if key in shapes), None)
        rate = next((key for key in _RATE_KEYS if key in shapes), None)
        if signal is None:
            raise BadRecord(
                "unreadable", f"{path.name} has none of {', '.join(_SIGNAL_KEYS)}: {list(shapes)}"
            )
        if max(int(np.prod(shapes[key], dtype=object)) for key in (signal, rate or signal)) > (
            _MOST_VALUES
        ):
            raise BadRecord("unreadable", f"{path.name} claims more than {_MOST_VALUES} values")
        found = scipy.io.loadmat(path, variable_names=[signal, *([rate] if rate else [])])
        return np.asarray(found[signal]), float(found[rate].item()) if rate else None
    except BadRecord:
        raise
    except NotImplementedError as error:
        raise BadRecord("unreadable", f"{path.name} is of MATLAB 7.3; save it with -v7") from error
    except Exception as error:  # scipy tells a spoilt file by many kinds of error
        raise _unreadable(path, error) from error


def _read_csv(path: Path, leads: Sequence[str] | None) -> tuple[NDArray[np.float64], list[str]]:
    """Read columns by lead: float64 ``(lead, sample)``, NaN where empty."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header = stream.readline(_MOST_HEADER_CHARACTERS)
        names = next(csv.reader([header]), [])
        columns = find_named_leads(names, leads)
        table = pa_csv.read_csv(
            path,
            read_options=pa_csv.ReadOptions(
                column_names=[str(i) for i in range(len(names))], skip_rows=1
            ),
            convert_options=pa_csv.ConvertOptions(
                include_columns=[str(i) for i in columns],
                column_types={str(i): pa.float64() for i in columns},
            ),
        )
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from error
    values = [column.to_numpy() for column in table.columns]
    return np.array(values, dtype=np.float64), [names[i] for i in columns]


def _unreadable(path: Path, error: Exception) -> BadRecord:
    # Its message may name a path of this machine.
    reason = str(error).replace(str(path), path.name)
    return BadRecord("unreadable", f"{path.name}: {type(error).__name__}: {reason}"[:200])
