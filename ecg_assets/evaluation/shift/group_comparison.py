"""Groups of recordings against their reference: how often each bin of a quantity is filled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.evaluation.shift.stability_index import (
    N_BINS,
    bin_values,
    chance_limit,
    expected_by_chance,
    stability_index,
)


@dataclass(frozen=True)
class GroupComparison:
    """Which groups are compared, each with one reference group or with all others.

    Attributes
    ----------
    names
        Groups in the order of their codes.
    code
        Group of each recording, int64 ``(recording,)``.
    reference
        Code of the group that the others are compared with; None compares each with the rest.
    n_records, n_patients
        Of each group and of its reference, int64 ``(2, group)``.
    """

    names: list[str]
    code: NDArray[np.int64]
    reference: int | None
    n_records: NDArray[np.int64]
    n_patients: NDArray[np.int64]

    @classmethod
    def of(
        cls, groups: pd.Series, subject_ids: NDArray[np.str_], reference: str | None = None
    ) -> GroupComparison:
        """Compare the groups of recordings.

        Parameters
        ----------
        groups
            Name of each recording's group, without empty ones.
        subject_ids
            Its patient.
        reference
            Name of the reference group, which must be there; without it each group is compared
            with the rest.
        """
        code, names = pd.factorize(groups, sort=True)
        code = code.astype(np.int64)
        at = None if reference is None else list(names).index(reference)
        patients = _count_patients(code, subject_ids, len(names), at)
        counts = np.bincount(code, minlength=len(names))
        of_reference = np.full_like(counts, counts[at]) if at is not None else len(code) - counts
        return cls([str(n) for n in names], code, at, np.stack([of_reference, counts]), patients)

    def compare(self, values: NDArray[np.float64]) -> pd.DataFrame:
        """Compare the distributions of one quantity, a row a group but the reference.

        Parameters
        ----------
        values
            ``(recording,)``; NaN is missing.

        Returns
        -------
        DataFrame
            The columns of `DRIFT` but ``comparison`` and ``quantity``.
        """
        is_reference = np.ones(len(values), bool)
        if self.reference is not None:
            is_reference = self.code == self.reference
        bins = bin_values(values, is_reference)
        n_groups, n_bins = len(self.names), N_BINS + 1
        cells = np.bincount(self.code * n_bins + bins, minlength=n_groups * n_bins)
        current = cells.reshape(n_groups, n_bins)
        reference = self._reference_of(current)
        n_used = ((current + reference) > 0).sum(axis=1)
        table = pd.DataFrame(
            {
                "group": self.names,
                "psi": stability_index(reference, current),
                **self._means(values),
                "n_reference": self.n_records[0],
                "n_current": self.n_records[1],
                "n_patients_reference": self.n_patients[0],
                "n_patients_current": self.n_patients[1],
                "expected_by_chance": expected_by_chance(n_used, *self.n_patients),
                "chance_limit": chance_limit(n_used, *self.n_patients),
            }
        )
        keep = self.n_records[0] > 0
        if self.reference is not None:
            keep[self.reference] = False
        kept: pd.DataFrame = table.loc[keep]
        return kept

    def _means(self, values: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Mean of the values that are there, of the reference and of the group."""
        known = ~np.isnan(values)
        n_known = np.bincount(self.code[known], minlength=len(self.names))
        total = np.bincount(self.code[known], values[known], minlength=len(self.names))
        means = {}
        for side, count, summed in (
            ("reference", self._reference_of(n_known), self._reference_of(total)),
            ("current", n_known, total),
        ):
            means[side] = np.full(len(self.names), np.nan)
            np.divide(summed, count, out=means[side], where=count > 0)
        return means

    def _reference_of(self, counts: NDArray[Any]) -> NDArray[Any]:
        """Give the counts of each group's reference from those of all groups, ``(group, …)``."""
        if self.reference is not None:
            same: NDArray[Any] = np.broadcast_to(counts[self.reference], counts.shape)
            return same
        others: NDArray[Any] = counts.sum(axis=0, keepdims=True) - counts
        return others


def _count_patients(
    code: NDArray[np.int64], subject_ids: NDArray[np.str_], n_groups: int, reference: int | None
) -> NDArray[np.int64]:
    """Patients of each reference and group; one may have recordings in several groups."""
    patient, distinct = pd.factorize(subject_ids)
    pairs = np.unique(np.stack([patient, code], axis=1), axis=0)
    counts = np.bincount(pairs[:, 1], minlength=n_groups)
    if reference is not None:
        return np.stack([np.full_like(counts, counts[reference]), counts])
    groups_of_patient = np.bincount(pairs[:, 0], minlength=len(distinct))
    only_here = np.bincount(pairs[groups_of_patient[pairs[:, 0]] == 1, 1], minlength=n_groups)
    return np.stack([len(distinct) - only_here, counts])
