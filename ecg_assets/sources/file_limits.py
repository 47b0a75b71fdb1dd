"""Which files may be read: in the dataset's root, regular, and as large as an ECG can be.

Tables and headers name files, and may name any.
"""

from __future__ import annotations

import os
import stat
from functools import lru_cache
from io import FileIO
from pathlib import Path

from ecg_assets.errors import BadRecord

# A named pipe without a writer would otherwise keep open() waiting; Windows has no such flag.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_regular_file(file: str) -> tuple[FileIO, int]:
    """Open a regular file to read it, unbuffered; also give its size in bytes.

    Raises
    ------
    BadRecord
        ``missing_file``, or ``unreadable`` when it cannot be opened or is no regular file.
    """
    try:
        # Not open(): it asks the system twice as often, and this is half of reading a recording.
        descriptor = os.open(file, _FLAGS)
    except (OSError, ValueError) as error:
        raise _cannot_read(file, error) from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise _is_not_regular(file)
    return FileIO(descriptor), status.st_size


def require_regular_file(path: Path, most_bytes: int | None = None) -> int:
    """Look at a file before a library opens it; give its size in bytes.

    Parameters
    ----------
    path
        The file.
    most_bytes
        Size that its format needs at most; None looks at no size.

    Raises
    ------
    BadRecord
        ``missing_file``, or ``unreadable`` when it is no regular file or larger.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise _cannot_read(path, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise _is_not_regular(path)
    if most_bytes is not None and status.st_size > most_bytes:
        raise BadRecord(
            "unreadable",
            f"{path.name[:80]} has {status.st_size} bytes; at most {most_bytes} are read",
        )
    return status.st_size


def _is_not_regular(file: str | Path) -> BadRecord:
    return BadRecord("unreadable", f"{_name(file)} is no regular file")


def _cannot_read(file: str | Path, error: OSError | ValueError) -> BadRecord:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return BadRecord("missing_file", f"{_name(file)} does not exist")
    # A ValueError is a name with a zero byte.
    reason = error.strerror if isinstance(error, OSError) else "no file can have such a name"
    return BadRecord("unreadable", f"{_name(file)}: {reason}")


def _name(file: str | Path) -> str:
    # A name of other bytes than UTF-8 could not be stored with the rejects.
    name = os.path.basename(file)  # noqa: PTH119 - of a string as well
    return name[:80].encode("utf-8", "replace").decode()


# How large, how long and how fast a recording may be: what no ECG needs is not read.


MOST_SAMPLES = 2**23 - 1
"""Samples of a lead, 4.6 h at 500 Hz: 256 such recordings fill a list column's 32-bit offsets."""

MOST_VALUES = 1 << 27
"""Samples of all leads of one file of 16 bits, 256 MiB: `MOST_SAMPLES` of 16 leads."""

MOST_DECODED_VALUES = 1 << 26
"""Samples of all leads, where reading makes larger numbers of them: 512 MiB as float64."""

MOST_TEXT_BYTES = 1 << 28
"""Size of a .csv, 256 MiB: about 1.5 h of twelve leads at 500 Hz in eight characters a sample."""

MOST_HOSPITAL_BYTES = 1 << 26
"""Size of a .dcm, .xml or .scp, 64 MiB: a resting ECG takes 25 to 300 kB."""

SAMPLE_RATES_HZ = (50.0, 100_000.0)
"""Samples a second that an ECG can have.

Below: what DICOM allows for an ambulatory ECG, and for no other less (PS3.3, A.34; Supplement
237 lists them). Above: more than front ends convert, which is 10,000 to 15,000 a second "or
even higher" (Kligfield et al. 2007, doi:10.1161/CIRCULATIONAHA.106.180200).
"""


# Where a file may lie.


def require_inside_root(path: str | Path, root: str | Path | None) -> None:
    """Refuse a path that leaves the root by being absolute, by ``..`` or through a link.

    Parameters
    ----------
    path
        File as it would be opened; it need not exist.
    root
        Folder that it must lie in; None allows every path.

    Raises
    ------
    BadRecord
        ``outside_root``.
    """
    if root is None or _is_plainly_inside(os.fspath(path), os.fspath(root)):
        return
    path = Path(path)
    try:
        is_inside = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
    except ValueError:  # a name with a zero byte
        is_inside = False
    if not is_inside:
        raise BadRecord(
            "outside_root",
            f"{path.name} lies outside the dataset's root: its path is absolute, has '..', "
            "or a link leads there",
        )


def require_plain_name(name: str) -> None:
    """Refuse a signal file's name, as a header has it, that names another folder.

    Raises
    ------
    BadRecord
        ``outside_root``.
    """
    if "/" in name or "\\" in name or name in ("", ".", ".."):
        raise BadRecord("outside_root", "the header names a signal file in another folder")


def _is_plainly_inside(path: str, root: str) -> bool:
    """Say whether no component below the root is a link or ``..``.

    Resolving both paths would cost more than reading a recording does.
    """
    start = root.rstrip(os.sep) + os.sep
    if not path.startswith(start) or ".." in path:
        return False
    folder, name = path[len(start) :].rpartition(os.sep)[::2]
    # os.path: a Path for each folder would cost ten times as much.
    return _has_no_link(start, folder) and not os.path.islink(start + folder + os.sep + name)  # noqa: PTH114


@lru_cache(maxsize=4096)
def _has_no_link(start: str, folder: str) -> bool:
    """Say whether no folder on the way is a link; each folder is looked at once a process."""
    place = start
    for part in folder.split(os.sep):  # noqa: PTH206
        place = place + part + os.sep
        if os.path.islink(place.rstrip(os.sep)):  # noqa: PTH114
            return False
    return True


def list_visible_files(root: Path, folder: str = "") -> list[str]:
    """List the paths below the root of all files in it, or in a folder of it, sorted.

    Hidden files and folders are passed over: macOS and Jupyter leave them beside others.
    """
    found = []
    for place, folders, files in os.walk(root / folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(place).relative_to(root)
        found += [(below / name).as_posix() for name in files if not name.startswith(".")]
    return sorted(found)
