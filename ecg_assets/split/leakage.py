"""Find patients that stand in more than one split, in any table that has both columns."""

from __future__ import annotations

import pandas as pd

from ecg_assets.errors import LeakageError


def find_leaking_patients(table: pd.DataFrame) -> list[str]:
    """Patients with records in more than one split, sorted.

    Parameters
    ----------
    table
        Any table with ``subject_id`` and ``split``.

    >>> find_leaking_patients(pd.DataFrame({"subject_id": ["1", "1"], "split": ["train", "test"]}))
    ['1']
    """
    n_splits = table.groupby("subject_id")["split"].nunique()
    return sorted(str(patient) for patient in n_splits.index[n_splits > 1])


def require_no_leakage(table: pd.DataFrame, *, where: str) -> None:
    """Raise `LeakageError` if a patient stands in two splits; it counts, but names nobody."""
    leaking = find_leaking_patients(table)
    if leaking:
        raise LeakageError(
            f"{len(leaking)} patients stand in more than one split of {where}. "
            "Split by patient, or mend the split file you gave."
        )
