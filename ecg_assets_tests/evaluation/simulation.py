"""Simulated predictions with known properties."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ecg_assets.labels import LabelVocabulary
from ecg_assets.models.predictions import Predictions, ValidationPredictions


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


def as_validation(predictions: Predictions) -> ValidationPredictions:
    """Take predictions for those of a validation split."""
    return ValidationPredictions(
        predictions.record_ids,
        predictions.subject_ids,
        predictions.vocabulary,
        predictions.target,
        predictions.score,
    )


def simulate_validation(
    n_records: int, *, n_labels: int = 3, seed: int = 0, decimals: int = 2
) -> ValidationPredictions:
    """`simulate_predictions`, typed as of a validation split."""
    return as_validation(
        simulate_predictions(n_records, n_labels=n_labels, seed=seed, decimals=decimals)
    )


def blur(predictions: Predictions, *, noise: float, seed: int = 3) -> Predictions:
    """Score the same recordings with noise added."""
    drawn = np.random.default_rng(seed).normal(size=predictions.score.shape)
    score = np.clip(predictions.score + noise * drawn, 0, 1).astype(np.float32)
    return replace(predictions, score=score)
