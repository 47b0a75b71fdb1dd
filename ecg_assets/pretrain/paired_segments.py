"""Which segments of a split are pairs of one patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_assets.errors import SchemaError
from ecg_assets.finetune.training_data import TrainingData

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of segments of one patient.

    Attributes
    ----------
    rows
        Row of the manifest's index of the first and of the second segments' recordings, int64
        ``(2, pair)``.
    numbers
        Numbers of the segments in their recordings, int64 ``(2, pair)``.
    patients
        Patient, integer ``(pair,)``: equal for equal ``subject_id``.
    """

    rows: Rows
    numbers: Rows
    patients: Rows

    def __len__(self) -> int:
        return len(self.patients)


def find_pairs(data: TrainingData, split: str, kind: str = "segments") -> Pairs:
    """Find all pairs of a split; they depend on nothing but the data.

    Parameters
    ----------
    data
        The recordings.
    split
        Whose.
    kind
        ``segments``: neighbours in one recording, 0 and 1, 2 and 3, …. ``studies``: each
        recording with its patient's next one in the index, segment 0 with segment 0 and so on
        as far as both go.

    Raises
    ------
    SchemaError
        When there are none.
    """
    rows = data.rows(split)
    find = _pair_studies if kind == "studies" else _pair_segments
    found, numbers = find(data, rows)
    if not found.size:
        raise SchemaError(_explain_none(data, split, kind, len(rows)))
    subjects = data.manifest.index["subject_id"].to_numpy()[found[0]]
    _, patients = np.unique(subjects, return_inverse=True)
    return Pairs(found, numbers, patients)


def _pair_segments(data: TrainingData, rows: Rows) -> tuple[Rows, Rows]:
    """Pair neighbours; one that is left over has no partner."""
    counts = data.n_segments(rows) // 2
    found, first = np.repeat(rows, counts), 2 * _count_up(counts)
    return np.stack([found, found]), np.stack([first, first + 1])


def _pair_studies(data: TrainingData, rows: Rows) -> tuple[Rows, Rows]:
    """Pair recordings of one patient that follow each other in the index."""
    _, patient = np.unique(data.manifest.index["subject_id"].to_numpy()[rows], return_inverse=True)
    order = np.argsort(patient, kind="stable")
    is_next = patient[order][:-1] == patient[order][1:]
    studies = rows[np.stack([order[:-1][is_next], order[1:][is_next]])]
    counts = data.n_segments(studies.ravel()).reshape(2, -1).min(axis=0)
    numbers = _count_up(counts)
    return np.repeat(studies, counts, axis=1), np.stack([numbers, numbers])


def _count_up(counts: Rows) -> Rows:
    """Count from 0 up to each of some counts.

    >>> _count_up(np.array([2, 0, 3])).tolist()
    [0, 1, 0, 1, 2]
    """
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _explain_none(data: TrainingData, split: str, kind: str, n_records: int) -> str:
    length = data.manifest.spec.segment_s
    if kind == "studies":
        return (
            f"No patient has two of the {n_records} recordings in split {split!r} with a segment "
            f"of {length} s each. Pair segments of one recording (pairs = 'segments'), or use a "
            "source whose patients come back."
        )
    return (
        f"None of the {n_records} recordings in split {split!r} has two segments of {length} s. "
        "Check the split, or build manifests with a shorter segment_s."
    )
