"""Faults planted in a simulated cohort: each check of the platform has something to find."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

MIN_RECORDS = 20
"""Smaller cohorts have no faults: there they would no longer be the exception."""


class Fault(StrEnum):
    """What is wrong with one study."""

    NAN_RUN_LEAD_I = "nan_run_lead_i"
    FLAT_LEAD_I = "flat_lead_i"
    TRUNCATED_DAT = "truncated_dat"
    MISSING_DAT = "missing_dat"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    NO_REPORT = "no_report"
    REPORT_WITHOUT_RECORD = "report_without_record"


_SHARES = {
    Fault.NAN_RUN_LEAD_I: 0.004,
    Fault.FLAT_LEAD_I: 0.004,
    Fault.TRUNCATED_DAT: 0.0025,
    Fault.MISSING_DAT: 0.0025,
    Fault.CHECKSUM_MISMATCH: 0.0025,
    Fault.NO_REPORT: 0.004,
}
"""Shares of the records; `REPORT_WITHOUT_RECORD` is one row in addition to them."""


def plant_faults(n_records: int, rng: np.random.Generator) -> dict[int, Fault]:
    """Choose the records that get a fault: of each kind at least one, about 2 % in all.

    Parameters
    ----------
    n_records
        Records of the cohort; below 20 no fault is planted.
    rng
        The cohort's generator for faults.

    Returns
    -------
    dict of int to Fault
        Index of the record in the plan, and its one fault.
    """
    if n_records < MIN_RECORDS:
        return {}
    kinds = [
        kind for kind, share in _SHARES.items() for _ in range(max(1, round(share * n_records)))
    ]
    chosen = rng.choice(n_records, size=len(kinds), replace=False)
    return {int(i): kind for i, kind in sorted(zip(chosen, kinds, strict=True))}
