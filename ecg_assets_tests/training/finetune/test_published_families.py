"""Families whose modules are another family's: their tiny sizes learn by the same training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ecg_assets.build import SignalCache
from ecg_assets.models.checkpoint import load_trained
from ecg_assets.models.checkpoint_folder import read_validation_predictions
from ecg_assets.models.families import FAMILIES
from ecg_assets.models.scoring import predict_records
from ecg_assets.preprocess import SignalSpec, standardize
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.finetune.presets import tiny_presets
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets_tests.models.toy_recordings import (
    PER_MV,
    RATE,
    VOCABULARY,
    toy_manifest,
    toy_signals,
)
from ecg_assets_tests.training.finetune.toy_run import run_toy

TRAINED = ("clef", "d-beta", "deepecg-ssl", "melp-encoder")


def _spec(family: str) -> SignalSpec:
    """The family's signals of Lead I, short ones."""
    spec = FAMILIES[family].signal_spec(("I",))
    return replace(spec, record_s=2.4, segment_s=1.2, n_channels=1)


def _data(family: str, n_records: int) -> TrainingData:
    spec = _spec(family)
    manifest = replace(toy_manifest(n_records), spec=spec)
    signals = toy_signals(manifest, n_samples=1200)
    made_for = spec
    if not spec.holds_segments:
        made_for = replace(spec, segment_s=spec.record_s or 0.0)
    block = signals.samples.reshape(len(signals), 1, -1)
    gain, baseline = np.full(block.shape[:2], float(PER_MV)), np.zeros(block.shape[:2])
    made = standardize(block, RATE, made_for, gain, baseline)
    offsets = np.arange(len(signals) + 1, dtype=np.int64) * made.shape[-1]
    rates = np.full(len(signals), float(spec.sample_rate_hz))
    cache = SignalCache(Path(), ("I",), made.ravel(), offsets, rates, made_for=made_for)
    return TrainingData(manifest, cache)


def _request(family: str, folder: Path) -> FinetuneRequest:
    values: dict[str, Any] = {"epochs": 8, "batch_size": 16, "device": "cpu"}
    return FinetuneRequest.from_preset(
        tiny_presets()[family],
        manifest_folder=folder,
        shard_folder=folder,
        cache_folder=folder,
        output_folder=folder,
        inputs={"manifests": "toy"},
        **values,
    )


@pytest.mark.parametrize("family", TRAINED)
def test_a_tiny_model_learns_toy_recordings_from_nothing(family: str, tmp_path: Path) -> None:
    data = _data(family, 80)
    folder, _ = run_toy(_request(family, tmp_path), data)
    found = load_trained(folder)
    assert found.vocabulary == VOCABULARY
    again = predict_records(found, data.manifest, data.signals, data.rows("valid"), device="cpu")
    stored = read_validation_predictions(folder)
    np.testing.assert_allclose(stored.score, again.score, rtol=0, atol=1e-6)
    # In segments of 1.2 s not every family tells the rhythm in eight epochs.
    is_inverted = VOCABULARY.names.index("inverted")
    assert roc_auc_score(stored.target[:, is_inverted], stored.score[:, is_inverted]) > 0.95
