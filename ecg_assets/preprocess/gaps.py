"""Missing samples bridged, for steps that would spread them over the whole lead."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def fill_gaps(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bridge missing samples by straight lines between their neighbours.

    The first and last samples that are not missing go on to the ends; a lead that is
    missing as a whole becomes 0.

    Parameters
    ----------
    signal
        ``(…, sample)``; NaN is a missing sample.

    Returns
    -------
    NDArray[np.float64]
        A copy of the same shape, without NaN.

    >>> fill_gaps(np.array([np.nan, 1.0, np.nan, 3.0, np.nan]))
    array([1., 1., 2., 3., 3.])
    """
    filled = signal.copy()
    missing = np.isnan(signal)
    for lead in np.argwhere(missing.any(axis=-1)):
        at = tuple(lead)
        gaps = missing[at]
        present = np.flatnonzero(~gaps)
        filled[at][gaps] = (
            np.interp(np.flatnonzero(gaps), present, signal[at][present]) if len(present) else 0.0
        )
    return filled
