"""Millivolts as integers: exact for digitized signals, half a microvolt for all others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_assets.errors import BadRecord
from ecg_assets.sources import MISSING
from ecg_assets.sources.folder.arrays import store_millivolts


@given(
    st.integers(0, 2**32 - 1), st.floats(1e-4, 32.0), st.sampled_from([0.0, -3.0, 300.0, -5000.0])
)
@settings(max_examples=60)
def test_signal_comes_back_to_half_a_microvolt(seed: int, reach_mv: float, offset: float) -> None:
    signal = np.random.default_rng(seed).uniform(-reach_mv, reach_mv, (2, 100))
    signal[0] += offset
    signal[0, 3] = np.nan
    stored, gain, baseline = store_millivolts(signal)
    assert stored.dtype == np.int16
    back = (stored.astype(np.float64) - baseline[:, None]) / gain[:, None]
    assert (stored == MISSING).tolist() == np.isnan(signal).tolist()
    assert np.nanmax(np.abs(np.where(np.isnan(signal), np.nan, back - signal))) <= 0.5000001e-3
    assert gain.min() >= 1000


@pytest.mark.parametrize("adc_gain", [1000, 500, 250, 200, 125])
def test_what_was_digitized_comes_back_exactly(adc_gain: int) -> None:
    digital = np.random.default_rng(0).integers(-1500, 1500, (3, 500))
    for signal in (digital / adc_gain, (digital / adc_gain).astype(np.float32)):
        stored, gain, baseline = store_millivolts(signal)
        assert np.array_equal(stored, digital * (gain / adc_gain)[:, None])
        assert baseline.tolist() == [0, 0, 0]


def test_each_lead_is_as_fine_as_it_can_be() -> None:
    _, gain, baseline = store_millivolts(np.array([[0.5, -1.0], [3.0, -4.0], [32.0, 0.0]]))
    assert gain.tolist() == [32000, 8000, 1000]
    assert baseline.tolist() == [0, 0, 0]


def test_lead_without_samples_is_missing_altogether() -> None:
    stored, gain, _ = store_millivolts(np.array([[np.nan, np.nan], [0.0, 0.0]]))
    assert stored.tolist() == [[MISSING, MISSING], [0, 0]]
    assert np.isfinite(gain).all()
    assert store_millivolts(np.empty((2, 0)))[0].shape == (2, 0)


def test_what_cannot_be_millivolts_is_refused() -> None:
    with pytest.raises(BadRecord, match="samples_exceed_int16: a lead spans 2400 mV"):
        store_millivolts(np.array([[-1200.0, 1200.0]]))
    with pytest.raises(BadRecord, match="not_finite"):
        store_millivolts(np.array([[0.0, np.inf]]))
