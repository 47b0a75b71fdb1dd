from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import wfdb
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecg_assets.errors import SettingsError
from ecg_assets.preprocess import (
    SIGNAL_KINDS,
    STANDARD_LEADS,
    SignalSpec,
    count_segments,
    is_cut,
    project_channels,
    segment,
    signal_spec_of_kind,
    standardize,
)
from ecg_assets.preprocess.model_input import count_standardized
from ecg_assets.preprocess.resample import resample_linear
from ecg_assets.preprocess.signal_spec import RecordPart
from ecg_assets.preprocess.z_score import z_score
from ecg_assets.sources import MISSING
from ecg_assets_tests.preprocess.recordings import golden_records, make_signal, write_record

FLOAT32 = 2e-6


def _z_by_numpy(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    deviation = np.nanstd(signal, axis=-1, keepdims=True)
    scores = (signal - np.nanmean(signal, axis=-1, keepdims=True)) / deviation
    return np.asarray(np.nan_to_num(scores))


@pytest.mark.parametrize("offset", [0, 25_000])
def test_z_scores_equal_numpy_in_float64(offset: int) -> None:
    block = (make_signal(100, 5000, seed=0) // 8 + offset).reshape(50, 2, 5000)
    block[3, 1, 40:90] = MISSING
    signal = np.where(block == MISSING, np.nan, block.astype(np.float64))
    found = standardize(block, 500, SignalSpec(leads=("I", "II"), n_channels=2))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, _z_by_numpy(signal), rtol=0, atol=FLOAT32)
    assert (found[3, 1, 40:90] == 0).all()


@pytest.mark.parametrize("sample_rate_hz", [500, 360])
@pytest.mark.parametrize("value", [0, 1237, MISSING])
def test_constant_or_missing_lead_becomes_zero(value: int, sample_rate_hz: int) -> None:
    block = np.full((1, 1, 10 * sample_rate_hz), value, np.int16)
    assert (standardize(block, sample_rate_hz, SignalSpec()) == 0).all()


@pytest.mark.parametrize("sample_rate_hz", [100, 257, 400, 1000])
def test_resampled_leads_equal_numpy_interp(sample_rate_hz: int) -> None:
    block = make_signal(40, 10 * sample_rate_hz, seed=1).reshape(40, 1, -1)
    n_old = block.shape[-1]
    grid = np.linspace(0, n_old - 1, 5000)
    expected = np.array([np.interp(grid, np.arange(n_old), lead) for lead in block[:, 0]])
    block[7, 0, 100:110] = MISSING
    expected[7, np.abs(grid - 104.5) < 5.5] = np.nan
    found = standardize(block, sample_rate_hz, SignalSpec())
    np.testing.assert_allclose(found[:, 0], _z_by_numpy(expected), rtol=0, atol=FLOAT32)


@given(st.integers(2, 40), st.integers(0, 39), st.sampled_from([125, 250, 400, 999]))
def test_only_samples_that_share_in_a_missing_one_are_missing(
    n_old: int, hole: int, from_hz: int
) -> None:
    signal = np.arange(n_old, dtype=np.float64)
    signal[hole % n_old] = np.nan
    found = resample_linear(signal, from_hz, 500)
    grid = np.linspace(0, n_old - 1, len(found))
    assert np.array_equal(np.isnan(found), np.abs(grid - hole % n_old) < 1)
    present = ~np.isnan(found)
    np.testing.assert_allclose(found[present], grid[present], rtol=0, atol=1e-12)


def test_recording_is_cut_before_it_is_standardized() -> None:
    long = make_signal(1, 8000, seed=2).reshape(1, 1, -1)
    cut = standardize(long[..., :5000], 500, SignalSpec())
    with pytest.warns(
        UserWarning, match=r"longer than what is used of them: the first 10 s\. ECG_"
    ):
        assert np.array_equal(standardize(long, 500, SignalSpec()), cut)
    with pytest.warns(UserWarning, match="longer"):
        assert standardize(long, 250.25, SignalSpec()).shape == (1, 1, 5000)


@pytest.mark.filterwarnings("ignore:Recordings are longer")
@pytest.mark.parametrize("kind", SIGNAL_KINDS)
@pytest.mark.parametrize("rate", [500, 250, 499.5])
@pytest.mark.parametrize(
    ("part", "seconds"),
    [(RecordPart(3.0, 8.0), 8), (RecordPart(3.0, None), 15), (RecordPart(0.0, None), 18)],
)
def test_part_is_standardized_as_if_it_were_the_recording(
    kind: str, rate: float, part: RecordPart, seconds: int
) -> None:
    recording = make_signal(2, round(18 * rate), seed=3).reshape(1, 2, -1)
    start = round(part.start_s * rate)
    samples = recording[..., start : start + math.ceil(seconds * rate)]
    scales = np.full((1, 2), 200.0), np.zeros((1, 2))
    spec = signal_spec_of_kind(kind, leads=("I", "II"), segment_s=4.0, part=part)
    found = standardize(recording, rate, spec, *scales)
    expected = standardize(samples, rate, replace(spec, start_s=0.0, record_s=None), *scales)
    np.testing.assert_array_equal(found, expected[..., : found.shape[-1]])
    assert abs(found.shape[-1] - seconds * 500) <= 1


def test_recording_is_longer_by_a_sample_that_is_not_used() -> None:
    assert list(is_cut([1, 5000, 5001], 500, SignalSpec())) == [False, False, True]
    assert list(is_cut([1, 5001], 500, SignalSpec(record_s=None))) == [False, False]
    assert list(is_cut([1, 5001], 500, SignalSpec(start_s=1.0))) == [True, True]


def test_recording_that_ends_before_the_part_has_no_segment() -> None:
    spec = SignalSpec(start_s=10.0)
    assert count_segments([4999, 5001, 10_000], 500, spec).tolist() == [0, 0, 2]
    with pytest.warns(UserWarning, match="10 to 20 s"):
        assert standardize(make_signal(1, 4000, seed=1)[None], 500, spec).shape == (1, 1, 0)


def test_spec_of_the_first_10_s_is_stored_as_before_there_was_a_choice() -> None:
    assert "start_s" not in SignalSpec().to_json()
    for part in (RecordPart(), RecordPart(0.0, None), RecordPart(5.0, 30.0)):
        spec = signal_spec_of_kind("raw", part=part)
        assert SignalSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    with pytest.raises(SettingsError, match="Set ECG_RECORD_PART to first"):
        _ = SignalSpec(record_s=None).record_samples
    with pytest.raises(ValueError, match=r"start_s is -1\.0"):
        SignalSpec(start_s=-1.0)
    with pytest.raises(ValueError, match="segment_s is inf"):
        SignalSpec(segment_s=math.inf, record_s=None)


@pytest.mark.filterwarnings("ignore:Recordings are longer")
@given(
    st.integers(1, 3000),
    st.floats(50, 2000),
    st.sampled_from([1.0, 2.5, 10.0, None]),
    st.sampled_from([0.0, 0.7]),
)
def test_counts_foretell_the_shapes(
    n_samples: int, rate: float, record_s: float | None, start_s: float
) -> None:
    spec = SignalSpec(record_s=record_s, segment_s=1.0, start_s=start_s)
    found = standardize(np.zeros((1, 1, n_samples), np.int16), rate, spec)
    assert found.shape[-1] == count_standardized(n_samples, rate, spec)
    assert segment(found, spec).shape[1] == count_segments(n_samples, rate, spec)


def test_segments_follow_each_other_and_the_remainder_is_dropped() -> None:
    spec = SignalSpec(leads=("I", "II"), n_channels=2, segment_s=4.0)
    standardized = np.random.default_rng(0).normal(size=(3, 2, 5000)).astype(np.float32)
    pieces = segment(standardized, spec)
    assert pieces.shape == (3, 2, 2, 2000)
    assert np.array_equal(pieces[1, 1], standardized[1, :, 2000:4000])


def test_one_lead_is_repeated_and_several_are_not() -> None:
    lead = np.arange(18, dtype=np.float32).reshape(2, 1, 9)
    assert np.array_equal(project_channels(lead, 12), np.tile(lead, (1, 12, 1)))
    with pytest.raises(ValueError, match="only a single lead"):
        project_channels(np.zeros((2, 2, 9), np.float32), 12)


@pytest.mark.reference
def test_resampling_and_scores_equal_fairseq_signals(reference_data: Path) -> None:
    folder = reference_data / "real_ecg" / "code15"
    paths = sorted((folder / "preprocessed").glob("*.mat"))
    assert len(paths) == 4
    for path in paths:
        stored = scipy.io.loadmat(folder / "org" / path.name)["feats"].astype(np.float64)
        golden = scipy.io.loadmat(path)["feats"]
        found = z_score(resample_linear(stored, 400, 500))
        assert found.shape == golden.shape
        np.testing.assert_allclose(found, golden, rtol=0, atol=FLOAT32)


@pytest.mark.reference
def test_segments_equal_fairseq_signals(reference_data: Path) -> None:
    folder = reference_data / "real_ecg" / "code15"
    spec = SignalSpec(record_s=60.0)
    for path in sorted((folder / "preprocessed").glob("*.mat")):
        whole = scipy.io.loadmat(path)["feats"].astype(np.float32)
        goldens = sorted((folder / "segmented").glob(f"{path.stem}_*.mat"))
        pieces = segment(whole[None], spec)[0]
        assert len(pieces) == len(goldens)
        for piece, golden in zip(pieces, goldens, strict=True):
            assert np.array_equal(piece, scipy.io.loadmat(golden)["feats"].astype(np.float32))


@pytest.mark.reference
def test_lead_i_equals_the_reference_pipeline(reference_data: Path) -> None:
    folder = reference_data / "lead1_pipeline_golden"
    records = golden_records(folder / "raw")
    path_of = dict(zip(records["record_id"], records["path"], strict=True))
    paths = sorted((folder / "mats_10s").glob("*.mat"))
    assert len(paths) == 4
    for path in paths:
        oracle = wfdb.rdrecord(str(folder / "raw" / path_of[path.stem]), physical=False)
        lead = oracle.d_signal[:, oracle.sig_name.index("I")].astype(np.int16)
        found = standardize(lead.reshape(1, 1, -1), 500, SignalSpec())
        # The reference leaves missing samples NaN; ours are 0.
        golden = np.nan_to_num(scipy.io.loadmat(path)["feats"])
        np.testing.assert_allclose(project_channels(found, 12)[0], golden, rtol=0, atol=FLOAT32)


@pytest.mark.parametrize("sample_rate_hz", [500, 250])
def test_raw_signal_is_the_millivolts_that_wfdb_reads(tmp_path: Path, sample_rate_hz: int) -> None:
    signal = make_signal(2, 4 * sample_rate_hz, seed=3)
    signal[1, 70:90] = MISSING
    write_record(
        tmp_path / "a", signal, leads=("I", "II"), sample_rate_hz=sample_rate_hz, gain=333.3
    )
    oracle = wfdb.rdrecord(str(tmp_path / "a"))
    stored = wfdb.rdrecord(str(tmp_path / "a"), physical=False)
    spec = signal_spec_of_kind("raw", leads=("I", "II"))
    gain, baseline = (np.array([value]) for value in (stored.adc_gain, stored.baseline))
    found = standardize(signal[None], sample_rate_hz, spec, gain, baseline)
    expected = np.nan_to_num(resample_linear(oracle.p_signal.T, sample_rate_hz, 500))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=FLOAT32)


def test_scores_of_all_leads_together_equal_numpy() -> None:
    spec = SignalSpec(leads=("I", "II"), n_channels=2, normalization="z-score-all-leads")
    block = make_signal(80, 5000, seed=4).reshape(40, 2, -1)
    gain = np.tile([200.0, 500.0], (40, 1))
    found = standardize(block, 500, spec, gain, np.full((40, 2), 30))
    signal_mv = ((block - 30) / gain[..., None]).reshape(40, -1)
    np.testing.assert_allclose(found.reshape(40, -1), _z_by_numpy(signal_mv), rtol=0, atol=FLOAT32)


def test_millivolts_without_a_gain_are_refused() -> None:
    with pytest.raises(ValueError, match="gain or baseline is missing"):
        standardize(np.zeros((1, 1, 5000), np.int16), 500, signal_spec_of_kind("raw"))


@pytest.mark.reference
def test_ecg_fm_input_equals_fairseq_signals_but_for_rounding_to_integers(
    reference_data: Path,
) -> None:
    folder = reference_data / "real_ecg" / "code15"
    spec = signal_spec_of_kind("ecg-fm", leads=STANDARD_LEADS)
    for path in sorted((folder / "preprocessed").glob("*.mat")):
        signal = scipy.io.loadmat(folder / "org" / path.name)["feats"].astype(np.float64)
        block = np.rint(signal * 32_000 / np.abs(signal).max()).astype(np.int16)
        # Scored over the whole recording, which may be longer than 10 s.
        found = segment(standardize(block[None], 400, replace(spec, record_s=60.0)), spec)[0]
        goldens = sorted((folder / "segmented").glob(f"{path.stem}_*.mat"))
        assert len(found) == len(goldens)
        for piece, golden in zip(found, goldens, strict=True):
            np.testing.assert_allclose(piece, scipy.io.loadmat(golden)["feats"], rtol=0, atol=2e-3)
