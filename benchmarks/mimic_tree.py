"""A tree in MIMIC-IV-ECG's layout, made from real recordings where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import wfdb
from numpy.typing import NDArray

from ecg_assets.preprocess import STANDARD_LEADS
from ecg_assets.sources import open_source, read_record

N_SAMPLES = 5000
GAIN = 200.0
MIMIC_ORDER = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
PLACES = ("ECG_REFERENCE_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))


def write_mimic_tree(folder: Path, n_records: int) -> pd.DataFrame:
    """Write recordings of 10 s at 500 Hz, and give their record list.

    Each is a real recording with its amplitude and start changed, rounded to MIMIC's 5 µV;
    without real ones at hand (ECG_REFERENCE_DATA), they come from the synthetic cohort, which
    compresses differently.
    """
    generator = np.random.default_rng(0)
    originals = _real_recordings() or _synthetic_recordings(folder / "synthetic")
    rows = []
    for i in range(n_records):
        study = 40_000_000 + i
        path = f"files/p1000/p{10_000_000 + i // 3}/s{study}/{study}"
        (folder / path).parent.mkdir(parents=True)
        signal = originals[i % len(originals)]
        signal = np.roll(signal, generator.integers(N_SAMPLES), axis=1)
        stored = np.rint(signal * generator.uniform(0.7, 1.4) * GAIN).astype(np.int16)
        order = [STANDARD_LEADS.index(lead) for lead in MIMIC_ORDER]
        wfdb.wrsamp(
            str(study),
            fs=500,
            units=["mV"] * 12,
            sig_name=list(MIMIC_ORDER),
            d_signal=np.ascontiguousarray(stored[order].T),
            fmt=["16"] * 12,
            adc_gain=[GAIN] * 12,
            baseline=[0] * 12,
            write_dir=str((folder / path).parent),
        )
        rows.append((f"mimic_iv_ecg_{study}", path))
    return pd.DataFrame(rows, columns=["record_id", "path"])


def _real_recordings() -> list[NDArray[np.float32]]:
    found = []
    for place in (os.environ.get(PLACES[0]), PLACES[1]):
        if place:
            for header in sorted(Path(place).glob("real_ecg/physionet2021/*/*.hea")):
                signal = read_record(header, STANDARD_LEADS).physical()
                if signal.shape[1] == N_SAMPLES:
                    found.append(np.nan_to_num(signal))
    return found


def _synthetic_recordings(folder: Path) -> list[NDArray[np.float32]]:
    source = open_source("synthetic", folder, n_records=100)
    # Some have planted faults, which the source itself lists.
    faulty = set(pd.read_csv(folder / "planted_faults.csv", dtype=str)["study_id"])
    records = source.read_records().table
    paths = records.loc[~records["study_id"].isin(faulty), "path"]
    found = [read_record(folder / path, STANDARD_LEADS).physical() for path in paths]
    return [np.nan_to_num(signal) for signal in found if signal.shape[1] == N_SAMPLES]
