"""Batches cut on a device against those of the memory map."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ecg_assets.build import SignalCache
from ecg_assets.errors import SettingsError, SpecMismatch
from ecg_assets.models.checkpoint_folder import WEIGHTS
from ecg_assets.models.device_signals import DeviceSignals, choose_location
from ecg_assets.preprocess.z_score import integer_scales
from ecg_assets.sources import MISSING
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.engine.segments import SegmentDataset
from ecg_assets_tests.models.toy_recordings import RATE, SPEC, toy_manifest, toy_signals
from ecg_assets_tests.training.finetune.toy_run import run_toy, toy_request

CPU = torch.device("cpu")
LEADS = ("I", "II", "V2")


@pytest.fixture(scope="module")
def data() -> TrainingData:
    """Three leads, one or two segments, missing samples, a constant lead, a far baseline."""
    random = np.random.default_rng(0)
    records, scales = [], []
    for i in range(10):
        leads = random.integers(-300, 300, (3, 400 if i % 3 == 0 else 600)).astype(np.int16)
        leads[0, 5:9] = MISSING
        leads[1] += np.int16(20_000)
        if i == 4:
            leads[2] = 7
        records.append(leads)
        scales.append(integer_scales(leads))
    manifest = toy_manifest(10)
    manifest = replace(manifest, spec=replace(SPEC, leads=("V2", "I"), n_channels=2))
    offsets = np.append(0, np.cumsum([leads.size for leads in records]))
    signals = SignalCache(
        Path(),
        LEADS,
        np.concatenate([leads.ravel() for leads in records]),
        offsets,
        np.full(10, float(RATE)),
        scales=np.stack(scales),
        scaled_part=(0, manifest.spec.record_samples),
    )
    return TrainingData(manifest, signals)


ROWS = np.array([7, 0, 4, 3, 9])


def test_batches_on_the_device_equal_those_of_the_memory_map_bit_for_bit(
    data: TrainingData,
) -> None:
    mapped = SegmentDataset(data, ROWS, 2)
    resident = SegmentDataset(data, ROWS, 2, CPU)
    order = np.random.default_rng(1).permutation(len(mapped)).tolist()
    assert len(mapped) == 7
    found, expected = resident.__getitems__(order), mapped.__getitems__(order)
    assert found.keys() == expected.keys()
    for name in expected:
        assert found[name].dtype == expected[name].dtype
        assert found[name].equal(expected[name]), name
    assert (expected["input_values"] != 0).any(dim=(1, 2)).all()


def test_signals_made_in_millivolts_are_kept_as_they_are(data: TrainingData) -> None:
    spec = replace(data.manifest.spec, normalization="none")
    made = replace(spec, segment_s=spec.record_s or 0.0, n_channels=len(spec.leads))
    samples = np.random.default_rng(2).standard_normal(5 * 1200).astype(np.float32)
    signals = SignalCache(
        Path(), spec.leads, samples, np.arange(6) * 1200, np.full(5, float(RATE)), made_for=made
    )
    of_made = TrainingData(replace(data.manifest, spec=spec), signals)
    rows = np.array([3, 1])
    found = SegmentDataset(of_made, rows, 2, CPU).__getitems__([3, 0])["input_values"]
    expected = SegmentDataset(of_made, rows, 2).__getitems__([3, 0])["input_values"]
    assert found.equal(expected)


def test_segments_of_a_part_start_where_the_part_does(data: TrainingData) -> None:
    spec = replace(data.manifest.spec, start_s=0.2, record_s=None, segment_s=0.3)
    scales = [integer_scales(r[:, 100:]) for r in map(data.signals._record, range(10))]
    signals = replace(data.signals, scales=np.stack(scales), scaled_part=(100, None))
    of_part = TrainingData(replace(data.manifest, spec=spec), signals)
    resident, mapped = SegmentDataset(of_part, ROWS, 2, CPU), SegmentDataset(of_part, ROWS, 2)
    found = resident.__getitems__(list(range(len(mapped))))["input_values"]
    assert found.equal(mapped.__getitems__(list(range(len(mapped))))["input_values"])
    segments, _ = signals.segments(ROWS, spec)
    np.testing.assert_array_equal(found.numpy(), segments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scales": None}, "scales were not measured"),
        ({"scaled_part": (0, 500)}, "scales were not measured"),
        ({"sample_rates_hz": np.full(10, 250.0)}, "another sample rate than 500 Hz"),
    ],
)
def test_what_must_be_standardized_as_a_whole_stays_in_the_memory_map(
    change: dict[str, Any], message: str, data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = TrainingData(data.manifest, replace(data.signals, **change))
    with pytest.raises(SettingsError, match=message):
        SegmentDataset(other, ROWS, 2, CPU)
    _pretend_free(monkeypatch, 2**30)
    assert _choose("auto", other, ROWS, torch.device("cuda")) is None


def test_signals_opened_for_another_spec_are_refused(data: TrainingData) -> None:
    in_millivolts = replace(data.manifest.spec, normalization="none")
    with pytest.raises(SpecMismatch, match="Open it with the spec"):
        DeviceSignals(data.signals, ROWS, in_millivolts, CPU)


def _choose(
    name: str, data: TrainingData, rows: NDArray[np.int64], device: torch.device
) -> torch.device | None:
    return choose_location(name, data.signals, rows, data.manifest.spec, device)


def _pretend_free(patch: pytest.MonkeyPatch, n_bytes: int) -> None:
    patch.setattr("torch.cuda.mem_get_info", lambda device: (n_bytes, n_bytes))


def test_auto_takes_less_than_half_of_a_gpus_free_memory(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = torch.device("cuda")
    n_bytes = 2 * 3 * (3 * 600 + 2 * 400)
    rows = np.array([1, 2, 4, 3, 9])
    _pretend_free(monkeypatch, 2 * n_bytes)
    assert _choose("auto", data, rows, gpu) is None
    _pretend_free(monkeypatch, 2 * n_bytes + 2)
    assert _choose("auto", data, rows, gpu) == gpu
    assert _choose("auto", data, rows, CPU) is None
    assert _choose("mmap", data, rows, gpu) is None
    assert _choose("device", data, rows, CPU) == CPU
    assert _choose("device", data, rows, gpu) == gpu


def test_signals_that_do_not_fit_are_refused_with_what_they_take(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pretend_free(monkeypatch, 1000)
    with pytest.raises(SettingsError, match=r"take 0\.00 GiB and cuda has 0\.00 GiB free"):
        _choose("device", data, ROWS, torch.device("cuda"))


def test_training_from_the_device_gives_the_same_weights(tmp_path: Path) -> None:
    manifest = toy_manifest(40)
    plain = toy_signals(manifest)
    scales = np.stack([integer_scales(row) for row in plain.samples.reshape(40, 1, 600)])
    data = TrainingData(manifest, replace(plain, scales=scales, scaled_part=(0, 600)))
    weights = []
    for location in ("mmap", "device"):
        request = toy_request(tmp_path / location, epochs=2, data_location=location, n_workers=0)
        folder, _ = run_toy(request, data)
        weights.append((folder / WEIGHTS).read_bytes())
    assert weights[0] == weights[1]
