from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecg_assets.preprocess import SignalSpec, standardize
from ecg_assets.preprocess.model_input import count_standardized
from ecg_assets.preprocess.resample import count_resampled, resample_linear, resample_polyphase
from ecg_assets.sources import MISSING
from ecg_assets_tests.preprocess.recordings import make_signal


def _tone(hz: float, rate: float) -> NDArray[np.float64]:
    """Five seconds of a sine."""
    return np.asarray(np.sin(2 * np.pi * hz * np.arange(int(5 * rate)) / rate))


@pytest.mark.reference
@pytest.mark.parametrize("rate", [250, 257, 400, 1000])
def test_linear_resampling_is_that_of_fairseq_signals(rate: int, reference_data: Path) -> None:
    golden = np.load(reference_data / "fairseq_golden" / "functions" / "resample_to_500.npz")
    found = resample_linear(golden[f"in_{rate}"].astype(np.float64), rate, 500)
    # It interpolates in float32.
    np.testing.assert_allclose(found, golden[f"out_{rate}"], rtol=0, atol=2e-7)


@pytest.mark.reference
def test_linear_resampling_is_that_of_ecg_founder(reference_data: Path) -> None:
    golden = np.load(reference_data / "ecgfounder_golden" / "resample_linear.npz")
    lengths = sorted(int(name.split("_")[1]) for name in golden.files if name.startswith("in_"))
    assert lengths
    for n_samples in lengths:
        signal, expected = (golden[f"{way}_{n_samples}"] for way in ("in", "out"))
        found = resample_linear(signal.astype(np.float64), n_samples, expected.shape[-1])
        # Its result is float32: rounded by half the distance of two such numbers at most.
        rounding = np.spacing(np.abs(expected).max()) / 2
        np.testing.assert_allclose(found, expected, rtol=0, atol=rounding)


@pytest.mark.parametrize("rate", [128, 250.25, 257, 400, 1000])
def test_tone_keeps_its_time_and_height_through_polyphase(rate: float) -> None:
    found = resample_polyphase(_tone(7, rate), rate, 500)
    expected = _tone(7, 500)[: len(found)]
    inside = slice(100, -100)
    np.testing.assert_allclose(found[inside], expected[inside], rtol=0, atol=5e-3)


def test_tone_above_half_the_new_rate_does_not_fold_back_through_polyphase() -> None:
    inside = slice(100, -100)
    assert np.abs(resample_polyphase(_tone(430, 1000), 1000, 500)[inside]).max() < 0.01
    assert np.abs(resample_linear(_tone(430, 1000), 1000, 500)[inside]).max() > 0.5


def test_constant_stays_constant_through_polyphase() -> None:
    np.testing.assert_allclose(resample_polyphase(np.full(900, 1237.0), 360, 500), 1237, rtol=1e-9)


@given(st.integers(0, 900), st.floats(50, 2000))
def test_both_ways_give_as_many_samples(n_old: int, rate: float) -> None:
    n_new = count_resampled(n_old, rate, 500)
    assert len(resample_polyphase(np.zeros(n_old), rate, 500)) == n_new
    assert len(resample_linear(np.zeros(n_old), rate, 500)) == n_new


@given(st.integers(2, 40), st.integers(0, 39), st.sampled_from([125, 250, 400, 1000]))
def test_polyphase_samples_near_a_missing_one_are_missing(
    n_old: int, hole: int, from_hz: int
) -> None:
    signal = np.arange(n_old, dtype=np.float64)
    signal[hole % n_old] = np.nan
    found = resample_polyphase(signal, from_hz, 500)
    position = np.minimum(np.arange(len(found)) * from_hz / 500, n_old - 1)
    assert np.array_equal(np.isnan(found), np.abs(position - hole % n_old) < 1)


def test_gap_does_not_spread_through_polyphase() -> None:
    signal = make_signal(1, 4000, seed=0)[0].astype(np.float64)
    intact = resample_polyphase(signal, 400, 500)
    signal[2000:2040] = np.nan
    found = resample_polyphase(signal, 400, 500)
    assert np.isnan(found).sum() == np.isnan(found[2499:2550]).sum() == 51
    far = np.abs(np.arange(5000) - 2525) > 60
    np.testing.assert_array_equal(found[far], intact[far])


def test_spec_chooses_the_way() -> None:
    block = make_signal(2, 3600, seed=1).reshape(1, 2, -1)
    block[0, 0, 60:70] = MISSING
    signal = np.where(block == MISSING, np.nan, block.astype(np.float64))
    resampled = resample_polyphase(signal, 360, 500)
    deviation = np.nanstd(resampled, axis=-1, keepdims=True)
    expected = (resampled - np.nanmean(resampled, axis=-1, keepdims=True)) / deviation
    spec = SignalSpec(leads=("I", "II"), n_channels=2, resampling="polyphase")
    found = standardize(block, 360, spec)
    assert found.shape[-1] == count_standardized(3600, 360, spec) == 5000
    np.testing.assert_allclose(found, np.nan_to_num(expected), rtol=0, atol=2e-6)
