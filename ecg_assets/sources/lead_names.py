"""Standard lead names for the spellings found in files."""

from __future__ import annotations

import re
from functools import lru_cache

_STANDARD = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_BY_UPPER = {name.upper(): name for name in _STANDARD}
_BY_UPPER |= {"DI": "I", "DII": "II", "DIII": "III"}
# No minus sign before the name: -aVR, as Cabrera's order has it, is another lead than aVR.
_SPELLING = re.compile(r"(?:MDC[_ ])?(?:E[CK]G)?[_ ]*(?:LEAD)?[_ ]*(\w+)", re.IGNORECASE)


@lru_cache(maxsize=1024)
def normalize_lead_name(name: str) -> str:
    """Return the standard spelling of a lead's name; an unknown name comes back stripped.

    >>> [normalize_lead_name(n) for n in ("AVR", "MDC_ECG_LEAD_AVF", "ECG lead II", "v1", "DI")]
    ['aVR', 'aVF', 'II', 'V1', 'I']
    >>> [normalize_lead_name(n) for n in ("-aVR", "MLII", " vx ", "ECG")]
    ['-aVR', 'MLII', 'vx', 'ECG']
    """
    plain = name.strip()
    found = _SPELLING.fullmatch(plain)
    return _BY_UPPER.get(found[1].upper(), plain) if found else plain
