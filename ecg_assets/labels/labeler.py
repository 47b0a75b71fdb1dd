"""Label recordings by their reports."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.labels.codings import Reason, find_coding, find_reasons, is_own, read_distinct
from ecg_assets.labels.concepts import Combination, load_knowledge
from ecg_assets.labels.evidence import EvidenceRows, evidence_frame, line_evidence
from ecg_assets.labels.label_set import ECG_FM_LABEL_SET, LabelRule, LabelSet, label_facts
from ecg_assets.labels.label_tables import (
    EVIDENCE,
    OTHER_LANGUAGE,
    UNKNOWN,
    UNKNOWN_VALUE,
    UNMATCHED,
    LabelTables,
)
from ecg_assets.labels.measured import find_undecided, find_unknown, measure_targets
from ecg_assets.labels.reading import LineReading
from ecg_assets.labels.report_lines import DistinctLine, Ints, ReportLines, flatten_reports
from ecg_assets.labels.study import Study
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.made_with import Facts, known_facts, with_facts
from ecg_assets.sources.schema import OWN_LABELS

# Findings that make another one together, across the lines of a report.


COMBINATION_RULE = "combination"

Scores = npt.NDArray[np.float32]
_Found = dict[str, list[tuple[float, int, str]]]
"""Probability, line with its sign turned, and words of each mention of a concept."""


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
    rows: list[tuple[int, int, str, str, float, str]] = []
    starts = np.searchsorted(lines.report, np.arange(lines.n_reports + 1))
    parts = {part for combination in load_knowledge().combinations for part in combination.parts}
    told = [[r for r in of_line if r.probability > 0 and r.concept in parts] for of_line in reasons]
    for combination in load_knowledge().combinations:
        reports, together = _find_reports(combination, scores, concepts)
        for column, ceiling in _made_by(combination, concepts):
            before = scores[reports, column]
            made = np.minimum(together, np.float32(ceiling))
            scores[reports, column] = np.maximum(before, made)
            # What stands behind the concepts asked for is only a part of others.
            is_raised = (made > before) & (column < len(names))
            for report, probability in zip(reports[is_raised], made[is_raised], strict=True):
                found = _find(range(starts[report], starts[report + 1]), lines, told)
                line, matched = _complete(combination, found)
                rows.append((line, column, matched, COMBINATION_RULE, float(probability), ""))
    return scores, EvidenceRows.of(rows)


def _find_reports(
    combination: Combination, scores: Scores, concepts: Sequence[str]
) -> tuple[Ints, Scores]:
    """Rows of the reports that tell all parts, and how probable these are together.

    As probable as the weakest part, less what an exception takes away.
    """
    parts = [concepts.index(part) for part in combination.parts]
    reports = np.flatnonzero(scores[:, parts[0]])
    together = np.full(len(reports), _ceiling(combination))
    for column in parts:
        together = np.minimum(together, scores[reports, column])
        reports, together = reports[together > 0], together[together > 0]
    for exception in combination.unless:
        together = np.minimum(together, 1 - scores[reports, concepts.index(exception)])
    return reports, together


def _find(span: range, lines: ReportLines, reasons: Sequence[list[Reason]]) -> _Found:
    """Collect a report's mentions by concept, of equal ones the first line as the greatest."""
    found: _Found = {}
    for line in span:
        for reason in reasons[lines.code[line]]:
            mention = reason.probability, -line, reason.matched
            found.setdefault(reason.concept, []).append(mention)
    return found


def _ceiling(combination: Combination) -> np.float32:
    return np.float32(load_knowledge().uncertainty[combination.certainty])


def _made_by(combination: Combination, concepts: Sequence[str]) -> Iterator[tuple[int, float]]:
    """Positions of what a combination makes or implies, each with its highest probability."""
    knowledge = load_knowledge()
    for concept, certainty in knowledge.implied[combination.concept].items():
        if concept in concepts:
            yield concepts.index(concept), knowledge.uncertainty[certainty]


def _complete(combination: Combination, found: _Found) -> tuple[int, str]:
    """Last of the lines that hold the strongest mention of each part, and the words for all."""
    told = [_strongest(part, found) for part in combination.parts]
    return max(line for line, _ in told), " + ".join(words for _, words in told)


def _strongest(part: str, found: _Found) -> tuple[int, str]:
    """Line and words of a part's strongest mention, or of what makes it together."""
    if part in found:
        _, line, words = max(found[part])
        return -line, words
    makers = (c for c in load_knowledge().combinations if part in _implied_by(c, found))
    return _complete(next(makers), found)


def _implied_by(combination: Combination, found: _Found) -> Collection[str]:
    """Concepts that a combination makes, if each of its parts is told."""
    is_told = found.keys() >= set(combination.parts)
    return load_knowledge().implied[combination.concept] if is_told else ()


# From concepts to the labels of a set: scores and evidence.


EXCLUDED = "excluded"
"""Rule of a finding that forbids a label."""


def is_positive(probability: Scores, threshold: float) -> npt.NDArray[np.bool_]:
    """Say which probabilities count: those above 0 that reach the threshold."""
    # A threshold of 0.7 must take in what float32 makes of 0.7.
    positive: npt.NDArray[np.bool_] = (probability > 0) & (probability >= np.float32(threshold))
    return positive


def apply_rules(
    scores: Scores, rows: EvidenceRows, lines: ReportLines, labels: LabelSet, threshold: float
) -> tuple[Scores, EvidenceRows]:
    """Turn concepts into labels.

    A rule's substitutes count in reports whose coding has no code for what the rule includes.

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
        counts = np.isin(rows.label, included)
        if rule.substitutes:
            lacks_code = _reports_without_code(lines, rule)
            for concept in rule.substitutes:
                substitute = np.where(lacks_code, scores[:, column[concept]], 0)
                label_scores[:, k] = np.maximum(label_scores[:, k], substitute)
                is_of_it = rows.label == column[concept]
                counts |= is_of_it & lacks_code[lines.report[rows.line]]
        parts.append(_relabel(rows, counts, k))
        if excluded:
            forbids = np.isin(rows.label, excluded) & is_positive(rows.probability, threshold)
            forbids &= label_scores[lines.report[rows.line], k] > 0
            parts.append(_relabel(rows, forbids, k, EXCLUDED))
            is_forbidden = is_positive(scores[:, excluded], threshold).any(axis=1)
            label_scores[is_forbidden, k] = 0
    return label_scores, EvidenceRows.join(*parts)


def rule_in_coding(rule: LabelRule, coding: str) -> LabelRule:
    """Give the rule as it is in a coding: with its substitutes included, or without them."""
    counted = rule.substitutes if _lacks_code(rule, coding) else ()
    return replace(rule, includes=(*rule.includes, *counted), substitutes=())


def _lacks_code(rule: LabelRule, coding: str) -> bool:
    return find_coding(coding).concepts.isdisjoint(rule.includes)


def _reports_without_code(lines: ReportLines, rule: LabelRule) -> npt.NDArray[np.bool_]:
    """Say of each report whether a rule's substitutes count in its coding: bool (n_reports,)."""
    codings = {line.coding for line in lines.distinct}
    has_code = {coding: not _lacks_code(rule, coding) for coding in codings}
    line_has = np.array([has_code[line.coding] for line in lines.distinct], dtype=bool)
    lacks = np.ones(lines.n_reports, dtype=bool)
    lacks[lines.report[line_has[lines.code]]] = False
    return lacks


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
        cue=rows.cue[mask],
    )


_BLOCK = 1 << 18  # lines whose scores are in memory at once


def label_records(
    reports: pd.DataFrame,
    *,
    label_set: LabelSet = ECG_FM_LABEL_SET,
    threshold: float = 0.5,
    records: pd.DataFrame | None = None,
) -> LabelTables:
    """Label every recording whose report can be read.

    A label's probability is the highest among its reasons: a statement's certainty
    (``wording.yaml``), or a combination of findings (``concepts.yaml``). Its value is 1 when
    the probability is above 0 and reaches the threshold. What a report denies, remembers or
    tells of another recording makes no label; its reasons stand in the evidence with 0.

    A recording without a report, or in whose report no statement names a known concept, or
    whose report is in another language, has no rows: nothing is known about it, which is not the
    same as all labels absent. A report is in another language when as many of its statements are
    as were read in English. The labels of a study are codes, whatever these mean: its rules say
    which likelihoods count, and whether a recording without any of the labels has rows.

    A label that is not known of a recording, as `find_unknown` says, and that nothing makes 1, has
    the value -1 there; so has one that would be 1, where nobody looked for what excludes it. Of a
    label set of numbers the rows are those of `measure_targets`, without evidence.

    Parameters
    ----------
    reports
        Table of `ecg_assets.sources.schema.MACHINE_REPORTS`: ``record_id, coding, lines``.
    label_set
        Labels, and the concepts of ``concepts.yaml`` that make and forbid each.
    threshold
        Lowest probability that counts as positive, 0 to 1, inclusive. With 0 every hedge
        counts, as in ECG-FM's published labels.
    records
        Table of `RECORD_LIST`; only a label set that names the age needs it.

    Raises
    ------
    ValueError
        When the threshold is outside 0 to 1.
    SchemaError
        When two reports have one ``record_id``, or a coding is unknown.
    SettingsError
        When reports hold own labels and a label of the set is made of none, or the reverse; or
        when they are of another coding than a study's.
    """
    _require_usable(reports, threshold)
    facts = {**known_facts(reports), **label_facts(label_set, threshold)}
    if label_set.vocabulary.is_continuous:
        return _of_numbers(measure_targets(reports, label_set, records), facts)
    unknown = find_unknown(reports, label_set, records)
    undecided = find_undecided(reports, label_set)
    lines = flatten_reports(reports)
    _require_own_labels(lines, label_set)
    readings = [_read(line, label_set.study) for line in lines.distinct]
    unmatched = _unmatched(lines, readings)
    is_foreign = _is_foreign(lines, readings)
    lines = lines.of_reports(~is_foreign)
    concepts = _wanted_concepts(label_set)
    wanted = frozenset(concepts)
    reasons = [find_reasons(reading, wanted) for reading in readings]
    is_read = _is_read(lines, readings)
    scores = _score_reports(lines, _score_lines(reasons, concepts))
    scores, combined = combine(scores, lines, reasons, concepts, label_set.concepts)
    stated = line_evidence(lines, reasons, label_set.concepts)
    scores, rows = apply_rules(
        scores, EvidenceRows.join(stated, combined), lines, label_set, threshold
    )
    if label_set.study and label_set.study.unlabelled == "drop":
        is_read &= is_positive(scores, threshold).any(axis=1)
    found = _labels_frame(reports, is_read, scores, label_set.vocabulary, threshold)
    for is_open, made in ((unknown, 0), (undecided, 1)):
        if is_open is not None:
            value = found["value"].to_numpy(copy=True)
            value[is_open[is_read].ravel() & (value == made)] = UNKNOWN_VALUE
            found["value"] = value
    return LabelTables(
        labels=with_facts(found, facts),
        evidence=with_facts(
            evidence_frame(rows, reports["record_id"], lines, label_set.vocabulary), facts
        ),
        unmatched=with_facts(unmatched, facts),
        n_in_other_languages=int(is_foreign.sum()),
    )


def _of_numbers(targets: pd.DataFrame, facts: Facts) -> LabelTables:
    evidence, unmatched = EVIDENCE.empty(), UNMATCHED.empty()
    for table in (targets, evidence, unmatched):
        with_facts(table, facts)
    return LabelTables(targets, evidence, unmatched, n_in_other_languages=0)


def _require_usable(reports: pd.DataFrame, threshold: float) -> None:
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold}; it must be between 0 and 1.")
    n_twice = int(reports["record_id"].duplicated().sum())
    if n_twice:
        raise SchemaError(f"machine_reports: {n_twice} reports have a record_id seen before.")


def _require_own_labels(lines: ReportLines, label_set: LabelSet) -> None:
    """Refuse a set that would make labels 0 everywhere, because nothing can make them 1."""
    codings = {line.coding for line in lines.distinct}
    if label_set.study and codings and codings != {label_set.study.coding}:
        raise SettingsError(
            f"The labels are codes of {label_set.study.coding}, but the recordings' reports are "
            f"{', '.join(sorted(codings))}. Set ECG_LABEL_SET to a set that fits them."
        )
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


def _read(line: DistinctLine, study: Study | None) -> LineReading:
    """Read a line by its coding: what it means, or for a study the code that it is."""
    return read_distinct(line) if study is None else study.read(line.text)


def _wanted_concepts(label_set: LabelSet) -> list[str]:
    """Concepts of the labels in their order, then what combinations are made of."""
    parts = [part for c in load_knowledge().combinations for part in (*c.parts, *c.unless)]
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
    """Highest probability of each concept in each report: (report, concept).

    There are few different probabilities, so their ranks are compared: small integers are faster.
    """
    levels, ranks = np.unique(np.append(line_scores.ravel(), np.float32(0)), return_inverse=True)
    of_distinct = ranks[:-1].reshape(line_scores.shape).astype(np.min_scalar_type(len(levels)))
    highest = np.zeros((lines.n_reports, line_scores.shape[1]), dtype=of_distinct.dtype)
    starts = np.flatnonzero(np.diff(lines.report, prepend=-1))
    for block in _blocks(starts, len(lines.report)):
        first = starts[block]
        stop = starts[block.stop] if block.stop < len(starts) else len(lines.report)
        of_lines = of_distinct[lines.code[first[0] : stop]]
        highest[lines.report[first]] = np.maximum.reduceat(of_lines, first - first[0], axis=0)
    scores: Scores = levels[highest]
    return scores


def _blocks(starts: Ints, n_lines: int) -> list[slice]:
    """Cut reports into runs of about `_BLOCK` lines."""
    bounds = np.unique(np.searchsorted(starts, np.arange(0, n_lines, _BLOCK)))
    edges = [*bounds.tolist(), len(starts)]
    return [slice(a, b) for a, b in itertools.pairwise(edges) if a < b]


def _is_foreign(lines: ReportLines, readings: Sequence[LineReading]) -> npt.NDArray[np.bool_]:
    """Say of each report whether it is in another language: bool (n_reports,)."""
    foreign = np.array([len(reading.foreign) for reading in readings], dtype=np.int64)
    english = np.array([reading.n_read for reading in readings], dtype=np.int64)
    n_foreign, n_english = (
        np.bincount(lines.report, weights=n[lines.code], minlength=lines.n_reports)
        for n in (foreign, english)
    )
    is_foreign: npt.NDArray[np.bool_] = (n_foreign > 0) & (n_foreign >= n_english)
    return is_foreign


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
    counts: Counter[tuple[str, str]] = Counter()
    for reading, n in zip(readings, lines.occurrences.tolist(), strict=True):
        for reason, statements in ((UNKNOWN, reading.unread), (OTHER_LANGUAGE, reading.foreign)):
            for statement in statements:
                counts[statement, reason] += n
    rows = [(*key, n) for key, n in sorted(counts.items(), key=lambda row: (-row[1], row[0]))]
    return pd.DataFrame(rows, columns=[c.name for c in UNMATCHED.columns]).astype(
        {"statement": "str", "reason": "str", "count": "int64"}
    )
