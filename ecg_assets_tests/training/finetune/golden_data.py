"""Recordings of fairseq-signals' golden training as training data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.build import Manifest, SignalCache
from ecg_assets.labels import ECG_FM_LABELS
from ecg_assets.preprocess import STANDARD_LEADS, SignalSpec
from ecg_assets.training.engine.data import TrainingData

SPEC = SignalSpec(
    leads=STANDARD_LEADS, n_channels=12, record_s=5.0, segment_s=5.0, normalization="none"
)


def golden_data(golden: Path) -> TrainingData:
    """Read the 24 training recordings, and the 4 of ``input_5s`` to validate with."""
    train, valid = np.load(golden / "train_input.npy"), np.load(golden / "input_5s.npy")
    labels = np.load(golden / "train_labels.npy").astype(np.uint8)
    signals = np.concatenate([train, valid]).astype(np.float32)
    n_records = len(signals)
    index = pd.DataFrame(
        {
            "record_id": [f"record_{i:02}" for i in range(n_records)],
            "subject_id": [f"patient_{i:02}" for i in range(n_records)],
            "split": ["train"] * len(train) + ["valid"] * len(valid),
            "shard": "p1000",
            "row": np.arange(n_records, dtype=np.int32),
        }
    )
    cache = SignalCache(
        Path(),
        STANDARD_LEADS,
        signals.ravel(),
        np.arange(n_records + 1, dtype=np.int64) * signals[0].size,
        np.full(n_records, 500.0),
        made_for=SPEC,
    )
    manifest = Manifest(
        index,
        np.concatenate([labels, labels[: len(valid)]]),
        ECG_FM_LABELS,
        SPEC,
        np.load(golden / "pos_weight.npy").astype(np.float64),
        pd.DataFrame({"record_id": [], "reason": []}, dtype=str),
    )
    return TrainingData(manifest, cache)
