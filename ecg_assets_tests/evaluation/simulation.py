"""Simulated predictions with known properties."""

from __future__ import annotations

import numpy as np

from ecg_assets.labels import LabelVocabulary
from ecg_assets.models.predictions import Predictions


def simulate_predictions(
    n_records: int, *, n_labels: int = 3, seed: int = 0, decimals: int = 2
) -> Predictions:
    """Draw predictions with ties (rounded scores) and about three records a patient."""
    generator = np.random.default_rng(seed)
    target = (generator.random((n_records, n_labels)) < 0.3).astype(np.uint8)
    logit = generator.normal(size=(n_records, n_labels)) + 1.5 * target - 0.7
    score = np.round(1 / (1 + np.exp(-logit)), decimals).astype(np.float32)
    names = tuple(f"label {k}" for k in range(n_labels))
    return Predictions(
        record_ids=np.array([f"r{i}" for i in range(n_records)]),
        subject_ids=generator.integers(0, max(n_records // 3, 1), n_records).astype(str),
        vocabulary=LabelVocabulary(names, ("mean",) * n_labels),
        target=target,
        score=score,
    )
