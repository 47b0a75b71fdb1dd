"""Open HDF5 files of unknown make: nothing outside of the file, nothing of a size beyond reason.

To be called in a child process (`ecg_assets.sources.reader_process`): HDF5's library may crash on
a damaged file, or not come to an end.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecg_assets.errors import BadRecord

if TYPE_CHECKING:  # loaded where a file is read: listing a dataset needs no HDF5
    import h5py

_MOST_VALUES_IN_CHUNK = 1 << 25


def open_hdf5(path: str | Path) -> h5py.File:
    """Open a file for reading."""
    import h5py

    # Many network file systems refuse the lock, which a reader does not need.
    return h5py.File(path, "r", locking=False)


def open_dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """Open a dataset that lies in this file, in pieces of a size that can be read.

    Raises
    ------
    BadRecord
        ``unreadable``.
    """
    import h5py

    link = file.get(name, getlink=True)
    dataset = file[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise BadRecord("unreadable", f"{name} is no dataset in this file itself")
    if int(np.prod(dataset.chunks or (1,), dtype=object)) > _MOST_VALUES_IN_CHUNK:
        raise BadRecord("unreadable", f"{name} has chunks of {dataset.chunks} values")
    return dataset


def explain_unreadable(error: Exception, path: Path) -> BadRecord:
    """Make a bad record of what h5py raises on a spoilt file; its message may name a folder."""
    reason = str(error).replace(str(path.parent), "")[:200]
    return BadRecord("unreadable", f"{type(error).__name__}: {reason}")
