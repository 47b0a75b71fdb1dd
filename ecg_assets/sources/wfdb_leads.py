"""The leads of a header: choosing them by name, their checksums, and a record made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ecg_assets.errors import BadRecord
from ecg_assets.sources.lead_names import normalize_lead_name
from ecg_assets.sources.record import Record
from ecg_assets.sources.wfdb_signal_line import SignalLine


def find_leads(lines: Sequence[SignalLine], leads: Sequence[str] | None) -> list[int]:
    """Find the positions of leads by name; None stands for all.

    Raises
    ------
    BadRecord
        ``missing_lead``; ``bad_header`` when two leads have the name asked for;
        ``unknown_unit`` when a lead asked for is not in volts or parts of them.
    """
    if leads is None:
        return list(range(len(lines)))
    names = [line.lead for line in lines]
    wanted = [normalize_lead_name(lead) for lead in leads]
    missing = [lead for lead in wanted if lead not in names]
    if missing:
        raise BadRecord("missing_lead", f"{', '.join(missing)} not among {', '.join(names)}")
    for lead in wanted:
        if names.count(lead) > 1:
            raise BadRecord("bad_header", f"{names.count(lead)} leads are named {lead}")
        line = lines[names.index(lead)]
        if math.isnan(line.gain):
            raise BadRecord("unknown_unit", f"lead {lead} is in {line.units[:40]}, not in mV")
    return [names.index(lead) for lead in wanted]


def require_checksum(line: SignalLine, samples: NDArray[np.signedinteger]) -> None:
    """Compare all samples of a lead with the header's checksum, where it has one.

    A checksum is the sum modulo 65,536; files have it as 0 to 65,535 or as a signed number.

    Raises
    ------
    BadRecord
        ``checksum_mismatch``.
    """
    if line.checksum is None:
        return
    stated, found = line.checksum & 0xFFFF, int(samples.sum(dtype=np.int64)) & 0xFFFF
    if stated != found:
        raise BadRecord(
            "checksum_mismatch", f"lead {line.lead}: header says {stated}, samples give {found}"
        )


def make_record(
    signal: NDArray[np.int16] | NDArray[np.int32], lines: Sequence[SignalLine], sample_rate: float
) -> Record:
    """Combine samples ``(lead, sample)`` with their header's lines."""
    return Record(
        signal=signal,
        gain=np.array([line.gain for line in lines], dtype=np.float64),
        baseline=np.array([line.baseline for line in lines], dtype=np.int64),
        units=tuple(line.units for line in lines),
        sample_rate=sample_rate,
        lead_names=tuple(line.lead for line in lines),
    )
