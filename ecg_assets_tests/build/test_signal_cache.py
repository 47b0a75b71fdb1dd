from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import wfdb
from numpy.typing import NDArray

from ecg_assets.build import SignalCache
from ecg_assets.errors import SchemaError, SpecMismatch
from ecg_assets.preprocess import SignalSpec, segment, standardize
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


def _open(cohort: Cohort, leads: tuple[str, ...] = LEADS) -> SignalCache:
    return SignalCache.open(cohort.manifest().index, cohort.shards, leads, cohort.folder / "cache")


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
    spec = SignalSpec(leads=leads, n_channels=len(leads), record_s=4.0, segment_s=2.0)
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
    folders = {cache.folder, _open(cohort, ("I",)).folder}
    folders.add(SignalCache.open(fewer, cohort.shards, LEADS, cohort.folder / "cache").folder)
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
        _open(cohort, ("V1",))
    assert list(cache.folder.parent.iterdir()) == [cache.folder]


def test_index_that_points_elsewhere_is_refused(cohort: Cohort, tmp_path: Path) -> None:
    index = cohort.manifest().index
    with pytest.raises(SchemaError, match="1 of 6 recordings"):
        moved = index.assign(row=index["row"] + 100 * (index["record_id"] == "b0"))
        SignalCache.open(moved, cohort.shards, LEADS, tmp_path / "cache")
