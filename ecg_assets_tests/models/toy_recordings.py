"""Recordings that a tiny model learns in seconds: which rhythm, and whether it is inverted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.build import Manifest, SignalCache
from ecg_assets.labels import LabelVocabulary
from ecg_assets.preprocess import SignalSpec

VOCABULARY = LabelVocabulary(("fast", "inverted"), ("mean", "max"))
SPEC = SignalSpec(sample_rate_hz=100, record_s=6.0, segment_s=3.0)


def toy_manifest(n_records: int, seed: int = 0) -> Manifest:
    """Every fifth recording validates; each is a patient of its own."""
    targets = np.random.default_rng(seed).integers(0, 2, (n_records, 2)).astype(np.uint8)
    index = pd.DataFrame(
        {
            "record_id": [f"record_{i:04}" for i in range(n_records)],
            "subject_id": [f"patient_{i:04}" for i in range(n_records)],
            "split": ["valid" if i % 5 == 4 else "train" for i in range(n_records)],
            "shard": "p1000",
            "row": np.arange(n_records, dtype=np.int32),
        }
    )
    excluded = pd.DataFrame({"record_id": [], "reason": []}, dtype=str)
    return Manifest(index, targets, VOCABULARY, SPEC, np.array([1.0, 2.0]), excluded)


def toy_signals(manifest: Manifest, *, n_samples: int = 600, seed: int = 1) -> SignalCache:
    """Spikes of 1 or 2.5 Hz, up or down, in noise; 6 s at 100 Hz unless told otherwise."""
    random = np.random.default_rng(seed)
    time = np.arange(n_samples) / 100
    records = []
    for fast, inverted in manifest.targets:
        phase = random.uniform()
        spikes = np.cos(np.pi * ((2.5 if fast else 1.0) * time + phase)) ** 40
        noise = 0.2 * random.standard_normal(n_samples)
        records.append(np.rint(200 * ((-1 if inverted else 1) * spikes + noise)))
    offsets = np.arange(len(records) + 1, dtype=np.int64) * n_samples
    rates = np.full(len(records), 100.0)
    samples = np.concatenate(records).astype(np.int16)
    return SignalCache(Path(), ("I",), samples, offsets, rates)
