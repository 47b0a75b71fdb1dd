"""Signal quality by NeuroKit2, an option: it takes a hundred times as long as reading."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from ecg_assets.errors import SettingsError
from ecg_assets.preprocess.model_input import to_millivolts

QUALITY_METHODS = ("none", "zhao2018")
CLASSES = ("Unacceptable", "Barely acceptable", "Excellent")
"""From worst to best, as NeuroKit2 names them."""


def require_quality_method(method: str) -> None:
    """Raise `SettingsError` unless the method is known and its library installed."""
    if method not in QUALITY_METHODS:
        raise SettingsError(f"ECG_SIGNAL_QUALITY is {method!r}; allowed: {QUALITY_METHODS}.")
    if method == "none":
        return
    try:
        import neurokit2  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            f"ECG_SIGNAL_QUALITY={method} needs NeuroKit2: pip install 'ecg-assets[quality]', "
            "or set ECG_SIGNAL_QUALITY=none."
        ) from error


def judge_quality(
    signal: NDArray[np.int16], gain: NDArray[np.float64], sample_rate_hz: float
) -> str | None:
    """Judge a recording by Zhao and Zhang's index (https://doi.org/10.3389/fphys.2018.00727).

    Parameters
    ----------
    signal
        Stored integers, ``(lead, sample)``; a missing sample takes its lead's median.
    gain
        ADC units in one mV, ``(lead,)``.
    sample_rate_hz
        Samples a second.

    Returns
    -------
    str or None
        The worst of the leads' classes, out of `CLASSES`; None where NeuroKit2 judges none,
        e.g. of a recording shorter than its filters.
    """
    import neurokit2

    found = []
    signal_mv = to_millivolts(signal, gain, np.zeros_like(gain))
    for samples, units_per_mv, lead in zip(signal, gain, signal_mv, strict=True):
        missing = np.isnan(lead)
        lead[missing] = np.median(samples[~missing]) / units_per_mv if not missing.all() else 0.0
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                cleaned = neurokit2.ecg_clean(lead, sampling_rate=round(sample_rate_hz))
                found.append(
                    neurokit2.ecg_quality(
                        cleaned, sampling_rate=round(sample_rate_hz), method="zhao2018"
                    )
                )
        except (TypeError, ValueError, IndexError, ZeroDivisionError):
            continue  # its ways to say that a signal is too short or has no beat
    return min(found, key=CLASSES.index, default=None)
