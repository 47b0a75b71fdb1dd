"""Read one exam out of an HDF5 file of CODE-15%."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ecg_assets.errors import BadRecord
from ecg_assets.sources.array_record import find_named_leads, make_array_record
from ecg_assets.sources.record import Record

_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_SAMPLE_RATE_HZ = 400.0
_UNITS_PER_MV = 2.0
"""The authors wrote twice the millivolts (antonior92/ecg-preprocessing, README: --scale 2)."""

_MOST_VALUES = 1 << 20
"""Values of an exam, and exams of a file: what a file claims is not allocated above that."""

_MOST_VALUES_IN_CHUNK = 1 << 25


def read_exam(path: Path, exam_id: str, leads: Sequence[str] | None = None) -> Record:
    """Read an exam's leads, without the zeros that pad it to 4096 samples at both ends.

    Parameters
    ----------
    path
        A file with ``exam_id`` ``(exam,)`` and ``tracings`` ``(exam, sample, lead)``, twelve
        leads at 400 Hz.
    exam_id
        Number of the exam.
    leads
        Names of the leads to read, in the order wanted; None for all.

    Raises
    ------
    BadRecord
        ``missing_file``, ``missing_exam``, ``missing_lead``, ``bad_shape``, those of
        `make_array_record`, or ``unreadable`` for all the rest.
    """
    columns = find_named_leads(_LEADS, leads)
    if not path.is_file():
        raise BadRecord("missing_file", f"{path.name} does not exist; is it still zipped?")
    try:
        row = _find_rows(str(path), path.stat().st_mtime_ns).get(int(exam_id))
        if row is None:
            raise BadRecord("missing_exam", f"{path.name} holds no exam {exam_id}")
        with _open_file(path) as file:
            tracing = _read_tracing(file, row)
    except BadRecord:
        raise
    except Exception as error:  # h5py raises whatever a spoilt file makes of it
        # Its message may name a path of this machine.
        reason = str(error).replace(str(path.parent), "")[:200]
        raise BadRecord("unreadable", f"{type(error).__name__}: {reason}") from error
    signal = _strip_padding(tracing)[:, columns].T
    names = [_LEADS[column] for column in columns]
    return make_array_record(signal, names, _SAMPLE_RATE_HZ, units_per_mv=_UNITS_PER_MV)


@lru_cache(maxsize=32)
def _find_rows(path: str, changed: int) -> dict[int, int]:
    """Row of each exam; kept, because a file has 20,000 of them."""
    with _open_file(path) as file:
        exams = _open_dataset(file, "exam_id")
        if exams.ndim != 1 or exams.size > _MOST_VALUES:
            raise BadRecord("bad_shape", f"exam_id is {exams.shape}; expected one an exam")
        return {int(exam): row for row, exam in enumerate(exams[:])}


def _open_file(path: str | Path) -> h5py.File:
    # Many network file systems refuse the lock, which a reader does not need.
    return h5py.File(path, "r", locking=False)


def _read_tracing(file: h5py.File, row: int) -> NDArray[np.floating[Any]]:
    tracings = _open_dataset(file, "tracings")
    shape = tracings.shape
    if tracings.ndim != 3 or shape[2] != len(_LEADS) or shape[1] * shape[2] > _MOST_VALUES:
        raise BadRecord("bad_shape", f"tracings is {shape}; expected (exams, 4096, 12)")
    if tracings.dtype.kind != "f" or row >= shape[0]:
        raise BadRecord("bad_shape", f"tracings is {tracings.dtype} {shape}; row {row} is needed")
    return np.asarray(tracings[row])


def _strip_padding(tracing: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Cut off the samples ``(sample, lead)`` at both ends at which every lead is 0."""
    recorded = np.flatnonzero(np.any(tracing != 0, axis=1))
    return tracing[recorded[0] : recorded[-1] + 1] if len(recorded) else tracing[:0]


def _open_dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """Open a dataset that lies in this file, in pieces of a size that can be read."""
    link = file.get(name, getlink=True)
    dataset = file[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise BadRecord("unreadable", f"{name} is no dataset in this file itself")
    if int(np.prod(dataset.chunks or (1,), dtype=object)) > _MOST_VALUES_IN_CHUNK:
        raise BadRecord("unreadable", f"{name} has chunks of {dataset.chunks} values")
    return dataset
