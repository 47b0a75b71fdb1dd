from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ecg_assets.build import SignalCache
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.engine.segments import EpochShuffle, SegmentDataset, keep_batch
from ecg_assets_tests.models.toy_recordings import RATE, SPEC, toy_manifest, toy_signals

N_RECORDS = 12


@pytest.fixture(scope="module")
def data() -> TrainingData:
    """Every third recording has one segment, the others two."""
    manifest = toy_manifest(N_RECORDS)
    whole = toy_signals(manifest)
    lengths = np.where(np.arange(N_RECORDS) % 3 == 0, 400, 600)
    parts = [whole.samples[600 * i : 600 * i + n] for i, n in enumerate(lengths)]
    offsets = np.append(0, np.cumsum(lengths))
    rates = np.full(N_RECORDS, float(RATE))
    signals = SignalCache(whole.folder, ("I",), np.concatenate(parts), offsets, rates)
    return TrainingData(manifest, signals)


def test_an_epoch_has_every_segment_of_its_rows_once(data: TrainingData) -> None:
    rows = np.array([1, 3, 4, 9])
    dataset = SegmentDataset(data, rows, n_channels=1)
    shuffle = EpochShuffle(len(dataset), seed=0)
    loader = DataLoader(dataset, batch_size=3, sampler=shuffle, collate_fn=keep_batch)
    batches = list(loader)
    found = torch.cat([batch["input_values"] for batch in batches]).numpy()
    labels = torch.cat([batch["labels"] for batch in batches]).numpy()
    expected, record_index = data.signals.segments(rows, SPEC)
    assert len(dataset) == len(expected) == 6
    assert found.dtype == np.float32
    order = np.array(list(shuffle))
    np.testing.assert_array_equal(found, expected[order])
    np.testing.assert_array_equal(labels, data.manifest.targets[rows[record_index[order]]])


def test_a_batch_carries_the_weights_of_positives(data: TrainingData) -> None:
    batch = SegmentDataset(data, np.arange(3), n_channels=1)[0]
    assert batch["pos_weight"].tolist() == data.manifest.pos_weight.tolist()


def test_one_lead_is_repeated_for_a_model_of_twelve_channels(data: TrainingData) -> None:
    batch = SegmentDataset(data, np.arange(3), n_channels=12).__getitems__([0, 2])
    assert batch["input_values"].shape == (2, 12, 300)
    assert (batch["input_values"] == batch["input_values"][:, :1]).all()


def test_order_depends_on_seed_and_epoch_alone() -> None:
    shuffle, again = EpochShuffle(100, seed=3), EpochShuffle(100, seed=3)
    first = list(shuffle)
    shuffle.set_epoch(1)
    second = list(shuffle)
    assert sorted(first) == sorted(second) == list(range(100))
    assert first != second
    again.set_epoch(1)
    assert list(again) == second
    assert list(EpochShuffle(100, seed=4)) != first
