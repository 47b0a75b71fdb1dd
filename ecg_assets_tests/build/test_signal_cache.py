from __future__ import annotations

import errno
import os
import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wfdb
from numpy.typing import NDArray

from ecg_assets.build import SignalCache
from ecg_assets.errors import DiskFull, SchemaError, SpecMismatch
from ecg_assets.models.device_signals import DeviceSignals
from ecg_assets.preprocess import SignalSpec, segment, signal_spec_of_kind, standardize
from ecg_assets.preprocess.signal_spec import RecordPart
from ecg_assets_tests.build.cohort import (
    GOOD,
    LEADS,
    SPEC,
    Cohort,
    preprocess,
)
from ecg_assets_tests.preprocess.recordings import make_signal, write_record


@pytest.fixture
def cache(cohort: Cohort) -> SignalCache:
    return _open(cohort)


def _spec(leads: tuple[str, ...] = LEADS) -> SignalSpec:
    return replace(SPEC, leads=leads, n_channels=len(leads))


def _open(cohort: Cohort, spec: SignalSpec | None = None) -> SignalCache:
    index = cohort.manifest().index
    return SignalCache.open(index, cohort.shards, spec or _spec(), cohort.folder / "cache")


def _filtered(kind: str) -> SignalSpec:
    spec = signal_spec_of_kind(kind, leads=("II", "I"))
    return replace(spec, record_s=4.0, segment_s=2.0)


def _stored(cohort: Cohort, name: str) -> tuple[NDArray[np.int16], float]:
    """Stored integers ``(lead, sample)`` and sample rate, as wfdb reads them."""
    record = wfdb.rdrecord(str(cohort.folder / "raw" / name), physical=False)
    return record.d_signal.T.astype(np.int16), float(record.fs)


def test_samples_are_those_of_the_raw_files(cohort: Cohort, cache: SignalCache) -> None:
    assert len(cache) == len(GOOD)
    for row, name in enumerate(GOOD):
        signal, rate = _stored(cohort, name)
        flat = cache.samples[cache.offsets[row] : cache.offsets[row + 1]]
        assert np.array_equal(flat.reshape(signal.shape), signal)
        assert cache.sample_rates_hz[row] == rate


@pytest.mark.parametrize("leads", [("I",), ("II", "I")])
def test_segments_of_mixed_recordings_equal_those_of_each_alone(
    cohort: Cohort, cache: SignalCache, leads: tuple[str, ...]
) -> None:
    spec = _spec(leads)
    rows = np.array([5, 1, 0, 4, 1])
    found, record_index = cache.segments(rows, spec)
    assert record_index.tolist() == [0, 0, 1, 1, 2, 3, 3, 4, 4]  # a0 lasts 3 s
    assert cache.n_segments(rows, spec).tolist() == [2, 2, 1, 2, 2]
    expected = []
    for row in rows:
        signal, rate = _stored(cohort, GOOD[row])
        wanted = signal[[LEADS.index(lead) for lead in leads]]
        expected.append(segment(standardize(wanted[None], rate, spec), spec)[0])
    np.testing.assert_array_equal(found, np.concatenate(expected))


def test_standardized_recordings_are_padded_with_zeros(cohort: Cohort, cache: SignalCache) -> None:
    found = cache.standardized(np.array([0, 2]), SPEC)
    assert found.shape == (2, 1, 2000)
    assert not found[0, :, 1500:].any()
    signal, rate = _stored(cohort, "a0")
    assert np.array_equal(found[0, :, :1500], standardize(signal[None, :1], rate, SPEC)[0])
    assert cache.segments(np.array([], np.int64), SPEC)[0].shape == (0, 1, 1000)


def test_second_open_reads_the_first_one_s_files(cohort: Cohort, cache: SignalCache) -> None:
    written = (cache.folder / "samples.npy").stat().st_mtime_ns
    again = _open(cohort)
    assert again.folder == cache.folder
    assert (again.folder / "samples.npy").stat().st_mtime_ns == written


def test_other_leads_index_or_samples_make_another_cache(
    cohort: Cohort, cache: SignalCache
) -> None:
    fewer = cohort.manifest().index.iloc[1:]
    folders = {cache.folder, _open(cohort, _spec(("I",))).folder}
    folders.add(SignalCache.open(fewer, cohort.shards, _spec(), cohort.folder / "cache").folder)
    changed = make_signal(2, 2000, seed=99)
    write_record(cohort.folder / "raw" / "b2", changed, leads=LEADS)
    preprocess(cohort.folder, cohort.records, "b")
    after = _open(cohort)
    assert len(folders | {after.folder}) == 4
    assert np.array_equal(after.samples[after.offsets[5] :].reshape(2, -1), changed)


def test_worker_process_gets_the_file_and_not_a_copy(cache: SignalCache) -> None:
    message = pickle.dumps(cache)
    assert len(message) < 1000
    assert np.array_equal(pickle.loads(message).samples, cache.samples)
    with pytest.raises(ValueError, match="read-only"):
        cache.samples[0] = 1


def test_lead_that_is_not_there_is_an_error(cohort: Cohort, cache: SignalCache) -> None:
    with pytest.raises(SpecMismatch, match="the cache holds"):
        cache.segments(np.array([0]), SignalSpec(leads=("V1",)))
    with pytest.raises(SchemaError, match="stores the leads"):
        _open(cohort, _spec(("V1",)))
    with pytest.raises(SchemaError, match="stores the leads"):
        _open(cohort, signal_spec_of_kind("raw", leads=("V1",)))
    assert list(cache.folder.parent.iterdir()) == [cache.folder]


@pytest.mark.parametrize("kind", ["ecg-fm", "raw", "ecg-founder"])
@pytest.mark.parametrize("part", [RecordPart(1.0, 2.0), RecordPart(0.0, None), RecordPart(1, None)])
def test_segments_of_a_part_equal_those_of_the_part_alone(
    cohort: Cohort, kind: str, part: RecordPart
) -> None:
    spec = signal_spec_of_kind(kind, leads=("I", "II"), segment_s=1.0, part=part)
    cache, rows = _open(cohort, spec), np.array([5, 1, 0, 2])
    found, record_index = cache.segments(rows, spec)
    expected = []
    for row in rows:
        signal, rate = _stored(cohort, GOOD[row])
        stop = None if part.record_s is None else round((part.start_s + part.record_s) * rate)
        used = signal[None, :, round(part.start_s * rate) : stop]
        scales = np.full((1, 2), 200.0), np.zeros((1, 2))
        whole = replace(spec, start_s=0.0, record_s=None)
        expected.append(segment(standardize(used, rate, whole, *scales), whole)[0])
    np.testing.assert_array_equal(found, np.concatenate(expected))
    assert cache.n_segments(rows, spec).tolist() == [len(one) for one in expected]
    numbers = np.concatenate([np.arange(len(one)) for one in expected])
    found_alone = cache.segments_at(rows[record_index], numbers, spec)
    np.testing.assert_allclose(found_alone, found, rtol=0, atol=0)
    first = replace(spec, start_s=0.0, record_s=10.0)
    assert _open(cohort, first).folder != cache.folder


END_TO_END = {
    "order": ["filter", "resample", "normalize", "part", "segment"],
    "filter": [{"kind": "butterworth", "order": 2, "high_hz": 40}],
    "normalization": {"kind": "min-max", "low": -1, "high": 1, "epsilon": 1e-8},
    "resampling": "fourier",
    "layout": "end-to-end",
    "decimation": 5,
}
ONE_BY_ONE = {
    "order": ["part", "resample", "segment", "filter", "normalize"],
    "filter": [{"kind": "butterworth", "order": 2, "low_hz": 1}],
    "stride_s": 0.25,
}


@pytest.mark.parametrize(
    "kind",
    [END_TO_END, ONE_BY_ONE, {"stride_s": 0.5}, {"padding": "zeros", "segment_s": 3.5}],
    ids=["end to end", "one by one", "overlapping", "padded"],
)
def test_segments_that_are_stored_one_after_another_are_those_of_the_spec(
    cohort: Cohort, kind: dict[str, Any]
) -> None:
    spec = signal_spec_of_kind({"segment_s": 1.0, **kind}, leads=("II", "I"))
    cache, rows = _open(cohort, spec), np.array([5, 1, 0, 2])
    expected = []
    for row in rows:
        signal, rate = _stored(cohort, GOOD[row])
        scales = np.full((1, 2), 200.0), np.zeros((1, 2))
        whole = standardize(signal[None, [1, 0]], rate, spec, *scales)
        expected.append(segment(whole, spec)[0])
    found, record_index = cache.segments(rows, spec)
    assert found.shape[1:] == (spec.n_rows, spec.segment_samples)
    np.testing.assert_array_equal(found, np.concatenate(expected))
    counts = [len(one) for one in expected]
    assert cache.n_segments(rows, spec).tolist() == counts
    assert min(counts) > 0
    numbers = np.concatenate([np.arange(count) for count in counts])
    shuffled = np.random.default_rng(0).permutation(len(numbers))
    alone = cache.segments_at(rows[record_index][shuffled], numbers[shuffled], spec)
    np.testing.assert_array_equal(alone, found[shuffled])
    on_device = DeviceSignals(cache, rows, spec, torch.device("cpu"))
    positions = torch.from_numpy(record_index), torch.from_numpy(numbers)
    np.testing.assert_array_equal(on_device.segments_at(*positions).numpy(), found)
    # What is stored depends on its segments.
    assert _open(cohort, replace(spec, segment_s=0.5)).folder != cache.folder
    assert _open(cohort, replace(spec, aggregation="max")).folder == cache.folder


def test_index_that_points_elsewhere_is_refused(cohort: Cohort, tmp_path: Path) -> None:
    index = cohort.manifest().index
    with pytest.raises(SchemaError, match="1 of 6 recordings"):
        moved = index.assign(row=index["row"] + 100 * (index["record_id"] == "b0"))
        SignalCache.open(moved, cohort.shards, _spec(), tmp_path / "cache")


@pytest.mark.parametrize("kind", ["ecg-founder", "raw"])
def test_signals_made_once_equal_those_made_from_the_stored_integers(
    cohort: Cohort, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ecg_assets.build.decoded_signals._RECORDS_PER_BATCH", 2)
    spec = _filtered(kind)
    cache = _open(cohort, spec)
    assert cache.samples.dtype == np.float32
    assert cache.sample_rates_hz.tolist() == [500.0] * len(GOOD)
    rows = np.array([5, 1, 0, 3, 1])
    whole = []
    for row in rows:
        signal, rate = _stored(cohort, GOOD[row])
        gain, baseline = np.full((1, 2), 200.0), np.zeros((1, 2))
        whole.append(standardize(signal[None, [1, 0]], rate, spec, gain, baseline)[0])
    assert [len(recording[0]) for recording in whole] == [2000, 2000, 1500, 2000, 2000]
    found, record_index = cache.segments(rows, spec)
    assert record_index.tolist() == [0, 0, 1, 1, 2, 3, 3, 4, 4]
    assert cache.n_segments(rows, spec).tolist() == [2, 2, 1, 2, 2]
    expected = np.concatenate([segment(recording[None], spec)[0] for recording in whole])
    np.testing.assert_array_equal(found, expected)
    padded = cache.standardized(rows, spec)
    for at, recording in enumerate(whole):
        np.testing.assert_array_equal(padded[at, :, : recording.shape[1]], recording)
    assert not padded[2, :, 1500:].any()


def test_segments_of_another_length_need_no_other_cache(cohort: Cohort) -> None:
    spec = _filtered("ecg-founder")
    cache, other = _open(cohort, spec), replace(spec, segment_s=1.0)
    assert _open(cohort, other).folder == cache.folder
    halves, _ = cache.segments(np.array([2]), other)
    whole, _ = cache.segments(np.array([2]), spec)
    np.testing.assert_array_equal(halves[0], whole[0, :, :500])


@pytest.mark.parametrize(
    "change", [{"resampling": "polyphase"}, {"filter": "none"}, {"leads": ("I", "II")}]
)
def test_cache_made_for_one_spec_refuses_another(cohort: Cohort, change: dict[str, str]) -> None:
    spec = _filtered("ecg-founder")
    other = replace(spec, **change)  # type: ignore[arg-type]
    cache = _open(cohort, spec)
    assert _open(cohort, other).folder != cache.folder
    with pytest.raises(SpecMismatch, match="Open it with the spec"):
        cache.segments(np.array([0]), other)
    with pytest.raises(SpecMismatch, match="Open it with the spec"):
        cache.segments(np.array([0]), _spec())


def test_stored_integers_refuse_a_spec_that_needs_millivolts(cache: SignalCache) -> None:
    with pytest.raises(SpecMismatch, match="the cache holds stored integers"):
        cache.segments(np.array([0]), _filtered("raw"))


def test_worker_process_knows_what_a_cache_was_made_for(cohort: Cohort) -> None:
    cache = _open(cohort, _filtered("raw"))
    assert pickle.loads(pickle.dumps(cache)).made_for == cache.made_for is not None


def test_cache_that_was_not_finished_is_not_there(
    cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("ecg_assets.preprocess.blocks.standardize_part", fail)
    with pytest.raises(OSError, match="the disk is full"):
        _open(cohort, _filtered("raw"))
    assert list((cohort.folder / "cache").iterdir()) == []


def test_cache_that_the_disk_cannot_hold_is_an_error_before_it_is_mapped(
    cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing to a map without room ends the process with SIGBUS, and says nothing."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    monkeypatch.setattr("ecg_assets.build.decoded_signals._decode_shard", None)  # not reached
    with pytest.raises(DiskFull, match=re.escape(f"The disk of {cohort.folder / 'cache'} is full")):
        _open(cohort)
    assert list((cohort.folder / "cache").iterdir()) == []


@pytest.mark.parametrize("spec", [SPEC, _filtered("raw")], ids=["integers", "millivolts"])
def test_making_a_cache_tells_how_far_it_is(cohort: Cohort, spec: SignalSpec) -> None:
    told: list[tuple[int, int]] = []
    for _ in range(2):
        SignalCache.open(
            cohort.manifest().index,
            cohort.shards,
            spec,
            cohort.folder / "cache",
            progress=lambda *so_far: told.append(so_far),
        )
    assert told == [(3, 6), (6, 6)]
