"""How a number is written for a reader: one rule for pages, pictures and text."""

from __future__ import annotations

import math
from collections.abc import Callable

UNDEFINED = "–"
"""What stands where a number is undefined."""


def format_number(value: float | None, kind: str = "ratio") -> str:
    """Write a number, or a dash where it is undefined.

    Parameters
    ----------
    value
        The number; None or not finite is undefined.
    kind
        ``ratio`` (three decimals), ``signed`` (three, with its sign), ``percent`` (of a share,
        one decimal), ``count`` (whole, in groups of three digits), ``plain`` (as short as it is).

    Examples
    --------
    >>> format_number(0.98765), format_number(float("nan")), format_number(-0.0123, "signed")
    ('0.988', '–', '−0.012')
    >>> format_number(0.1234, "percent"), format_number(80023, "count")
    ('12.3 %', '80,023')
    >>> format_number(1e-8, "plain")
    '1e-08'
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; allowed: {sorted(KINDS)}.")
    if value is None or not math.isfinite(value):
        return UNDEFINED
    return KINDS[kind](value)


def _decimals(value: float, form: str = ".3f") -> str:
    """Three decimals with a typographic minus; what rounds to zero has no sign."""
    text = format(value, form)
    return text.replace("-", "−") if float(text) else "0.000"


KINDS: dict[str, Callable[[float], str]] = {
    "ratio": _decimals,
    "signed": lambda value: _decimals(value, "+.3f"),
    "percent": lambda value: f"{100 * value:.1f} %",
    "count": lambda value: f"{value:,.0f}",
    "plain": lambda value: f"{value:.6g}",
}
"""How each kind of number is written."""
