"""HDF5 files of the Telehealth Network of Minas Gerais: rows of ``tracings``, an exam each.

CODE-15%, CODE-test and SaMi-Trop have them. They are read in a child process: HDF5's library may
crash on a damaged file, or not come to an end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecg_assets.errors import BadRecord, SchemaError
from ecg_assets.sources.file_limits import require_regular_file
from ecg_assets.sources.hdf5 import explain_unreadable, open_dataset, open_hdf5
from ecg_assets.sources.reader_process import call_in_child
from ecg_assets.sources.record import Record

if TYPE_CHECKING:  # loaded where a file is read: listing a dataset needs no HDF5
    import h5py

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""Order of CODE-15% and SaMi-Trop."""

_SAMPLE_RATE_HZ = 400.0
_UNITS_PER_MV = 2.0
"""The authors wrote twice the millivolts of CODE-15% (antonior92/ecg-preprocessing, README:
--scale 2). Of CODE-test (antonior92/automatic-ecg-diagnosis, README) two are stated that contradict
each other, 1e-4 V and times 1000, of SaMi-Trop none; the same network recorded them, and their R
waves in lead II are as high as those of CODE-15% (vlbthambawita/ECGBench, its data configs)."""

MOST_VALUES = 1 << 20
"""Values of an exam, and exams of a file: what a file claims is not allocated above that."""


def read_row(
    path: Path, row: str, leads: Sequence[str] | None = None, order: Sequence[str] = LEADS
) -> Record:
    """Read leads of the exam in a row, without the zeros that pad it to 4096 samples.

    Parameters
    ----------
    path
        A file with ``tracings`` ``(exam, sample, lead)``, twelve leads at 400 Hz.
    row
        Number of the row, from 0.
    leads
        Names of the leads to read, in the order wanted; None for all.
    order
        Names of the leads as they stand in the file.

    Raises
    ------
    BadRecord
        ``missing_file``, ``missing_exam``, ``missing_lead``, ``bad_shape``, those of
        `make_array_record`, or ``unreadable`` for all the rest.
    """
    if not (row.isascii() and row.isdecimal()):
        raise BadRecord("missing_exam", f"{path.name}: {row[:80]!r} is no number of a row")
    return read_exam_leads(path, leads, order, _read_row, int(row))


def read_exam_leads(
    path: Path, leads: Sequence[str] | None, order: Sequence[str], read: Any, *arguments: Any
) -> Record:
    """Read leads of an exam by a function of the child process.

    Parameters
    ----------
    path, leads, order
        As `read_row` takes them.
    read
        Function of a module that gives the exam ``(sample, lead)`` of the path, as written.
    arguments
        What it takes behind the path.
    """
    from ecg_assets.sources.folder.arrays import find_named_leads, make_array_record

    columns = find_named_leads(order, leads)
    if not path.exists():
        raise BadRecord("missing_file", f"{path.name} does not exist; is it still zipped?")
    require_regular_file(path)
    signal = call_in_child(_read_columns, path, columns, read, arguments)
    names = [order[column] for column in columns]
    return make_array_record(signal, names, _SAMPLE_RATE_HZ, units_per_mv=_UNITS_PER_MV)


def require_rows(path: Path, n_rows: int, table: Path) -> None:
    """Compare the exams of a file with the rows of the table that names them by their place.

    A file that is not there is passed over: its exams are rejected one by one.

    Raises
    ------
    SchemaError
        When there are more or fewer, or the file cannot be read: nothing else joins the two.
    """
    if not path.exists():
        return
    try:
        require_regular_file(path)
        n_exams = call_in_child(_count_rows, path)
    except BadRecord as error:
        raise SchemaError(f"{path} cannot be read: {error.detail}.") from error
    if n_exams != n_rows:
        raise SchemaError(
            f"{table} has {n_rows} rows, but {path.name} has {n_exams} tracings. The i-th row is "
            "of the i-th tracing, and nothing else joins them: download both anew."
        )


# In the child process.


def _read_columns(
    path: Path, columns: list[int], read: Any, arguments: tuple[Any, ...]
) -> NDArray[np.floating[Any]]:
    """Read leads of an exam, ``(lead, sample)``, without its padding."""
    with telling_damage(path):
        tracing = read(path, *arguments)
    return np.ascontiguousarray(_strip_padding(tracing)[:, columns].T)


def _read_row(path: Path, row: int) -> NDArray[np.floating[Any]]:
    with open_hdf5(path) as file:
        return read_tracing(file, row)


def _count_rows(path: Path) -> int:
    with telling_damage(path), open_hdf5(path) as file:
        return int(open_dataset(file, "tracings").shape[0])


@contextmanager
def telling_damage(path: Path) -> Iterator[None]:
    """Make a `BadRecord` of whatever h5py makes of a spoilt file."""
    try:
        yield
    except BadRecord:
        raise
    except Exception as error:
        raise explain_unreadable(error, path) from error


def read_tracing(file: h5py.File, row: int) -> NDArray[np.floating[Any]]:
    """Read the exam in a row, ``(sample, lead)``, as written."""
    tracings = open_dataset(file, "tracings")
    shape = tracings.shape
    if tracings.ndim != 3 or shape[2] != len(LEADS) or shape[1] * shape[2] > MOST_VALUES:
        raise BadRecord("bad_shape", f"tracings is {shape}; expected (exams, 4096, 12)")
    if tracings.dtype.kind != "f" or row >= shape[0]:
        raise BadRecord("bad_shape", f"tracings is {tracings.dtype} {shape}; row {row} is needed")
    return np.asarray(tracings[row])


def _strip_padding(tracing: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Cut off the samples ``(sample, lead)`` at both ends at which every lead is 0."""
    recorded = np.flatnonzero(np.any(tracing != 0, axis=1))
    return tracing[recorded[0] : recorded[-1] + 1] if len(recorded) else tracing[:0]
