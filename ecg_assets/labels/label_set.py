"""Which concepts or codes make which labels: shipped sets, and those of a user's small file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ecg_assets.errors import SettingsError
from ecg_assets.labels.codings import OWN, STUDIES, code_concept, is_code, is_own, own_concept
from ecg_assets.labels.concepts import ROOM, load_knowledge
from ecg_assets.labels.measured import MEASURES, require_numbers
from ecg_assets.labels.study import (
    Study,
    StudyFile,
    find_study_files,
    is_study,
    read_study_file,
    shipped_studies,
)
from ecg_assets.labels.vocabulary import ECG_FM_LABELS, LabelVocabulary
from ecg_assets.lineage import fingerprint_file, fingerprint_json
from ecg_assets.made_with import (
    LABEL_RULES,
    LABEL_STUDY,
    LABEL_THRESHOLD,
    LABEL_VOCABULARY,
    Facts,
)
from ecg_assets.sources.schema import unit_of
from ecg_assets.yaml_file import read_yaml

ECG_FM_17 = "ecg-fm-17"
SIX_CONDITIONS = "six-conditions"
MYOCARDIAL_INFARCTION = "myocardial-infarction"
OWN_SET = "own"
"""The labels that the user's own data brings, as they are."""

_SHIPPED, _STUDIES = ROOM / "label_sets", ROOM / STUDIES
_LISTS = ("includes", "excludes", "substitutes", "measured_by")


@dataclass(frozen=True)
class LabelRule:
    """Concepts of which one makes a label, and concepts that each forbid it.

    Attributes
    ----------
    substitutes
        Concepts that make the label, too, in recordings whose coding has no code for any of
        `includes`: with a code of its own, what it stands for is coded so.
    measured_by
        Numbers without which nobody looked: where one is empty or 0, the label is not known.
        Names of `MEASURES`, or ``own:<column>``.
    """

    includes: tuple[str, ...]
    excludes: tuple[str, ...] = ()
    substitutes: tuple[str, ...] = ()
    measured_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelSet:
    """The labels of a task, and for each a rule.

    Attributes
    ----------
    vocabulary
        Names in order, with their aggregation.
    rules
        For each label, in the same order.
    study
        How a study reads codes, of a set whose rules are codes alone; None of concepts.
    """

    vocabulary: LabelVocabulary
    rules: tuple[LabelRule, ...]
    study: Study | None = None

    def __post_init__(self) -> None:
        if len(self.rules) != len(self.vocabulary):
            raise ValueError(f"{len(self.rules)} rules for {len(self.vocabulary)} labels.")
        require_numbers([name for rule in self.rules for name in rule.measured_by])
        if self.vocabulary.is_continuous:
            require_numbers(self.concepts)
            return
        known = load_knowledge().wordings
        by_name = [c for c in self.concepts if not is_own(c) and not is_code(c)]
        unknown = sorted(c for c in by_name if c not in known)
        if unknown:
            raise ValueError(f"The labels name {unknown}, which are no concepts of concepts.yaml.")
        if self.study and by_name:
            raise ValueError(f"The labels of a study are codes alone, but name {by_name}.")
        if not self.study and any(map(is_code, self.concepts)):
            raise ValueError("The labels are codes; say by which rules of a study (`coding`).")

    @classmethod
    def of_concepts(cls, vocabulary: LabelVocabulary) -> LabelSet:
        """Build a set whose labels are the concepts of their names."""
        return cls(vocabulary, tuple(LabelRule((name,)) for name in vocabulary.names))

    @classmethod
    def of_own_labels(cls, names: Sequence[str]) -> LabelSet:
        """Build a set of the user's own labels, in their order."""
        vocabulary = LabelVocabulary(tuple(names), ("mean",) * len(names))
        return cls(vocabulary, tuple(LabelRule((own_concept(name),)) for name in names))

    @classmethod
    def of_study(cls, file: StudyFile) -> LabelSet:
        """Build the set of a study's labels."""
        labels = file.labels.values()
        vocabulary = LabelVocabulary(
            tuple(file.labels), tuple(label.aggregation or file.aggregation for label in labels)
        )
        rules = (
            LabelRule(
                tuple(code_concept(file.coding, code) for code in label.codes),
                measured_by=label.measured_by,
            )
            for label in labels
        )
        return cls(vocabulary, tuple(rules), file.study)

    @property
    def concepts(self) -> tuple[str, ...]:
        """All concepts that the rules name, each once."""
        named = [c for r in self.rules for c in (*r.includes, *r.excludes, *r.substitutes)]
        return tuple(dict.fromkeys(named))

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON values."""
        rules = [[list(names) for names in self._lists(rule)] for rule in self.rules]
        value = {"vocabulary": self.vocabulary.to_json(), "rules": rules}
        return value | ({"study": self.study.model_dump()} if self.study else {})

    @staticmethod
    def _lists(rule: LabelRule) -> tuple[tuple[str, ...], ...]:
        lists = (rule.includes, rule.excludes, rule.substitutes, rule.measured_by)
        if rule.measured_by:
            return lists
        return lists[:3] if rule.substitutes else lists[:2]


def label_facts(label_set: LabelSet, threshold: float) -> dict[str, Any]:
    """Say what labels are made with, by value."""
    value = label_set.to_json()
    facts = {
        LABEL_RULES: value["rules"],
        LABEL_VOCABULARY: value["vocabulary"],
        LABEL_THRESHOLD: threshold,
    }
    return facts | ({LABEL_STUDY: value["study"]} if label_set.study else {})


def label_set_of(facts: Facts) -> LabelSet | None:
    """Build the label set that labels were made with; None where it is not stated, or not ours."""
    rules, vocabulary = facts.get(LABEL_RULES), facts.get(LABEL_VOCABULARY)
    if not isinstance(rules, list) or vocabulary is None:
        return None
    study = facts.get(LABEL_STUDY)
    return LabelSet(
        LabelVocabulary.from_json(vocabulary),
        tuple(LabelRule(*map(tuple, lists)) for lists in rules),
        Study(**study) if study else None,
    )


ECG_FM_LABEL_SET = LabelSet.of_concepts(ECG_FM_LABELS)


def shipped_label_sets() -> tuple[str, ...]:
    """Names that `load_label_set` knows."""
    return (ECG_FM_17, *sorted(path.stem for path in _SHIPPED.glob("*.yaml")), *shipped_studies())


def is_label_set(name: str) -> bool:
    """Whether a name is a shipped set's, or a file's; the user's own labels apart."""
    return name in shipped_label_sets() or _find_file(name) is not None


def _find_file(name: str) -> Path | None:
    """Find the file of a label set; None where there is none."""
    path = _STUDIES / f"{name}.yaml" if name in shipped_studies() else _SHIPPED / f"{name}.yaml"
    if name in shipped_label_sets() and path.is_file():
        return path
    return Path(name) if Path(name).is_file() else None


def find_study(name: str) -> StudyFile | None:
    """Read the file of a study by a label set's name or path; None where it is no study's.

    Raises
    ------
    SettingsError
        When the file cannot be understood.
    """
    path = _find_file(name)
    try:
        is_ones = path is not None and is_study(read_yaml(path))
        return read_study_file(path) if path and is_ones else None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise SettingsError(f"Label set {name!r}: {error}") from error


def fingerprint_label_set(name: str) -> str:
    """Tell a label set by its content; a shipped one of concepts by its name.

    Those are part of `vocabulary_fingerprint`.
    """
    path = _find_file(name)
    if path is None or path.parent == _SHIPPED:
        return name
    try:
        files = find_study_files(path)
    except (OSError, ValueError):  # which the run will tell
        files = (path,)
    found = [fingerprint_file(file) for file in files]
    return found[0] if len(found) == 1 else fingerprint_json(found)


def load_label_set(name: str, *, own_labels: Sequence[str] = ()) -> LabelSet:
    """Load a label set that is shipped, one from a YAML file, or the user's own labels.

    Parameters
    ----------
    name
        A name out of `shipped_label_sets`, ``own``, or the path of a file. With a ``coding``, it
        is a study's (`ecg_assets.labels.study.StudyFile`). Else its key ``labels`` maps each label
        to ``includes``, ``excludes``, ``substitutes`` (lists of concepts of ``concepts.yaml``, or
        of own labels as ``own:<name>``), ``measured_by`` (numbers) and ``aggregation`` (mean or
        max), each optional; see `LabelRule`. Or its key ``targets`` maps each number that is
        predicted to ``of`` (of `MEASURES`, or ``own:<column>``; its name, where that is one) and
        ``aggregation``, each optional.
    own_labels
        Names of the labels that the data itself brings: the columns of labels.csv. A shipped study
        of own labels, which are a dataset's, is loaded without them, too.

    Raises
    ------
    SettingsError
        When there is no such set or file, the file cannot be understood, or it names own
        labels that the data does not bring.

    >>> load_label_set("six-conditions").vocabulary.names
    ('NORM', 'AFIB', 'AFLT', '1dAVb', 'RBBB', 'LBBB')
    """
    if name == ECG_FM_17:
        return ECG_FM_LABEL_SET
    if name == OWN_SET:
        if not own_labels:
            raise SettingsError(
                "ECG_LABEL_SET is own, but the data brings no labels of its own. They are the "
                "columns of labels.csv in the root of ECG_SOURCE=folder."
            )
        return LabelSet.of_own_labels(own_labels)
    path = _find_file(name)
    if path is None:
        raise SettingsError(
            f"Label set {name!r} is neither one of {shipped_label_sets()} nor {OWN_SET!r} nor a "
            "file. Set ECG_LABEL_SET to a name or to the path of a YAML file."
        )
    try:
        table = read_yaml(path)
        label_set = _of_study(read_study_file(path)) if is_study(table) else _parse(table)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise SettingsError(f"Label set {name!r}: {error}") from error
    named = {c for c in label_set.concepts if is_own(c) and not label_set.vocabulary.is_continuous}
    lacking = sorted(named - set(map(own_concept, own_labels)))
    if lacking and (own_labels or path.parent != _STUDIES):
        raise SettingsError(
            f"Label set {name!r} names {lacking}, but the data's own labels are "
            f"{[f'{OWN}{label}' for label in own_labels]}."
        )
    return label_set


def _of_study(file: StudyFile) -> LabelSet:
    if file.every_code:
        raise ValueError(
            "its labels are the codes of the data (`every_code`), so it needs their reports: "
            "materialize machine_reports, or in Python call resolve_label_set(name, reports)."
        )
    return LabelSet.of_study(file)


def resolve_label_set(
    name: str, reports: pd.DataFrame, *, own_labels: Sequence[str] = ()
) -> LabelSet:
    """Load a label set as `load_label_set` does; one of all codes of the data out of its reports.

    Parameters
    ----------
    name
        As `load_label_set` takes it.
    reports
        Table of `MACHINE_REPORTS`, of all recordings that the study counted: they decide which
        codes are labels. Nothing is read of them where the labels are listed.
    own_labels
        Names of the labels that the data itself brings.

    Returns
    -------
    LabelSet
        By value, as any other: its vocabulary travels with the labels.

    Raises
    ------
    SettingsError
        As `load_label_set` does; when the reports are of another coding; when no code has as many
        recordings as the file asks for.
    SchemaError
        When a code that has is unknown to the coding.
    """
    from ecg_assets.labels.every_code import list_labels

    file = find_study(name)
    if file is None or file.every_code is None:
        return load_label_set(name, own_labels=own_labels)
    labels = list_labels(file, reports)
    return LabelSet.of_study(file.changed(labels=labels, every_code=None, published=None))


def needs_reports(name: str) -> bool:
    """Whether a label set is known with the data alone: its labels are all codes of them."""
    file = find_study(name)
    return file is not None and file.every_code is not None


def _parse_targets(entries: object) -> LabelSet:
    """Build a set of numbers from what its file has under ``targets``."""
    if not isinstance(entries, Mapping) or not entries:
        raise ValueError("expected a mapping `targets` with a target or more.")
    rules, aggregation, units = [], [], []
    for name, value in entries.items():
        entry = value or {}
        unknown = sorted(set(entry) - {"of", "aggregation"})
        if unknown:
            raise ValueError(f"target {name!r} has {unknown}; allowed: of, aggregation.")
        number = str(entry.get("of", name))
        require_numbers([number])
        unit = unit_of(number) if is_own(number) else MEASURES[number].unit
        if unit is None:
            raise ValueError(
                f"target {name!r} is of {number!r}, a column without a unit, which holds a label. "
                "Name the column with its unit in brackets, as 'LVEF [%]'."
            )
        rules.append(LabelRule((number,)))
        units.append(unit)
        aggregation.append(str(entry.get("aggregation", "mean")))
    names = tuple(map(str, entries))
    return LabelSet(LabelVocabulary(names, tuple(aggregation), tuple(units)), tuple(rules))


def _parse(table: object) -> LabelSet:
    if isinstance(table, Mapping) and "targets" in table:
        if "labels" in table:
            raise ValueError("has `labels` and `targets`; a model predicts either. Make two files.")
        return _parse_targets(table["targets"])
    entries = table.get("labels") if isinstance(table, Mapping) else None
    if not isinstance(entries, Mapping) or not entries:
        raise ValueError("expected a mapping `labels` with a label or more.")
    rules, aggregation = [], []
    for label, value in entries.items():
        entry = value or {}
        unknown = sorted(set(entry) - {*_LISTS, "aggregation"})
        if unknown:
            raise ValueError(
                f"label {label!r} has {unknown}; allowed: {', '.join(_LISTS)}, aggregation."
            )
        lists = {name: _names(entry[name], label) for name in _LISTS if name in entry}
        rules.append(LabelRule(**{"includes": (label,), **lists}))
        aggregation.append(str(entry.get("aggregation", "mean")))
    vocabulary = LabelVocabulary(tuple(entries), tuple(aggregation))
    return LabelSet(vocabulary, tuple(rules))


def _names(value: object, label: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"label {label!r}: {', '.join(_LISTS)} are lists of concept names.")
    return tuple(value)
