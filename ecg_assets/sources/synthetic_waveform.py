"""A simulated recording as a WFDB header and a signal file of format 16."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_assets.sources.simulation import MIMIC_LEADS, Fault
from ecg_assets.sources.simulation.recording import SAMPLE_RATE_HZ
from ecg_assets.sources.simulation.study import Study

GAIN_PER_MV = 200
MISSING_SAMPLE = -32768
"""Format 16's value for a sample that is missing."""

_KEPT_FRAMES = 3000
"""Frames in a truncated signal file."""

Stored = NDArray[np.int16]


def to_stored(signal_mv: NDArray[np.float64]) -> Stored:
    """Convert mV to what MIMIC-IV-ECG stores: int16 (lead, sample), 200 a mV.

    Examples
    --------
    >>> to_stored(np.array([[0.005, -1.0, 500.0]])).tolist()
    [[1, -200, 32767]]
    """
    limit = 32767
    return np.clip(np.rint(signal_mv * GAIN_PER_MV), -limit, limit).astype(np.int16)


def write_waveform(root: Path, study: Study, stored: Stored, fault: Fault | None) -> None:
    """Write a study's ``.hea`` and ``.dat`` below the dataset's root.

    Parameters
    ----------
    root
        The dataset's root.
    study
        Gives path, ids and time.
    stored
        int16 (12, sample), leads in MIMIC's order.
    fault
        Those of the signal file are made here; the header always describes the whole recording.
    """
    path = root / study.path
    path.parent.mkdir(parents=True)
    path.with_suffix(".hea").write_text(header_text(study, stored), encoding="ascii")
    if fault is Fault.MISSING_DAT:
        return
    frames = stored.T.astype("<i2")
    if fault is Fault.TRUNCATED_DAT:
        frames = frames[:_KEPT_FRAMES]
    elif fault is Fault.CHECKSUM_MISMATCH:
        frames = frames.copy()
        frames[frames.shape[0] // 2, 0] += 37
    path.with_suffix(".dat").write_bytes(frames.tobytes())


def header_text(study: Study, stored: Stored) -> str:
    """Header of a recording in MIMIC-IV-ECG's form.

    The checksum of a lead is the sum of its samples, missing ones included, modulo 65,536.
    """
    name = study.study_id
    checksums = stored.sum(axis=1, dtype=np.int64) % 65536
    lines = [
        f"{name} {len(MIMIC_LEADS)} {SAMPLE_RATE_HZ} {stored.shape[1]} "
        f"{study.ecg_time:%H:%M:%S %d/%m/%Y}"
    ]
    lines += [
        f"{name}.dat 16 {GAIN_PER_MV}.0(0)/mV 16 0 {samples[0]} {checksum} 0 {lead}"
        for lead, samples, checksum in zip(MIMIC_LEADS, stored, checksums, strict=True)
    ]
    lines.append(f"# <subject_id>: {study.patient.subject_id}")
    return "\n".join(lines) + "\n"
