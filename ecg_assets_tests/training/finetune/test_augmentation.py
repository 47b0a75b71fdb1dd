"""Random changes of training segments: what each does, and that training with them resumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from ecg_assets.build import SignalCache
from ecg_assets.errors import SettingsError
from ecg_assets.models.checkpoint_folder import WEIGHTS
from ecg_assets.preprocess import SignalSpec
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.engine.segments import EpochShuffle, SegmentDataset
from ecg_assets.training.fairseq_signals.request import FairseqOptions
from ecg_assets.training.finetune.augmentation import (
    AugmentedSegments,
    add_noise,
    add_wander,
    augment,
    drop_leads,
    scale_amplitude,
    shift_time,
)
from ecg_assets.training.finetune.presets import PRESETS
from ecg_assets.training.finetune.recipe import AUGMENTATIONS, Recipe
from ecg_assets_tests.models.toy_recordings import SPEC, toy_manifest, toy_signals
from ecg_assets_tests.training.finetune.toy_run import run_toy, toy_request
from ecg_assets_tests.training.killed_run import Killed

ALL: dict[str, float] = {
    "noise_sd": 0.1,
    "amplitude_change": 0.2,
    "time_shift_s": 0.5,
    "wander_amplitude": 0.3,
}


@pytest.fixture()
def generator() -> Generator:
    return Generator().manual_seed(7)


@pytest.fixture()
def segments() -> Tensor:
    return torch.from_numpy(np.random.default_rng(3).standard_normal((64, 3, 500), np.float32))


@pytest.fixture(scope="module")
def data() -> TrainingData:
    manifest = toy_manifest(40)
    return TrainingData(manifest, toy_signals(manifest))


def _recipe(**changes: float) -> Recipe:
    values: dict[str, Any] = changes
    return PRESETS["tiny"].changed(**values)


def test_nothing_is_on_in_a_preset_and_off_changes_nothing(
    segments: Tensor, generator: Generator
) -> None:
    before = generator.get_state()
    for recipe in PRESETS.values():
        assert not recipe.augments
        assert not set(recipe.model_dump(mode="json")) & set(AUGMENTATIONS)
        assert augment(segments, recipe, 100, generator) is segments
    assert generator.get_state().equal(before)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_is_on_by_itself_and_part_of_the_request(
    name: str, segments: Tensor, generator: Generator, tmp_path: Path
) -> None:
    recipe = _recipe(**{name: 0.3})
    kept = segments.clone()
    changed = augment(segments, recipe, 100, generator)
    assert changed.shape == segments.shape
    assert changed.dtype == torch.float32
    assert not changed.equal(segments)
    assert segments.equal(kept)
    assert Recipe(**recipe.model_dump(mode="json")) == recipe
    requests = toy_request(tmp_path), toy_request(tmp_path, **{name: 0.3})
    assert requests[0].request_id != requests[1].request_id
    with pytest.raises(ValueError, match=f"{name} is -0.1"):
        _recipe(**{name: -0.1})


def test_noise_has_its_standard_deviation(segments: Tensor, generator: Generator) -> None:
    noise = (add_noise(segments, 0.05, generator) - segments).double()
    assert noise.std().item() == pytest.approx(0.05, rel=0.02)
    assert abs(noise.mean().item()) < 1e-3
    # Each lead has noise of its own.
    assert abs(np.corrcoef(noise[:, 0].flatten(), noise[:, 1].flatten())[0, 1]) < 0.02


def test_a_shift_is_circular_and_the_same_in_all_leads(
    segments: Tensor, generator: Generator
) -> None:
    shifted = shift_time(segments, 20, generator)
    found = []
    for before, after in zip(segments, shifted, strict=True):
        found += [s for s in range(-20, 21) if after.equal(before.roll(s, dims=1))]
    assert len(found) == len(segments)
    assert min(found) < -10 and max(found) > 10


def test_an_amplitude_changes_as_a_whole(segments: Tensor, generator: Generator) -> None:
    factor = scale_amplitude(segments, 0.2, generator) / segments
    spread = factor.amax(dim=(1, 2)) - factor.amin(dim=(1, 2))
    assert spread.max() < 1e-5
    of_segment = factor[:, 0, 0]
    assert 0.8 <= of_segment.min() < 0.85
    assert 1.15 < of_segment.max() <= 1.2


def test_the_baseline_wanders_slowly_and_not_too_far(generator: Generator) -> None:
    wander = add_wander(torch.zeros(32, 2, 6000), 0.3, 100, generator)
    assert 0.25 < wander.abs().max() <= 0.3
    power = np.abs(np.fft.rfft(wander.numpy(), axis=2)) ** 2
    frequency = np.fft.rfftfreq(6000, 1 / 100)
    assert (power[..., frequency < 0.6].sum(axis=2) / power.sum(axis=2)).min() > 0.95


def test_leads_fall_out_as_often_as_said_and_never_all(generator: Generator) -> None:
    gone = (drop_leads(torch.ones(4000, 12, 4), 0.25, generator) == 0).all(dim=2)
    assert gone.float().mean().item() == pytest.approx(0.25, abs=0.01)
    nearly_all = (drop_leads(torch.ones(4000, 2, 4), 0.99, generator) == 0).all(dim=2)
    assert nearly_all.sum(dim=1).max() == 1


def test_a_batch_depends_on_seed_epoch_and_its_first_segment(data: TrainingData) -> None:
    segments = SegmentDataset(data, np.arange(4), n_channels=12)
    augmented, again, other = (
        AugmentedSegments(segments, _recipe(**ALL), SPEC, seed) for seed in (0, 0, 1)
    )
    first = augmented.__getitems__([3, 0])["input_values"]
    assert first.shape == (2, 12, 300)
    # One lead in twelve channels stays one lead.
    assert (first == first[:, :1]).all()
    assert again.__getitems__([3, 0])["input_values"].equal(first)
    assert not other.__getitems__([3, 0])["input_values"].equal(first)
    EpochShuffle(len(segments), 0, augmented.set_epoch).set_epoch(2)
    assert not augmented.__getitems__([3, 0])["input_values"].equal(first)
    assert len(augmented) == len(segments)


def test_a_run_that_is_resumed_in_a_later_epoch_ends_with_the_same_weights(
    data: TrainingData, tmp_path: Path
) -> None:
    request, again = (
        toy_request(tmp_path / name, epochs=2, **ALL) for name in ("undisturbed", "killed")
    )
    undisturbed, _ = run_toy(request, data)
    with pytest.raises(Killed):
        run_toy(again, data, killed_in_epoch=2)
    resumed, events = run_toy(again, data)
    assert events[0]["epochs_already_trained"] == 1
    assert (resumed / WEIGHTS).read_bytes() == (undisturbed / WEIGHTS).read_bytes()
    plain, _ = run_toy(toy_request(tmp_path / "plain", epochs=2), data)
    assert (plain / WEIGHTS).read_bytes() != (undisturbed / WEIGHTS).read_bytes()


def test_the_only_lead_is_not_dropped(data: TrainingData) -> None:
    segments = SegmentDataset(data, np.arange(4), n_channels=1)
    with pytest.raises(SettingsError, match="lead I alone"):
        AugmentedSegments(segments, _recipe(lead_dropout=0.5), SPEC, 0)


@pytest.mark.parametrize("name", ["lead_dropout", "time_shift_s", "wander_amplitude"])
def test_leads_that_lie_end_to_end_are_not_changed_as_one(name: str, data: TrainingData) -> None:
    segments = SegmentDataset(data, np.arange(4), n_channels=1)
    spec = SignalSpec(leads=("I", "II"), n_channels=1, layout="end-to-end")
    with pytest.raises(SettingsError, match=rf"{name} would change leads.*end to end"):
        AugmentedSegments(segments, _recipe(**{name: 0.1}), spec, 0)
    AugmentedSegments(segments, _recipe(noise_sd=0.1, amplitude_change=0.1), spec, 0)


def test_leads_of_twelve_are_changed_one_by_one() -> None:
    leads = ("I", "II", "V1")
    spec = SignalSpec(leads=leads, n_channels=3, sample_rate_hz=100, record_s=3, segment_s=3)
    manifest = replace(toy_manifest(4), spec=spec)
    samples = np.random.default_rng(0).integers(-500, 500, 4 * 3 * 300).astype(np.int16)
    offsets = np.arange(5, dtype=np.int64) * 900
    data = TrainingData(manifest, SignalCache(Path(), leads, samples, offsets, np.full(4, 100.0)))
    segments = SegmentDataset(data, np.arange(4), n_channels=3)
    augmented = AugmentedSegments(segments, _recipe(lead_dropout=0.6), spec, 0)
    gone = (augmented.__getitems__([0, 1, 2, 3])["input_values"] == 0).all(dim=2)
    assert gone.any() and not gone.all(dim=1).any()


def test_what_cannot_augment_says_so() -> None:
    with pytest.raises(ValueError, match=r"noise_sd is 0.1; it must be 0 with method 'linear-pro"):
        PRESETS["tiny"].changed(method="linear-probe", noise_sd=0.1)
    augmenting = PRESETS["ecg-fm-lead-i"].changed(noise_sd=0.1)
    with pytest.raises(SettingsError, match="noise_sd"):
        FairseqOptions.from_recipe(augmenting, pos_weight=(1.0,), seed=0)
