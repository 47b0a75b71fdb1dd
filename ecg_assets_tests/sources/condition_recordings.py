"""Folders of conditions that tests write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import wfdb

from ecg_assets.preprocess.signal_spec import STANDARD_LEADS

MIMIC_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")


def write_condition_recording(
    root: Path,
    folder: str,
    name: str,
    *,
    seed: int,
    leads: tuple[str, ...] = STANDARD_LEADS,
    sample_rate_hz: int = 500,
    comments: tuple[str, ...] = (),
) -> Path:
    """Write a 12-lead WFDB record of noise; each lead's level is its place in the alphabet."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(-20, 21, (10 * sample_rate_hz, len(leads)))
    level = np.array([100 * sorted(leads).index(lead) for lead in leads])
    wfdb.wrsamp(
        name,
        fs=sample_rate_hz,
        units=["mV"] * len(leads),
        sig_name=list(leads),
        d_signal=noise + level,
        fmt=["16"] * len(leads),
        adc_gain=[200.0] * len(leads),
        baseline=[0] * len(leads),
        comments=list(comments),
        write_dir=str(root / folder),
    )
    return root / folder / name
