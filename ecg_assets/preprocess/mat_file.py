"""One .mat file (MATLAB version 5) whose bytes depend on its content alone."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import scipy.io

_HEADER = b"MATLAB 5.0 MAT-file, written by ecg-assets".ljust(116)
"""The header's free text; scipy's own holds the time, and a rerun must give the same bytes."""


def write_mat(path: Path, content: dict[str, Any], *, compress: bool) -> None:
    """Write variables in their order; a scalar is 1 × 1 when read back."""
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, content, do_compression=compress)
    with path.open("wb") as file:
        file.write(_HEADER)
        file.write(buffer.getbuffer()[len(_HEADER) :])
