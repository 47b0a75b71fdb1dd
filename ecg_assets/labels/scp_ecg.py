"""SCP-ECG statements of PTB-XL to concepts."""

from __future__ import annotations

import re

from ecg_assets.labels.codes import look_up
from ecg_assets.labels.reading import LineReading

SCP_RULE = "scp-ecg code"

_STATEMENT = re.compile(r"(?P<code>\S+)(?: (?P<likelihood>\d+(?:\.\d+)?))?")


def read_statement(line: str) -> LineReading:
    """Read a line that holds a code and its likelihood in per cent, as ``AFIB 80``.

    PTB-XL writes a likelihood of 0 where it is unknown (https://doi.org/10.13026/kfzx-aw45),
    as for rhythms; such a statement is taken as stated without reserve.

    >>> read_statement("AMI 35").mentions[0].probability
    0.35
    >>> read_statement("AFIB 0").mentions[0].probability
    1.0
    """
    found = _STATEMENT.fullmatch(line.strip())
    if found is None:
        return LineReading((), (line.strip(),))
    probability = float(found["likelihood"] or 0) / 100 or 1.0
    return look_up("scp_ecg", found["code"], rule=SCP_RULE, probability=min(probability, 1.0))
