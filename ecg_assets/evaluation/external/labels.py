"""A model's labels on recordings of another dataset: those alone that its coding can express."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import pandas as pd

from ecg_assets.errors import SchemaError, SpecMismatch
from ecg_assets.evaluation.external.crosswalk import crosswalk, unmapped_labels
from ecg_assets.labels import (
    LabelRule,
    LabelSet,
    LabelVocabulary,
    label_records,
    load_label_set,
    resolve_label_set,
)
from ecg_assets.labels.codings import implied_by, is_own
from ecg_assets.labels.concepts import DEFINITE
from ecg_assets.labels.label_set import needs_reports
from ecg_assets.models.predictions import Predictions
from ecg_assets.sources.dataset import Dataset
from ecg_assets.sources.datasets import keep_databases, look_up_dataset
from ecg_assets.sources.schema import (
    MACHINE_REPORTS,
    NO_LABEL,
    OWN_LABELS,
    RECORD_LIST,
    split_measured,
)
from ecg_assets.store import SourceStore

# Labels of a model and labels that data brings, side by side by what they are made of.


LABEL_SET_ROWS = ("label", "data_label", "concept", "is_mapped", "reason")


def crosswalk_label_sets(model: LabelSet, data: LabelSet) -> pd.DataFrame:
    """Say for each label of a model which label of the data is the same.

    Two labels are the same when each concept that makes the one definitely implies one of the
    other, and both are forbidden by the same concepts; or when they have one name, and the
    data's is a column of its own (``own:<name>``). One that merely implies the other is not
    the same: a recording without it may have the other all the same.

    Returns
    -------
    pandas.DataFrame
        `LABEL_SET_ROWS`: a row a label of the model, ``data_label`` empty where there is none.

    >>> from ecg_assets.labels import ECG_FM_LABEL_SET, load_label_set
    >>> table = crosswalk_label_sets(ECG_FM_LABEL_SET, load_label_set("six-conditions"))
    >>> table[table["is_mapped"]][["label", "data_label"]].to_numpy().tolist()[:2]
    [['Atrial fibrillation', 'AFIB'], ['Atrial flutter', 'AFLT']]
    """
    rows = [
        (name, *_find_same(name, rule, data))
        for name, rule in zip(model.vocabulary.names, model.rules, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(LABEL_SET_ROWS))


def _find_same(name: str, rule: LabelRule, data: LabelSet) -> tuple[str | None, str, bool, str]:
    """Row of one label without its name."""
    concept = " or ".join(rule.includes)
    related = []
    for data_name, data_rule in zip(data.vocabulary.names, data.rules, strict=True):
        if _is_same(rule, data_rule):
            reason = f"Both {name} and {data_name} are made of {concept}."
            return data_name, concept, True, reason
        if data_name == name and all(map(is_own, data_rule.includes)):
            own = " or ".join(data_rule.includes)
            return data_name, own, True, f"The data's own label {own} has the label's name."
        if set(_implied(data_rule.includes)) & set(rule.includes):
            related.append(data_name)
    reason = f"No label of the data is made of {concept} alone."
    if related:
        reason = (
            f"{' and '.join(related)} of the data would imply {concept}, but their absence does "
            "not say that it is absent, or other findings forbid the one than the other."
        )
    return None, concept, False, reason


def _is_same(one: LabelRule, other: LabelRule) -> bool:
    """Say whether each concept of either rule implies one of the other's."""
    return (
        set(one.excludes) == set(other.excludes)
        and set(one.substitutes) == set(other.substitutes)
        and all(_implies(concept, other.includes) for concept in one.includes)
        and all(_implies(concept, one.includes) for concept in other.includes)
    )


def _implies(concept: str, wanted: Sequence[str]) -> bool:
    return any(implied_by(concept).get(name) == DEFINITE for name in wanted)


def _implied(concepts: Sequence[str]) -> list[str]:
    return [implied for concept in concepts for implied in implied_by(concept)]


_P = TypeVar("_P", bound=Predictions)


@dataclass(frozen=True)
class ExternalLabels:
    """Labels of recordings whose reports are of another coding than the training's may be.

    Attributes
    ----------
    labels
        Table of `LABELS`, of `label_set` alone.
    label_set
        The labels that the coding can express, in the model's order.
    unmapped
        Every other label of the model, with the reason.
    """

    labels: pd.DataFrame
    label_set: LabelSet
    unmapped: dict[str, str]


def label_external(
    reports: pd.DataFrame,
    label_set: LabelSet,
    *,
    threshold: float = 0.5,
    records: pd.DataFrame | None = None,
) -> ExternalLabels:
    """Label another dataset's recordings with the labels that their coding can express.

    Parameters
    ----------
    reports
        Table of `MACHINE_REPORTS`, of one coding.
    label_set
        Labels of the model, with their rules.
    threshold
        Lowest probability that makes a label true.
    records
        Table of `RECORD_LIST`, for labels that are measured by the age.

    Raises
    ------
    SchemaError
        When the reports are of more than one coding, or there are none.
    SpecMismatch
        When the coding can express no label at all.
    """
    coding = _require_one_coding(reports)
    own = list_own_labels(reports) if coding == OWN_LABELS else ()
    rules, unmapped = _express(label_set, coding, own, threshold)
    if not rules:
        reason = next(iter(unmapped.values()))
        raise SpecMismatch(f"{coding} can express none of {len(unmapped)} labels. {reason}")
    expressed = restrict(label_set, rules)
    labels = label_records(
        reports, label_set=expressed, threshold=threshold, records=records
    ).labels
    return ExternalLabels(labels, expressed, unmapped)


def list_own_labels(reports: pd.DataFrame) -> tuple[str, ...]:
    """Names of the own labels that at least one recording has, sorted."""
    of_own = reports["coding"] == OWN_LABELS
    lines = set(reports.loc[of_own, "lines"].explode().dropna()) - {NO_LABEL}
    return tuple(sorted(line for line in lines if split_measured(line) is None))


def find_stored_labels(stored: SourceStore) -> tuple[str, ...]:
    """Labels that a dataset's stored reports bring: none unless its labels are its own."""
    dataset = look_up_dataset(stored.name)
    if dataset is None or dataset.coding != OWN_LABELS or stored.find_missing():
        return ()
    return list_own_labels(stored.read_table(MACHINE_REPORTS))


def find_stored_coding(dataset: Dataset, stored: SourceStore) -> str:
    """Coding of a dataset's stored reports: a folder without own labels may have report text."""
    if dataset.coding != OWN_LABELS or stored.find_missing():
        return dataset.coding
    return _require_one_coding(stored.read_table(MACHINE_REPORTS))


def load_stored_label_set(
    name: str,
    stored: SourceStore,
    *,
    own_labels: Sequence[str] = (),
    databases: Collection[str] = (),
) -> LabelSet:
    """Load a label set for a stored source; one of all codes of the data out of its reports.

    Of some databases of a collection, their recordings' alone. Raises as `resolve_label_set` does,
    and `SchemaError` where reports are needed and not stored.
    """
    if not needs_reports(name):
        return load_label_set(name, own_labels=own_labels)
    reports = stored.read_table(MACHINE_REPORTS)
    if databases:
        records = keep_databases(stored.read_table(RECORD_LIST), databases)
        reports = reports[reports["record_id"].isin(records["record_id"])].reset_index(drop=True)
    return resolve_label_set(name, reports, own_labels=own_labels)


def restrict(label_set: LabelSet, rules: dict[str, LabelRule]) -> LabelSet:
    """Keep the labels that have a rule, in the set's order."""
    vocabulary = keep_names(label_set.vocabulary, rules)
    kept, study = tuple(rules[name] for name in vocabulary.names), label_set.study
    if study and study.coding != OWN_LABELS and all(is_own(c) for r in kept for c in r.includes):
        study = None  # the data's own labels of these names stand for the study's codes
    return LabelSet(vocabulary, kept, study)


def keep_names(vocabulary: LabelVocabulary, names: Collection[str]) -> LabelVocabulary:
    """Keep some labels of a vocabulary, in its order.

    >>> keep_names(LabelVocabulary(("a", "b"), ("mean", "max")), {"b"})
    LabelVocabulary(names=('b',), aggregation=('max',), units=())
    """
    kept = [
        (name, how)
        for name, how in zip(vocabulary.names, vocabulary.aggregation, strict=True)
        if name in names
    ]
    return LabelVocabulary(tuple(n for n, _ in kept), tuple(how for _, how in kept))


def widen_labels(predictions: _P, vocabulary: LabelVocabulary, unmapped: Collection[str]) -> _P:
    """Give predictions of some labels all labels of a model, for `evaluate_checkpoint`.

    The columns of unmapped labels hold 0 and mean nothing: name them as its ``unmapped``.

    Raises
    ------
    SpecMismatch
        When predicted and unmapped labels are not together those of the vocabulary.
    """
    names = predictions.vocabulary.names
    if sorted([*names, *unmapped]) != sorted(vocabulary.names):
        raise SpecMismatch(
            f"Predicted are {names}, unmapped {sorted(unmapped)}; expected together, each once, "
            f"{vocabulary.names}."
        )
    columns = [vocabulary.names.index(name) for name in names]
    shape = (len(predictions), len(vocabulary))
    target, score = np.zeros(shape, np.uint8), np.zeros(shape, np.float32)
    target[:, columns], score[:, columns] = predictions.target, predictions.score
    return replace(predictions, vocabulary=vocabulary, target=target, score=score)


def _express(
    label_set: LabelSet, coding: str, own: Sequence[str], threshold: float
) -> tuple[dict[str, LabelRule], dict[str, str]]:
    """Rules of the labels that a coding can express, and why it cannot the others."""
    table = crosswalk(label_set, coding, own_labels=own, threshold=threshold)
    unmapped = unmapped_labels(table)
    rule_of = dict(zip(label_set.vocabulary.names, label_set.rules, strict=True))
    rules = {name: rule for name, rule in rule_of.items() if name not in unmapped}
    if coding == OWN_LABELS and own:
        data = LabelSet.of_own_labels(own)
        own_rule_of = dict(zip(data.vocabulary.names, data.rules, strict=True))
        pairs = crosswalk_label_sets(label_set, data)
        for pair in pairs[pairs["is_mapped"]].itertuples():
            rules.setdefault(str(pair.label), own_rule_of[str(pair.data_label)])
            unmapped.pop(str(pair.label), None)
    return rules, unmapped


def _require_one_coding(reports: pd.DataFrame) -> str:
    codings = sorted(set(reports["coding"]))
    if len(codings) != 1:
        raise SchemaError(
            f"machine_reports holds the codings {codings}; an evaluation set has one. "
            "Materialize machine_reports of that source again."
        )
    return str(codings[0])
