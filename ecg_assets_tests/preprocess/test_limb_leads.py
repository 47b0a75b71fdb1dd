from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ecg_assets.preprocess.lead_statistics import LIMB_LEADS, measure_limb_leads
from ecg_assets.sources import MISSING

GAIN = 200.0


def _limb_leads(seed: int = 0) -> NDArray[np.int16]:
    """Six leads, ``(lead, sample)``, that fit but for rounding to 5 µV."""
    t = np.arange(5000) / 500
    first = np.sin(7 * t) + 0.3 * np.sin(31 * t + seed)
    second = 0.6 * np.sin(7 * t + 0.4) - 0.2 * np.sin(23 * t)
    leads = (
        first,
        second,
        second - first,
        -(first + second) / 2,
        first - second / 2,
        second - first / 2,
    )
    return np.rint(np.array(leads) * GAIN).astype(np.int16)


def _measure(
    signal: NDArray[np.int16], leads: tuple[str, ...] = LIMB_LEADS, baseline: int = 0
) -> tuple[float, str | None]:
    shape = (1, len(leads))
    residuals, faults = measure_limb_leads(
        signal[None], np.full(shape, GAIN), np.full(shape, baseline), leads
    )
    return float(residuals[0]), faults[0]


def test_leads_that_fit_have_the_residual_of_their_rounding() -> None:
    residual, fault = _measure(_limb_leads())
    assert 0 < residual < 0.01
    assert fault is None


def test_residual_is_the_root_mean_square_of_what_does_not_fit() -> None:
    signal = _limb_leads()
    signal[3] += np.where(np.arange(5000) % 2, 40, -40).astype(np.int16)  # ± 0.2 mV on aVR
    residual, fault = _measure(signal)
    assert residual == pytest.approx(0.2, abs=0.005)
    assert fault == "unexplained"


@pytest.mark.parametrize(("one", "other"), [("aVL", "aVF"), ("I", "II"), ("III", "aVR")])
def test_exchanged_names_are_named(one: str, other: str) -> None:
    signal = _limb_leads()
    a, b = LIMB_LEADS.index(one), LIMB_LEADS.index(other)
    signal[[a, b]] = signal[[b, a]]
    assert _measure(signal)[1] == f"{one} ↔ {other}"


def test_wrong_sign_is_named() -> None:
    signal = _limb_leads()
    signal[4] *= -1
    assert _measure(signal)[1] == "−aVL"


def test_offsets_and_missing_samples_do_not_count() -> None:
    signal = _limb_leads()
    signal[2] += 300
    signal[1, 100:140] = MISSING
    assert _measure(signal, baseline=0)[1] is None


def test_any_order_and_other_leads_between() -> None:
    signal = _limb_leads()
    noise = np.arange(5000, dtype=np.int16)[None]
    mixed = np.concatenate([noise, signal[::-1]])
    assert _measure(mixed, ("V1", *reversed(LIMB_LEADS)))[1] is None


@pytest.mark.parametrize("leads", [("I",), ("I", "II"), ("II", "III", "aVR"), ("V1",)])
def test_without_i_ii_and_a_third_nothing_is_said(leads: tuple[str, ...]) -> None:
    signal = np.tile(_limb_leads()[0], (len(leads), 1))
    residual, fault = _measure(signal, leads)
    assert np.isnan(residual)
    assert fault is None


def test_recording_without_common_samples_has_no_residual() -> None:
    signal = _limb_leads()
    signal[0] = MISSING
    residual, fault = _measure(signal)
    assert np.isnan(residual)
    assert fault is None
