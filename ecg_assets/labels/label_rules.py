"""From concepts to the labels of a set: scores and evidence."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ecg_assets.labels.evidence import EvidenceRows
from ecg_assets.labels.label_set import LabelSet
from ecg_assets.labels.report_lines import ReportLines

EXCLUDED = "excluded"
"""Rule of a finding that forbids a label."""

Scores = npt.NDArray[np.float32]


def is_positive(probability: Scores, threshold: float) -> npt.NDArray[np.bool_]:
    """Say which probabilities count: those above 0 that reach the threshold."""
    # A threshold of 0.7 must take in what float32 makes of 0.7.
    positive: npt.NDArray[np.bool_] = (probability > 0) & (probability >= np.float32(threshold))
    return positive


def apply_rules(
    scores: Scores, rows: EvidenceRows, lines: ReportLines, labels: LabelSet, threshold: float
) -> tuple[Scores, EvidenceRows]:
    """Turn concepts into labels.

    Parameters
    ----------
    scores : float32 (n_reports, n_concepts)
        Probabilities of ``labels.concepts``.
    rows
        Evidence whose ``label`` is a position in ``labels.concepts``.
    threshold
        Probability from which a concept forbids the labels that exclude it.

    Returns
    -------
    tuple
        Probabilities of the labels, float32 (n_reports, n_labels), and their evidence. What
        forbids a label that would else be there has the rule ``excluded`` and probability 0.
    """
    column = {concept: i for i, concept in enumerate(labels.concepts)}
    label_scores = np.zeros((len(scores), len(labels.rules)), dtype=np.float32)
    parts = []
    for k, rule in enumerate(labels.rules):
        included = [column[concept] for concept in rule.includes]
        excluded = [column[concept] for concept in rule.excludes]
        label_scores[:, k] = scores[:, included].max(axis=1)
        parts.append(_relabel(rows, np.isin(rows.label, included), k))
        if excluded:
            forbids = np.isin(rows.label, excluded) & is_positive(rows.probability, threshold)
            forbids &= label_scores[lines.report[rows.line], k] > 0
            parts.append(_relabel(rows, forbids, k, EXCLUDED))
            is_forbidden = is_positive(scores[:, excluded], threshold).any(axis=1)
            label_scores[is_forbidden, k] = 0
    return label_scores, EvidenceRows.join(*parts)


def _relabel(
    rows: EvidenceRows, mask: npt.NDArray[np.bool_], label: int, rule: str | None = None
) -> EvidenceRows:
    n = int(mask.sum())
    return EvidenceRows(
        line=rows.line[mask],
        label=np.full(n, label, dtype=np.int64),
        matched=rows.matched[mask],
        rule=rows.rule[mask] if rule is None else np.full(n, rule, dtype=object),
        probability=rows.probability[mask] if rule is None else np.zeros(n, dtype=np.float32),
    )
