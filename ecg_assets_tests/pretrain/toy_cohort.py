"""Recordings of two segments in which each patient has a rhythm and a shape of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.build import Manifest, SignalCache
from ecg_assets.finetune.training_data import TrainingData
from ecg_assets.labels import LabelVocabulary
from ecg_assets.preprocess import SignalSpec

RATE = 250
SPEC = SignalSpec(
    leads=("I", "II", "V1"), n_channels=3, sample_rate_hz=RATE, record_s=10.0, segment_s=5.0
)


def toy_cohort(n_records: int, *, leads: tuple[str, ...] = SPEC.leads) -> TrainingData:
    """Every fifth recording validates; recordings 0 and 1 are of one patient."""
    random = np.random.default_rng(0)
    index = pd.DataFrame(
        {
            "record_id": [f"record_{i:03}" for i in range(n_records)],
            "subject_id": [f"patient_{max(i, 1):03}" for i in range(n_records)],
            "split": ["valid" if i % 5 == 4 else "train" for i in range(n_records)],
            "shard": "p1000",
            "row": np.arange(n_records, dtype=np.int32),
        }
    )
    excluded = pd.DataFrame({"record_id": [], "reason": []}, dtype=str)
    spec = SPEC if leads == SPEC.leads else SignalSpec(leads, sample_rate_hz=RATE)
    manifest = Manifest(
        index,
        np.zeros((n_records, 1), np.uint8),
        LabelVocabulary(("none",), ("mean",)),
        spec,
        np.ones(1),
        excluded,
    )
    samples = np.concatenate([_record(random, len(leads)) for _ in range(n_records)])
    offsets = np.arange(n_records + 1, dtype=np.int64) * 10 * RATE * len(leads)
    rates = np.full(n_records, float(RATE))
    return TrainingData(manifest, SignalCache(Path(), leads, samples, offsets, rates))


def _record(random: np.random.Generator, n_leads: int) -> NDArray[np.int16]:
    """Spikes at a random rate, of a random height in each lead, in noise."""
    time = np.arange(10 * RATE) / RATE
    spikes = np.cos(np.pi * (random.uniform(0.8, 3) * time + random.uniform())) ** 40
    leads = random.normal(size=(n_leads, 1)) * spikes
    noise = 0.1 * random.standard_normal(leads.shape)
    samples: NDArray[np.int16] = np.rint(200 * (leads + noise)).astype(np.int16).ravel()
    return samples
