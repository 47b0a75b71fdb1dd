"""S4, ECG-CPC, xresnet1d101 and ResNet-18 by the same training as the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ecg_assets.models.checkpoint_folder import read_validation_predictions
from ecg_assets.models.families import FAMILIES
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.finetune.presets import PRESETS
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets_tests.models.toy_recordings import SPEC, in_millivolts, toy_manifest, toy_signals
from ecg_assets_tests.training.finetune.toy_run import run_toy

TINY = ("s4-tiny", "ecg-cpc-tiny", "xresnet1d101-tiny", "merl-resnet18-tiny")
PUBLISHED = (
    "s4",
    "ecg-cpc",
    "ecg-cpc-probe",
    "ecg-cpc-attention-probe",
    "xresnet1d101",
    "merl-resnet18-probe",
    "resnet18",
)


def _data(preset: str) -> TrainingData:
    """Toy recordings of the kind that a preset's models read, in whole segments of 0.6 s."""
    lengths: dict[str, Any] = {
        "record_s": SPEC.record_s,
        "segment_s": SPEC.segment_s,
        "stride_s": None,
    }
    kind = FAMILIES[PRESETS[preset].family].signal_spec(("I",))
    spec = replace(kind, **lengths, padding="none", aggregation="by-label")
    manifest = replace(toy_manifest(40), spec=spec)
    signals = in_millivolts(toy_signals(manifest), spec)
    n_samples = len(signals.samples) // len(signals)  # after resampling
    offsets = np.arange(len(signals) + 1, dtype=np.int64) * n_samples
    return TrainingData(manifest, replace(signals, offsets=offsets))


def _request(preset: str, folder: Path, **changes: Any) -> FinetuneRequest:
    values: dict[str, Any] = {"epochs": 2, "batch_size": 16, "device": "cpu", **changes}
    return FinetuneRequest.from_preset(
        preset,
        manifest_folder=folder,
        shard_folder=folder,
        cache_folder=folder,
        output_folder=folder,
        inputs={"manifests": "toy"},
        **values,
    )


@pytest.mark.parametrize("preset", TINY)
def test_the_toy_is_learned_from_random_weights(preset: str, tmp_path: Path) -> None:
    data = _data(preset)
    folder, _ = run_toy(_request(preset, tmp_path, epochs=12, learning_rate=1e-2), data)
    scores = read_validation_predictions(folder).score
    targets = data.manifest.targets[data.rows("valid")]
    assert roc_auc_score(targets, scores, average="macro") > 0.8


@pytest.mark.parametrize("preset", PUBLISHED)
def test_published_recipes_are_of_the_published_size(preset: str) -> None:
    recipe = PRESETS[preset]
    assert recipe.size == "base"
    assert recipe.needs_pretrained == preset.endswith("-probe")
