"""Small WFDB recordings, written by wfdb itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.io
import wfdb
from numpy.typing import NDArray

from ecg_assets.preprocess import STANDARD_LEADS


def make_signal(n_leads: int, n_samples: int, seed: int) -> NDArray[np.int16]:
    """Random walk in ADC units, ``(lead, sample)``."""
    steps = np.random.default_rng(seed).integers(-9, 10, (n_leads, n_samples))
    return np.clip(np.cumsum(steps, axis=1), -3000, 3000).astype(np.int16)


def write_record(
    path: Path,
    signal: NDArray[np.integer],
    *,
    leads: Sequence[str] = ("I",),
    sample_rate_hz: int = 500,
    wfdb_format: str = "16",
    gain: float = 200.0,
) -> None:
    """Write stored integers ``(lead, sample)``; -32768 is a missing sample."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(
        path.name,
        fs=sample_rate_hz,
        units=["mV"] * len(leads),
        sig_name=list(leads),
        d_signal=signal.T.astype(np.int64),
        fmt=[wfdb_format] * len(leads),
        adc_gain=[gain] * len(leads),
        baseline=[0] * len(leads),
        write_dir=str(path.parent),
    )


def record_list(names: Sequence[str], shard: str = "p1000") -> pd.DataFrame:
    """Records whose path is their name; each is its own patient."""
    return pd.DataFrame(
        {
            "record_id": list(names),
            "source": "test",
            "subject_id": [f"patient of {name}" for name in names],
            "study_id": list(names),
            "ecg_time": pd.NaT,
            "shard": shard,
            "path": list(names),
            "age": np.nan,
            "sex": None,
        }
    )


def numbered(records: pd.DataFrame) -> pd.DataFrame:
    """Give each record its row in the record list, as an export of .mat files takes it."""
    return records[["record_id", "study_id"]].assign(row=range(len(records)))


def golden_records(raw: Path) -> pd.DataFrame:
    """Record list of recordings in MIMIC-IV-ECG's layout, all of one shard."""
    found = pd.read_csv(raw / "record_list.csv", dtype=str)
    return pd.DataFrame(
        {
            "record_id": "mimic_iv_ecg_" + found["study_id"],
            "subject_id": found["subject_id"],
            "study_id": found["study_id"],
            "shard": "p1000",
            "path": found["path"],
        }
    )


def write_code_15(folder: Path, raw: Path) -> pd.DataFrame:
    """Write CODE-15 recordings, which are .mat files, with the finest 16-bit step that fits.

    Give their record list, in the order of their ``idx``.
    """
    names = pd.read_csv(folder / "meta_split.csv")["save_file"].str.removesuffix(".mat").tolist()
    for name in names:
        signal = scipy.io.loadmat(folder / "org" / f"{name}.mat")["feats"].astype(np.float64)
        gain = float(np.floor(32_000 / np.abs(signal).max()))
        stored = np.round(signal * gain).astype(np.int16)
        write_record(raw / name, stored, leads=STANDARD_LEADS, sample_rate_hz=400, gain=gain)
    return record_list(names)
