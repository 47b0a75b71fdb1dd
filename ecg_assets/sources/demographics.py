"""Age, sex and time as datasets write them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

_OLDEST = 120
_SEX = {"male": "M", "m": "M", "female": "F", "f": "F"}


def parse_ages(text: pd.Series[str]) -> tuple[npt.NDArray[np.float64], int]:
    """Age in years, NaN where not stated or not 0 to 120; and how many were out of range.

    >>> parse_ages(pd.Series(["57", "300", None, "unknown"]))
    (array([57., nan, nan, nan]), 1)
    """
    stated = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64)
    is_possible = (stated >= 0) & (stated <= _OLDEST)
    ages = np.where(is_possible, stated, np.nan)
    return ages, int((~np.isnan(stated) & ~is_possible).sum())


def parse_sexes(text: pd.Series[str], meaning: Mapping[str, str] = _SEX) -> pd.Series[str]:
    """``F`` or ``M``, None where not stated.

    Parameters
    ----------
    text
        Text in any case; None where empty.
    meaning
        What each text in lower case stands for; by default male, m, female, f.

    >>> parse_sexes(pd.Series(["Male", "f", "unknown", None])).tolist()
    ['M', 'F', None, None]
    """
    sexes = text.map(lambda cell: meaning.get(str(cell).lower()))
    return sexes.astype(object).where(sexes.notna(), None)


def parse_times(text: pd.Series[str]) -> pd.Series[pd.Timestamp]:
    """Parse times of ISO 8601; an unreadable one is NaT."""
    times = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)
    return times.dt.tz_localize(None).astype("datetime64[us]")
