"""All that a resample of patients needs of scored labels, made once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_assets.evaluation import record_sums as sums_of
from ecg_assets.evaluation.calibration import fit_line
from ecg_assets.evaluation.metrics import combine_metrics
from ecg_assets.evaluation.weighted_ranks import TieBlocks


@dataclass(frozen=True)
class PatientStatistics:
    """Rankings, sums and calibration lines of rows: the labels, then all of them pooled.

    Attributes
    ----------
    blocks
        Ranking of each row.
    sums
        float64 ``(patient, row, N_SUMS)``.
    lines
        Slope and intercept of each row, ``(row, 2)``.
    """

    blocks: tuple[TieBlocks, ...]
    sums: NDArray[np.float64]
    lines: NDArray[np.float64]

    @classmethod
    def from_arrays(
        cls,
        target: NDArray[np.uint8],
        score: NDArray[np.floating[Any]],
        thresholds: NDArray[np.float64],
        patient: NDArray[np.intp],
        *,
        is_pooled: bool,
        has_lines: bool = True,
    ) -> PatientStatistics:
        """Rank and sum each label.

        Parameters
        ----------
        target, score
            0 or 1, and probabilities, ``(record, label)``.
        thresholds
            ``(label,)``; NaN where there is none.
        patient
            Number of each record's patient, from 0.
        is_pooled
            Whether a last row pools all pairs of record and label.
        has_lines
            Whether calibration lines are fitted, what takes longest in small sets; without,
            slope and intercept are NaN.
        """
        n_labels, n_patients = target.shape[1], int(patient.max(initial=-1)) + 1
        rows = [(target[:, k], score[:, k], patient) for k in range(n_labels)]
        if is_pooled:
            # Column by column, the order in which the patients are repeated.
            rows.append((target.ravel("F"), score.ravel("F"), np.tile(patient, n_labels)))
        sums = np.zeros((n_patients, len(rows), sums_of.N_SUMS))
        for k, (one, scored, _) in enumerate(rows[:n_labels]):
            threshold = float(thresholds[k])
            sums[:, k] = sums_of.sum_by_patient(one, scored, threshold, patient, n_patients)
        if is_pooled:
            sums[:, -1] = sums[:, :-1].sum(axis=1)
        lines = np.full((len(rows), 2), np.nan)
        for k, (one, scored, moves_with) in enumerate(rows):
            line = fit_line(one, scored) if has_lines else (np.nan, np.nan)
            lines[k] = line
            found = sums_of.sum_line_by_patient(one, scored, line, moves_with, n_patients)
            sums[:, k, sums_of.GRADIENT.start :] = found
        return cls(tuple(TieBlocks.from_scores(*row) for row in rows), sums, lines)

    def for_resampling(self) -> PatientStatistics:
        """Return the same with sums that are exact in any order."""
        rounded = np.empty_like(self.sums)
        for k in range(len(self.blocks)):
            rounded[:, k] = sums_of.round_for_exact_sums(self.sums[:, k])
        return replace(self, sums=rounded)

    def describe(
        self, counts: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Metrics and positives of each row in each resample.

        Parameters
        ----------
        counts
            How often each patient was drawn, ``(draw, patient)``.

        Returns
        -------
        tuple of NDArray
            Metrics ``(draw, row, metric)`` and numbers of positives ``(draw, row)``.
        """
        n_patients, n_rows, n_sums = self.sums.shape
        weighted = counts.astype(np.float64) @ self.sums.reshape(n_patients, n_rows * n_sums)
        sums = weighted.reshape(len(counts), n_rows, n_sums)
        curves = np.stack([block.resample(counts) for block in self.blocks], axis=1)
        lines = np.broadcast_to(self.lines, curves.shape)
        return combine_metrics(curves, sums, lines), sums[..., sums_of.POSITIVE]


def describe_labels(
    target: NDArray[np.uint8],
    score: NDArray[np.floating[Any]],
    thresholds: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Compute every metric of every label, each record once.

    Parameters
    ----------
    target, score
        0 or 1, and probabilities without NaN, ``(record, label)``.
    thresholds
        ``(label,)``; a score at or above it is called positive. NaN: undefined.

    Returns
    -------
    NDArray
        ``(label, metric)`` in the order of `METRICS`.
    """
    everyone = np.zeros(len(target), np.intp)
    statistics = PatientStatistics.from_arrays(target, score, thresholds, everyone, is_pooled=False)
    metrics, _ = statistics.describe(np.ones((1, 1), np.int64))
    values: NDArray[np.float64] = metrics[0]
    return values
