"""The line of one lead in a WFDB header: ``1.dat 16x1+24 200.0(0)/mV 16 0 -5 1234 0 aVR``.

Source of the format: https://physionet.org/physiotools/wag/header-5.htm
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import NamedTuple

from ecg_assets.sources.lead_names import normalize_lead_name

_FORMAT = re.compile(r"(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?", re.ASCII)
_GAIN = re.compile(
    r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)?(?:\(([-+]?\d+)\))?(?:/(\S+))?",
    re.ASCII | re.IGNORECASE,
)
_DEFAULT_GAIN = 200.0
_ABSENT = ["", "", "", "", "0", "0", "0", "0", ""]
"""What stands for the fields of a line that ends early."""
# Units in one mV. The micro sign has two code points, U+00B5 and U+03BC.
_PER_MV = {"mv": 1.0, "uv": 1e3, "\u00b5v": 1e3, "\u03bcv": 1e3, "v": 1e-3, "nv": 1e6}


class SignalLine(NamedTuple):
    """One lead's line of a header.

    `gain` is in ADC units per mV, NaN where `units` is no voltage; `baseline` is the ADC
    value of 0 mV; `checksum` is None where the header has none; `lead` is a standard name.
    """

    file_name: str
    checksum: int | None
    format: str
    samples_per_frame: int
    skew: int
    byte_offset: int
    gain: float
    baseline: int
    units: str
    lead: str


def parse_signal_line(line: str) -> SignalLine:
    """Parse one lead's line; what stands behind the gain is optional.

    Raises
    ------
    ValueError
        When a field is not what the format has there.
    """
    # The lead's name is the rest of the line, spaces included.
    fields = line.split(maxsplit=8)
    if len(fields) < 2:
        raise ValueError("a signal's line has no format")
    checksum = _integer(fields[6]) if len(fields) > 6 else None
    fields += _ABSENT[len(fields) :]
    return SignalLine(fields[0], checksum, *_parse_constant(*fields[1:3], fields[4], fields[8]))


@lru_cache(maxsize=1024)
def _parse_constant(
    file_format: str, gain: str, adc_zero: str, lead: str
) -> tuple[str, int, int, int, float, int, str, str]:
    """Parse what is the same in every recording of a dataset, as `SignalLine` has it."""
    per_mv, baseline, units = _parse_gain(gain)
    if baseline is None:
        baseline = _integer(adc_zero)
    return (*_parse_format(file_format), per_mv, baseline, units, normalize_lead_name(lead))


def _parse_format(text: str) -> tuple[str, int, int, int]:
    """Format, samples a frame, skew and byte offset: ``16x1+24``."""
    found = _FORMAT.fullmatch(text)
    if not found:
        raise ValueError(f"format {text[:40]!r} is not one of WFDB's")
    return found[1], int(found[2] or 1) or 1, int(found[3] or 0), int(found[4] or 0)


def _parse_gain(text: str) -> tuple[float, int | None, str]:
    """Gain in ADC units per mV, baseline where stated, and unit: ``200.0(0)/mV``."""
    found = _GAIN.fullmatch(text)
    if not found:
        raise ValueError(f"gain {text[:40]!r} is not a number")
    units = found[3] or "mV"
    # 0 stands for "not calibrated", which WFDB reads as its default.
    gain = (float(found[1] or 0) or _DEFAULT_GAIN) * _PER_MV.get(units.lower(), math.nan)
    if math.isinf(gain):
        raise ValueError(f"gain {text[:40]!r} is not finite")
    return gain, _integer(found[2]) if found[2] else None, units


def _integer(text: str) -> int:
    value = int(text)
    if abs(value) >= 1 << 31:
        raise ValueError(f"{text[:40]!r} does not fit 32 bits")
    return value
