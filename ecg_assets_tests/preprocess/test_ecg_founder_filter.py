from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import wfdb
from numpy.typing import NDArray
from scipy import signal as scipy_signal

from ecg_assets.preprocess import STANDARD_LEADS, SignalSpec, signal_spec_of_kind, standardize
from ecg_assets.preprocess.filters import apply_filters
from ecg_assets.preprocess.signal_steps import NAMED_FILTERS
from ecg_assets.sources import MISSING
from ecg_assets_tests.preprocess.recordings import make_signal

GAIN = 200.0
FILTER = NAMED_FILTERS["ecg-founder"]
TWELVE = signal_spec_of_kind("ecg-founder", leads=STANDARD_LEADS)
LEAD_I = signal_spec_of_kind("ecg-founder")


def _filter_lead(lead_mv: NDArray[np.float64], rate: int = 500) -> NDArray[np.float64]:
    """Filter one lead step by step, in the form that ECGFounder's own code has."""
    notched = scipy_signal.filtfilt(*scipy_signal.iirnotch(50, 30, rate), lead_mv)
    numerator, denominator = scipy_signal.butter(4, [0.67, 40], btype="bandpass", fs=rate)
    band = scipy_signal.filtfilt(numerator, denominator, notched)
    kernel = int(0.4 * rate) + 1
    kernel += kernel % 2 == 0
    padded = np.pad(band, kernel // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel)
    return np.asarray(band - np.median(windows, axis=-1))


def _standardize(
    block: NDArray[np.int16], spec: SignalSpec, rate: float = 500, gain: float = GAIN
) -> NDArray[np.float32]:
    scale = np.full(block.shape[:2], gain)
    return standardize(block, rate, spec, scale, np.zeros_like(scale))


@pytest.mark.reference
def test_output_equals_ecg_founder_s_on_real_recordings(reference_data: Path) -> None:
    golden_folder = reference_data / "ecgfounder_golden"
    golden = np.load(golden_folder / "preprocess_output.npy")
    names = json.loads((golden_folder / "preprocess_records.json").read_text())
    assert len(names) == len(golden) == 3
    for name, expected in zip(names, golden, strict=True):
        path = reference_data / "real_ecg" / "physionet2021" / name
        record = wfdb.rdrecord(str(path), physical=False)
        assert tuple(record.sig_name) == STANDARD_LEADS
        block = record.d_signal.T[None].astype(np.int16)
        gain, baseline = (np.array([value]) for value in (record.adc_gain, record.baseline))
        found = standardize(block, record.fs, TWELVE, gain, baseline)
        np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("rate", [250, 500])
def test_filter_equals_its_steps_lead_by_lead(rate: int) -> None:
    signal_mv = make_signal(6, 4 * rate, seed=3) / GAIN
    found = apply_filters(signal_mv.reshape(2, 3, -1), rate, FILTER)
    expected = np.array([_filter_lead(lead, rate) for lead in signal_mv])
    np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=0, atol=5e-6)


@pytest.mark.filterwarnings("ignore:Recordings are longer")
def test_recording_is_scored_as_a_whole_after_the_filter() -> None:
    block = make_signal(5 * 12, 6000, seed=4).reshape(5, 12, -1)
    found = _standardize(block, TWELVE)
    assert found.dtype == np.float32
    for recording, scored in zip(block[..., :5000], found, strict=True):
        filtered = np.array([_filter_lead(lead / GAIN) for lead in recording])
        expected = (filtered - filtered.mean()) / (filtered.std() + 1e-8)
        np.testing.assert_allclose(scored, expected, rtol=0, atol=1e-5)


def test_other_sample_rates_are_filtered_after_resampling() -> None:
    block = make_signal(2, 4000, seed=5).reshape(1, 2, -1)
    found = _standardize(block, signal_spec_of_kind("ecg-founder", leads=("I", "II")), rate=400)
    at = np.linspace(0, 3999, 5000)
    resampled = np.array([np.interp(at, np.arange(4000), lead / GAIN) for lead in block[0]])
    filtered = np.array([_filter_lead(lead) for lead in resampled])
    expected = (filtered - filtered.mean()) / (filtered.std() + 1e-8)
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-5)


def test_gap_is_zero_and_does_not_reach_far() -> None:
    block = make_signal(2, 5000, seed=6).reshape(1, 2, -1) + np.int16(2000)
    with_gap = block.copy()
    with_gap[0, 0, 2000:2100] = MISSING
    intact, found = (
        apply_filters(np.where(samples == MISSING, np.nan, samples / GAIN), 500, FILTER)[0]
        for samples in (block, with_gap)
    )
    assert np.array_equal(np.isnan(found), with_gap[0] == MISSING)
    assert np.array_equal(found[1], intact[1])
    far = np.abs(np.arange(5000) - 2050) > 1500
    np.testing.assert_allclose(found[0, far], intact[0, far], rtol=0, atol=2e-3)
    scored = _standardize(with_gap, signal_spec_of_kind("ecg-founder", leads=("I", "II")))
    assert (scored[with_gap == MISSING] == 0).all()
    assert np.isfinite(scored).all()


def test_missing_lead_is_zero_and_leaves_the_others_alone() -> None:
    block = make_signal(3, 5000, seed=7).reshape(1, 3, -1)
    block[0, 1] = MISSING
    found = _standardize(block, signal_spec_of_kind("ecg-founder", leads=("I", "II", "III")))
    two = _standardize(block[:, [0, 2]], signal_spec_of_kind("ecg-founder", leads=("I", "III")))
    assert (found[0, 1] == 0).all()
    np.testing.assert_allclose(found[0, [0, 2]], two[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("value", [0, 30_000, MISSING])
def test_lead_without_a_signal_is_zero(value: int) -> None:
    assert (_standardize(np.full((2, 1, 5000), value, np.int16), LEAD_I) == 0).all()


@pytest.mark.parametrize("n_samples", [1, 9, 27, 28, 199])
def test_recording_shorter_than_the_padding_is_filtered(n_samples: int) -> None:
    found = _standardize(make_signal(2, n_samples, seed=8).reshape(2, 1, -1), LEAD_I)
    assert found.shape == (2, 1, n_samples)
    assert np.isfinite(found).all()


def test_same_millivolts_from_other_integers_give_the_same() -> None:
    block = make_signal(1, 5000, seed=9).reshape(1, 1, -1)
    found = standardize(2 * block + 50, 500, LEAD_I, np.full((1, 1), 400.0), np.full((1, 1), 50))
    np.testing.assert_allclose(found, _standardize(block, LEAD_I), rtol=0, atol=1e-6)
