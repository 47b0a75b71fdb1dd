"""Label recordings by their reports."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.labels.combinations import combine
from ecg_assets.labels.evidence import EvidenceRows, evidence_frame, line_evidence
from ecg_assets.labels.knowledge import load_knowledge
from ecg_assets.labels.label_rules import apply_rules, is_positive
from ecg_assets.labels.label_set import ECG_FM_LABEL_SET, LabelSet
from ecg_assets.labels.label_tables import UNMATCHED, LabelTables
from ecg_assets.labels.label_vocabulary import LabelVocabulary
from ecg_assets.labels.line_labels import Reason, find_reasons, read_distinct
from ecg_assets.labels.own_labels import is_own
from ecg_assets.labels.reading import LineReading
from ecg_assets.labels.report_lines import Ints, ReportLines, flatten_reports
from ecg_assets.sources.schema import OWN_LABELS

Scores = npt.NDArray[np.float32]

_BLOCK = 1 << 18  # lines whose scores are in memory at once


def label_records(
    reports: pd.DataFrame,
    *,
    label_set: LabelSet = ECG_FM_LABEL_SET,
    threshold: float = 0.5,
) -> LabelTables:
    """Label every recording whose report can be read.

    A label's probability is the highest among its reasons: a statement's certainty
    (``wording.yaml``), or a combination of findings (``concepts.yaml``). Its value is 1 when
    the probability is above 0 and reaches the threshold. What a report denies, remembers or
    tells of another recording makes no label; its reasons stand in the evidence with 0.

    A recording without a report, or in whose report no statement names a known concept, has
    no rows: nothing is known about it, which is not the same as all labels absent.

    Parameters
    ----------
    reports
        Table of `ecg_assets.sources.schema.MACHINE_REPORTS`: ``record_id, coding, lines``.
    label_set
        Labels, and the concepts of ``concepts.yaml`` that make and forbid each.
    threshold
        Lowest probability that counts as positive, 0 to 1, inclusive. With 0 every hedge
        counts, as in ECG-FM's published labels.

    Raises
    ------
    ValueError
        When the threshold is outside 0 to 1.
    SchemaError
        When two reports have one ``record_id``, or a coding is unknown.
    SettingsError
        When reports hold own labels and a label of the set is made of none, or the reverse.
    """
    _require_usable(reports, threshold)
    lines = flatten_reports(reports)
    _require_own_labels(lines, label_set)
    readings = [read_distinct(line) for line in lines.distinct]
    concepts = _wanted_concepts(label_set)
    reasons = [find_reasons(reading, concepts) for reading in readings]
    is_read = _is_read(lines, readings)
    scores = _score_reports(lines, _score_lines(reasons, concepts))
    scores, combined = combine(scores, lines, reasons, concepts, label_set.concepts)
    stated = line_evidence(lines, reasons, label_set.concepts)
    scores, rows = apply_rules(
        scores, EvidenceRows.join(stated, combined), lines, label_set, threshold
    )
    return LabelTables(
        labels=_labels_frame(reports, is_read, scores, label_set.vocabulary, threshold),
        evidence=evidence_frame(rows, reports["record_id"], lines, label_set.vocabulary),
        unmatched=_unmatched(lines, readings),
    )


def _require_usable(reports: pd.DataFrame, threshold: float) -> None:
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold}; it must be between 0 and 1.")
    n_twice = int(reports["record_id"].duplicated().sum())
    if n_twice:
        raise SchemaError(f"machine_reports: {n_twice} reports have a record_id seen before.")


def _require_own_labels(lines: ReportLines, label_set: LabelSet) -> None:
    """Refuse a set that would make labels 0 everywhere, because nothing can make them 1."""
    codings = {line.coding for line in lines.distinct}
    of_own = [any(map(is_own, rule.includes)) for rule in label_set.rules]
    if codings == {OWN_LABELS} and not all(of_own):
        foreign = [n for n, own in zip(label_set.vocabulary.names, of_own, strict=True) if not own]
        raise SettingsError(
            f"The recordings bring labels of their own, of which {foreign} are not made. Set "
            "ECG_LABEL_SET=own, or to a file whose `includes` name them as own:<name>."
        )
    if codings and OWN_LABELS not in codings and any(of_own):
        raise SettingsError(
            "The label set is made of own labels, but the recordings bring none: their reports "
            f"are {', '.join(sorted(codings))}. Set ECG_LABEL_SET to another set."
        )


def _wanted_concepts(label_set: LabelSet) -> list[str]:
    """Concepts of the labels in their order, then what combinations are made of."""
    parts = [part for c in load_knowledge().combinations for part in c.parts]
    return list(dict.fromkeys([*label_set.concepts, *parts]))


def _score_lines(reasons: Sequence[list[Reason]], concepts: Sequence[str]) -> Scores:
    """Highest probability of each concept in each distinct line: (distinct line, concept)."""
    column = {concept: i for i, concept in enumerate(concepts)}
    scores = np.zeros((len(reasons), len(concepts)), dtype=np.float32)
    for row, found in zip(scores, reasons, strict=True):
        for reason in found:
            i = column[reason.concept]
            row[i] = max(row[i], reason.probability)
    return scores


def _score_reports(lines: ReportLines, line_scores: Scores) -> Scores:
    """Highest probability of each concept in each report: (report, concept)."""
    scores = np.zeros((lines.n_reports, line_scores.shape[1]), dtype=np.float32)
    starts = np.flatnonzero(np.diff(lines.report, prepend=-1))
    for block in _blocks(starts, len(lines.report)):
        first = starts[block]
        stop = starts[block.stop] if block.stop < len(starts) else len(lines.report)
        of_lines = line_scores[lines.code[first[0] : stop]]
        scores[lines.report[first]] = np.maximum.reduceat(of_lines, first - first[0], axis=0)
    return scores


def _blocks(starts: Ints, n_lines: int) -> list[slice]:
    """Cut reports into runs of about `_BLOCK` lines."""
    bounds = np.unique(np.searchsorted(starts, np.arange(0, n_lines, _BLOCK)))
    edges = [*bounds.tolist(), len(starts)]
    return [slice(a, b) for a, b in itertools.pairwise(edges) if a < b]


def _is_read(lines: ReportLines, readings: Sequence[LineReading]) -> npt.NDArray[np.bool_]:
    """Say of each report whether a statement in it was read: bool (n_reports,)."""
    line_is_read = np.array([bool(reading.mentions) for reading in readings], dtype=bool)
    is_read = np.zeros(lines.n_reports, dtype=bool)
    is_read[lines.report[line_is_read[lines.code]]] = True
    return is_read


def _labels_frame(
    reports: pd.DataFrame,
    is_read: npt.NDArray[np.bool_],
    scores: Scores,
    vocabulary: LabelVocabulary,
    threshold: float,
) -> pd.DataFrame:
    n_labels = len(vocabulary)
    record_ids = reports["record_id"].to_numpy()[is_read]
    probability = scores[is_read].ravel()
    record = np.repeat(np.arange(len(record_ids), dtype=np.int32), n_labels)
    label = np.tile(np.arange(n_labels, dtype=np.int32), len(record_ids))
    return pd.DataFrame(
        {
            "record_id": pd.Categorical.from_codes(record, pd.Index(record_ids)),
            "label": pd.Categorical.from_codes(label, pd.Index(vocabulary.names)),
            "value": is_positive(probability, threshold).astype(np.int8),
            "probability": probability,
        }
    )


def _unmatched(lines: ReportLines, readings: Sequence[LineReading]) -> pd.DataFrame:
    counts: dict[str, int] = {}
    for reading, n in zip(readings, lines.occurrences.tolist(), strict=True):
        for statement in reading.unread:
            counts[statement] = counts.get(statement, 0) + n
    rows = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    return pd.DataFrame(rows, columns=[c.name for c in UNMATCHED.columns]).astype(
        {"statement": "str", "count": "int64"}
    )
