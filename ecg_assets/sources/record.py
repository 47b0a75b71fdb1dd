"""One recording as stored: integers, and what turns them into millivolts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MISSING = -32768
"""The stored value of a missing sample in int16, as WFDB's format 16 has it."""


@dataclass(frozen=True, eq=False)
class Record:
    """Samples of one recording.

    Attributes
    ----------
    signal
        Stored integers, ``(lead, sample)``: int16 where all fit, else int32. A missing
        sample is the lowest value of the type, -32768 in int16.
    gain
        ADC units per mV, float64 ``(lead,)``; NaN where the file's unit is no voltage.
    baseline
        ADC value of 0 mV, int64 ``(lead,)``.
    units
        Unit that the file states, before conversion to mV, one a lead.
    sample_rate
        Samples per second.
    lead_names
        Standard names, in the signal's order.
    """

    signal: NDArray[np.int16] | NDArray[np.int32]
    gain: NDArray[np.float64]
    baseline: NDArray[np.int64]
    units: tuple[str, ...]
    sample_rate: float
    lead_names: tuple[str, ...]

    def physical(self) -> NDArray[np.float32]:
        """Signal in mV, float32 ``(lead, sample)``.

        Missing samples are NaN, and so is a whole lead whose unit is no voltage.
        """
        values = (self.signal - self.baseline[:, None]) / self.gain[:, None]
        values[self.signal == np.iinfo(self.signal.dtype).min] = np.nan
        return values.astype(np.float32)
