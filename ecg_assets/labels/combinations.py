"""Findings that make another one together, across the lines of a report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ecg_assets.labels.evidence import EvidenceRows
from ecg_assets.labels.knowledge import Combination, load_knowledge
from ecg_assets.labels.line_labels import Reason
from ecg_assets.labels.report_lines import ReportLines

COMBINATION_RULE = "combination"

Scores = npt.NDArray[np.float32]


def combine(
    scores: Scores,
    lines: ReportLines,
    reasons: Sequence[list[Reason]],
    concepts: Sequence[str],
    names: Sequence[str],
) -> tuple[Scores, EvidenceRows]:
    """Raise the concepts that findings of a report make together.

    Parameters
    ----------
    scores : float32 (n_reports, n_concepts)
        Probabilities; columns follow `concepts`, which begin with `names`.
    reasons
        Reasons of each distinct line, for all of `concepts`.
    names
        Concepts to raise.

    Returns
    -------
    tuple
        Raised scores, and a row of evidence for each concept raised. It stands at the line
        that completes the combination.
    """
    scores = scores.copy()
    rows: list[tuple[int, int, str, str, float]] = []
    starts = np.searchsorted(lines.report, np.arange(lines.n_reports + 1))
    for combination in load_knowledge().combinations:
        parts = [concepts.index(part) for part in combination.parts]
        together = np.minimum(scores[:, parts].min(axis=1), _ceiling(combination))
        for column, ceiling in _made_by(combination, names):
            raised = np.minimum(together, np.float32(ceiling))
            for report in np.flatnonzero(raised > scores[:, column]).tolist():
                span = range(starts[report], starts[report + 1])
                line, matched = _complete(combination, span, lines, reasons)
                rows.append((line, column, matched, COMBINATION_RULE, float(raised[report])))
            scores[:, column] = np.maximum(scores[:, column], raised)
    return scores, EvidenceRows.of(rows)


def _ceiling(combination: Combination) -> np.float32:
    return np.float32(load_knowledge().uncertainty[combination.certainty])


def _made_by(combination: Combination, names: Sequence[str]) -> Iterator[tuple[int, float]]:
    """Positions of what a combination makes or implies, each with its highest probability."""
    knowledge = load_knowledge()
    for concept, certainty in knowledge.implied[combination.concept].items():
        if concept in names:
            yield names.index(concept), knowledge.uncertainty[certainty]


def _complete(
    combination: Combination, span: range, lines: ReportLines, reasons: Sequence[list[Reason]]
) -> tuple[int, str]:
    """Last of the lines that hold the strongest mention of each part, and the words for all."""
    found = [
        max(
            (reason.probability, -line, reason.matched)
            for line in span
            for reason in reasons[lines.code[line]]
            if reason.concept == part
        )
        for part in combination.parts
    ]
    return max(-negative for _, negative, _ in found), " + ".join(words for *_, words in found)
