"""Recordings of two segments in which each patient has a rhythm and a shape of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.build import Manifest, SignalCache
from ecg_assets.labels import LabelVocabulary
from ecg_assets.preprocess import SignalSpec
from ecg_assets.training.engine.data import TrainingData

RATE, RECORD_S = 500, 5.0
SPEC = SignalSpec(
    leads=("I", "II", "V1"), n_channels=3, sample_rate_hz=RATE, record_s=RECORD_S, segment_s=2.5
)
N_SAMPLES = int(RECORD_S * RATE)
PER_MV = 200


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
    spec = SPEC if leads == SPEC.leads else replace(SPEC, leads=leads, n_channels=12)
    manifest = Manifest(
        index,
        np.zeros((n_records, 1), np.uint8),
        LabelVocabulary(("none",), ("mean",)),
        spec,
        np.ones(1),
        excluded,
        {"source": "toy"},
    )
    samples = np.concatenate([_record(random, len(leads)) for _ in range(n_records)])
    offsets = np.arange(n_records + 1, dtype=np.int64) * N_SAMPLES * len(leads)
    rates = np.full(n_records, float(RATE))
    return TrainingData(manifest, SignalCache(Path(), leads, samples, offsets, rates))


def in_millivolts(data: TrainingData) -> TrainingData:
    """The same recordings as signals in mV."""
    spec = replace(data.manifest.spec, normalization="none")
    made_for = replace(spec, segment_s=spec.record_s or 0.0, n_channels=len(spec.leads))
    samples = (data.signals.samples / PER_MV).astype(np.float32)
    signals = replace(data.signals, samples=samples, made_for=made_for)
    return TrainingData(replace(data.manifest, spec=spec), signals)


def _record(random: np.random.Generator, n_leads: int) -> NDArray[np.int16]:
    """Spikes at a random rate, of a random height in each lead, in noise."""
    time = np.arange(N_SAMPLES) / RATE
    spikes = np.cos(np.pi * (random.uniform(1.6, 6) * time + random.uniform())) ** 40
    leads = random.normal(size=(n_leads, 1)) * spikes
    noise = 0.1 * random.standard_normal(leads.shape)
    samples: NDArray[np.int16] = np.rint(PER_MV * (leads + noise)).astype(np.int16).ravel()
    return samples
