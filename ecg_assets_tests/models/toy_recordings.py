"""Recordings that a tiny model learns in seconds: which rhythm, and whether it is inverted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.build import Manifest, SignalCache
from ecg_assets.labels import LabelVocabulary
from ecg_assets.preprocess import SignalSpec, standardize

VOCABULARY = LabelVocabulary(("fast", "inverted"), ("mean", "max"))
RATE = 500
"""As ECG-FM reads it. The recordings are so short that a tiny model learns them in seconds."""
SPEC = SignalSpec(sample_rate_hz=RATE, record_s=1.2, segment_s=0.6)
PER_MV = 200
"""Stored integers of a toy signal's height of 1."""


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
    weights, facts = np.array([1.0, 2.0]), {"source": "toy", "split_rule": "by number"}
    return Manifest(index, targets, VOCABULARY, SPEC, weights, excluded, facts)


def toy_signals(manifest: Manifest, *, n_samples: int = 600, seed: int = 1) -> SignalCache:
    """Spikes of 5 or 12.5 Hz, up or down, in noise; 1.2 s at 500 Hz unless told otherwise."""
    random = np.random.default_rng(seed)
    time = np.arange(n_samples) / RATE
    records = []
    for fast, inverted in manifest.targets:
        phase = random.uniform()
        spikes = np.cos(np.pi * ((12.5 if fast else 5.0) * time + phase)) ** 40
        noise = 0.2 * random.standard_normal(n_samples)
        records.append(np.rint(PER_MV * ((-1 if inverted else 1) * spikes + noise)))
    offsets = np.arange(len(records) + 1, dtype=np.int64) * n_samples
    rates = np.full(len(records), float(RATE))
    samples = np.concatenate(records).astype(np.int16)
    return SignalCache(Path(), ("I",), samples, offsets, rates)


def in_millivolts(signals: SignalCache, spec: SignalSpec) -> SignalCache:
    """Toy signals as a cache that was made for a spec that needs mV."""
    made_for = replace(spec, segment_s=spec.record_s or 0.0, n_channels=len(spec.leads))
    block = signals.samples.reshape(len(signals), len(spec.leads), -1)
    gain, baseline = np.full(block.shape[:2], float(PER_MV)), np.zeros(block.shape[:2])
    made = standardize(block, RATE, spec, gain, baseline)
    return replace(signals, samples=made.ravel(), made_for=made_for)
