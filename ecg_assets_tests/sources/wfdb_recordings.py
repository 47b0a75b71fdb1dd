"""WFDB recordings that tests write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import wfdb
from numpy.typing import NDArray

LEADS = ("I", "II", "V1")


def digital(n_samples: int = 200, n_leads: int = 3, *, bits: int = 10) -> NDArray[np.int64]:
    """Integers ``(sample, lead)`` that fit the bits, without the value for missing ones."""
    limit = (1 << (bits - 1)) - 1
    return np.random.default_rng(7).integers(-limit, limit + 1, (n_samples, n_leads))


def write_recording(
    folder: Path,
    name: str = "100",
    *,
    signal: NDArray[np.int64] | None = None,
    leads: tuple[str, ...] = LEADS,
    fmt: str = "16",
    gain: float = 200.0,
    baseline: int = 0,
    unit: str = "mV",
) -> Path:
    """Write a recording with wfdb; return its path without extension."""
    folder.mkdir(parents=True, exist_ok=True)
    values = digital(n_leads=len(leads)) if signal is None else signal
    n_leads = len(leads)
    wfdb.wrsamp(
        name,
        fs=500,
        units=[unit] * n_leads,
        sig_name=list(leads),
        d_signal=values,
        fmt=[fmt] * n_leads,
        adc_gain=[gain] * n_leads,
        baseline=[baseline] * n_leads,
        write_dir=str(folder),
    )
    return folder / name


def edit_header(path: Path, old: str, new: str) -> None:
    """Replace text that stands in a header, at every place."""
    header = path.with_name(f"{path.name}.hea")
    text = header.read_text(encoding="utf-8")
    assert old in text
    header.write_text(text.replace(old, new), encoding="utf-8")


def flip_byte(file: Path, at: int) -> None:
    """Change one byte of a file."""
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def rdrecord(path: Path, **options: Any) -> Any:
    """Read with wfdb, the oracle."""
    return wfdb.rdrecord(str(path), **options)
