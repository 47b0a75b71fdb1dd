"""Which codes of a dataset make which labels of a model, each row with its reason.

A label that a coding cannot express is unmapped: its absence among the codes says nothing of
the recording, so that such recordings are neither its positives nor its negatives.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from ecg_assets.labels import LabelRule, LabelSet
from ecg_assets.labels.codings import (
    Coding,
    code_concept,
    codings,
    find_coding,
    find_reasons,
    implied_by,
    is_code,
)
from ecg_assets.labels.concepts import DEFINITE, load_knowledge
from ecg_assets.labels.labeler import rule_in_coding
from ecg_assets.lineage import fingerprint_bytes, fingerprint_json
from ecg_assets.sources.datasets import datasets
from ecg_assets.sources.schema import OWN_LABELS
from ecg_assets.tables import Column, TableSchema
from ecg_assets.yaml_file import parse_yaml

# The curated notes of ``crosswalk_notes.yaml``: where a code and a label differ in meaning.


_NOTES = files("ecg_assets.evaluation.external").joinpath("crosswalk_notes.yaml")


@dataclass(frozen=True)
class CrosswalkNotes:
    """Notes on one coding.

    Attributes
    ----------
    withheld
        Concept to why the absence of its codes does not say that the finding is absent.
    concepts, codes
        Concept or code to how it is not like for like.
    """

    withheld: Mapping[str, str] = field(default_factory=dict)
    concepts: Mapping[str, str] = field(default_factory=dict)
    codes: Mapping[str, str] = field(default_factory=dict)

    def caveats(self, codes: Sequence[str], concept: str) -> list[str]:
        """Give the notes on a concept and on codes that lead to it, each once."""
        found = [self.concepts.get(concept), *(self.codes.get(code) for code in codes)]
        return list(dict.fromkeys(note for note in found if note))


@lru_cache(maxsize=8)
def load_notes(coding: str) -> CrosswalkNotes:
    """Read the notes on a coding, its own file's where it has some; else they are empty."""
    notes = find_coding(coding).notes or parse_yaml(_NOTES.read_text("utf-8")).get(coding, {})
    return CrosswalkNotes(**notes)


def crosswalk_fingerprint() -> str:
    """Fingerprint of all notes, and of which dataset has which coding.

    Notes of other packages are part of their coding's file.
    """
    of_datasets = {dataset.name: dataset.coding for dataset in datasets().values()}
    return fingerprint_json([fingerprint_bytes(_NOTES.read_bytes()), of_datasets])


class Codes(NamedTuple):
    """A coding with the concept of each code, and those that a study adds to it as its whole."""

    coding: Coding
    concepts: Mapping[str, str]
    wholes: Mapping[str, Sequence[str]] = MappingProxyType({})

    @classmethod
    def of_coding(
        cls, name: str, own_labels: Sequence[str] = (), label_set: LabelSet | None = None
    ) -> Codes:
        """Read the codes of a coding; raises `SchemaError` when that is unknown.

        Of one that lists none they are those that a label set names.
        """
        coding = find_coding(name)
        concepts = coding.list_codes(own_labels, label_set.concepts if label_set else ())
        study = label_set.study if label_set else None
        if study is None or not study.ancestors or study.coding != name:
            return cls(coding, concepts)
        read = {code: [m.concept for m in study.read(code).mentions] for code in concepts}
        return cls(
            coding,
            concepts,
            {
                code: [whole for whole in found if whole != code_concept(name, code)]
                for code, found in read.items()
            },
        )


# Ways from codes to a label: one code that names or implies a finding, or two together.


@dataclass(frozen=True)
class Path:
    """A way from codes to a concept that a label includes.

    Attributes
    ----------
    codes
        One code, or those that do it together.
    concept
        What they name or make.
    included
        Concept of the label's rule that follows from it.
    certainty
        How certain that is, a word of ``wording.yaml``.
    """

    codes: tuple[str, ...]
    concept: str
    included: str
    certainty: str

    @property
    def code(self) -> str:
        """The codes in one text."""
        return " + ".join(self.codes)

    @property
    def probability(self) -> float:
        """Probability that the codes give the concept."""
        return float(load_knowledge().uncertainty[self.certainty])

    def judge(self, rule: LabelRule, codes: Codes, threshold: float) -> tuple[bool, str]:
        """Say whether recordings with these codes alone are positives, and why."""
        sentence = self._sentence(codes)
        if self.probability < threshold or self.probability == 0:
            return False, f"{sentence} That is below the label threshold of {threshold:g}."
        forbidding = _find_forbidding(self, rule, codes, threshold)
        if forbidding:
            return False, f"{sentence} But the label excludes {' and '.join(forbidding)}."
        if rule.excludes:
            sentence += " A finding that the label excludes must not stand beside it."
        return True, sentence

    def _sentence(self, codes: Codes) -> str:
        kind = codes.coding.kind
        if is_code(self.included):
            is_own = self.included == code_concept(codes.coding.name, self.code)
            what = "is one of" if is_own else "is a part of"
            return f"{kind[0].upper()}{kind[1:]} {self.code} {what} the label's own codes."
        named = codes.concepts[self.code] if len(self.codes) == 1 else None
        if named and self.concept not in implied_by(named):
            start = f"{kind} {self.code} names the concept {named}, which makes {self.concept}"
        elif len(self.codes) > 1:
            start = f"{kind}s {' and '.join(self.codes)} together make {self.concept}"
        else:
            start = f"{kind} {self.code} names the concept {self.concept}"
        if self.concept != self.included:
            start += f", which implies {self.included}"
        if self.certainty != DEFINITE:
            start += f" ({self.certainty}, probability {self.probability:g})"
        return f"{start[0].upper()}{start[1:]}."


def find_single(rule: LabelRule, codes: Codes) -> list[Path]:
    """Codes of which each leads to the label alone, in their table's order."""
    paths = []
    for code, concept in codes.concepts.items():
        ways = [
            Path((code,), concept, included, certainty)
            for included, certainty in implied_by(concept).items()
            if included in rule.includes
        ]
        if ways:
            paths.append(max(ways, key=lambda way: way.probability))
    return (
        paths
        + [
            Path((code,), itself, itself, DEFINITE)
            for code in codes.concepts
            if (itself := code_concept(codes.coding.name, code)) in rule.includes
            if is_code(itself) and codes.concepts[code] != itself
        ]
        + [
            Path((code,), whole, whole, DEFINITE)
            for code in codes.concepts
            for whole in codes.wholes.get(code, ())
            if whole in rule.includes
        ]
    )


def find_combined(rule: LabelRule, codes: Codes, alone: Collection[str]) -> list[Path]:
    """Codes that lead to the label together, but not `alone`, each combination once."""
    paths: dict[tuple[str, ...], Path] = {}
    for way in _combined(rule, codes):
        if not set(way.codes) & set(alone):
            best = paths.get(way.codes)
            if best is None or best.probability < way.probability:
                paths[way.codes] = way
    return list(paths.values())


def _combined(rule: LabelRule, codes: Codes) -> Iterator[Path]:
    """Every choice of one code a part, for combinations that lead to the label."""
    knowledge = load_knowledge()
    for combination in knowledge.combinations:
        results = {
            included: certainty
            for included, certainty in implied_by(combination.concept).items()
            if included in rule.includes
        }
        for included, certainty in results.items():
            is_alone = len(combination.parts) == 1
            choices = [_codes_of_part(part, codes, is_alone) for part in combination.parts]
            for chosen in itertools.product(*choices):
                certainties = [certainty, combination.certainty, *(how for _, how in chosen)]
                weakest = min(certainties, key=knowledge.uncertainty.__getitem__)
                together = tuple(dict.fromkeys(code for code, _ in chosen))
                if len(together) == len(combination.parts):
                    yield Path(together, combination.concept, included, weakest)


def _codes_of_part(part: str, codes: Codes, is_alone: bool) -> list[tuple[str, str]]:
    """Codes that name or imply a part, each with its certainty.

    Of report text the part's own name alone, if it has others beside it: every other wording
    leads through it.
    """
    if part in codes.concepts and not is_alone:
        return [(part, DEFINITE)]
    return [
        (code, implied_by(concept)[part])
        for code, concept in codes.concepts.items()
        if part in implied_by(concept)
    ]


def _find_forbidding(path: Path, rule: LabelRule, codes: Codes, threshold: float) -> list[str]:
    """Concepts that the label excludes and that the labeler reads out of the same codes."""
    found = {
        reason.concept
        for code in path.codes
        for reason in find_reasons(codes.coding.read(code), rule.excludes)
        if reason.probability >= threshold
    }
    return sorted(found)


CROSSWALK_ROWS = ("label", "coding", "code", "concept", "is_mapped", "reason")

LABEL_CROSSWALK = TableSchema(
    "label_crosswalk",
    (
        Column("evaluation_source", pa.string(), "dataset whose recordings bear the codes"),
        Column("label", pa.string(), "label of the current label set"),
        Column("coding", pa.string(), "what a line of the dataset's reports is, e.g. scp-ecg"),
        Column(
            "code",
            pa.string(),
            "code, or codes that do it together; empty where none does",
            nullable=True,
        ),
        Column("concept", pa.string(), "concept that the code names, or that the label is made of"),
        Column("is_mapped", pa.bool_(), "whether recordings with the code are positives"),
        Column("reason", pa.string(), "why, or why not, and how it is not like for like"),
    ),
)


def crosswalk(
    label_set: LabelSet, coding: str, *, own_labels: Sequence[str] = (), threshold: float = 0.5
) -> pd.DataFrame:
    """Say for each label which codes make it, through which concept.

    Parameters
    ----------
    label_set
        Labels of the model, with their rules.
    coding
        Name of a coding of `ecg_assets.labels.codings`. The codes of ``report-text`` are the names
        of concepts, which stand for all of their wordings.
    own_labels
        Names of the data's own labels, the codes of ``own-labels``.
    threshold
        Lowest probability that makes a label true.

    Returns
    -------
    pandas.DataFrame
        `CROSSWALK_ROWS`. A row a label and code that leads to it, be it that the code alone is
        too uncertain or the label is withheld (``is_mapped`` False); one row without a code for
        a label that none leads to.

    Raises
    ------
    SchemaError
        When the coding is unknown.

    >>> from ecg_assets.labels import ECG_FM_LABEL_SET
    >>> table = crosswalk(ECG_FM_LABEL_SET, "code-15").set_index("label")
    >>> print(table.loc["Atrial fibrillation", "reason"])
    CODE-15 column AF names the concept Atrial fibrillation.
    """
    codes = Codes.of_coding(coding, own_labels, label_set)
    rows = [
        (name, coding, *row)
        for name, rule in zip(label_set.vocabulary.names, label_set.rules, strict=True)
        for row in _rows_of_label(rule_in_coding(rule, coding), codes, threshold)
    ]
    return pd.DataFrame(rows, columns=list(CROSSWALK_ROWS))


def crosswalk_sources(
    label_set: LabelSet,
    *,
    own_labels: Mapping[str, Sequence[str]] | None = None,
    threshold: float = 0.5,
) -> pd.DataFrame:
    """Put the crosswalks to all datasets into one table, as `LABEL_CROSSWALK` declares.

    Datasets of one coding stand side by side.

    Parameters
    ----------
    label_set, threshold
        As for `crosswalk`.
    own_labels
        For each dataset whose recordings bring labels, their names.
    """
    # One whose coding is of a broken package is told of where its own recordings are labelled.
    known = [dataset for dataset in datasets().values() if dataset.coding in codings()]
    of_codings = dict.fromkeys(dataset.coding for dataset in known)
    in_order = [dataset for coding in of_codings for dataset in known if dataset.coding == coding]
    tables = []
    for dataset in in_order:
        own = (own_labels or {}).get(dataset.name, ())
        table = crosswalk(label_set, dataset.coding, own_labels=own, threshold=threshold)
        table.insert(0, "evaluation_source", dataset.name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def count_mapped(table: pd.DataFrame) -> pd.DataFrame:
    """Count the labels that each dataset of a `crosswalk_sources` expresses, and name the rest."""
    rows = []
    for source, part in table.groupby("evaluation_source", sort=False):
        unmapped = unmapped_labels(part)
        rows.append(
            {
                "evaluation_source": source,
                "coding": part["coding"].iloc[0],
                "labels": part["label"].nunique(),
                "mapped": part["label"].nunique() - len(unmapped),
                "unmapped": ", ".join(unmapped),
            }
        )
    return pd.DataFrame(rows)


def unmapped_labels(table: pd.DataFrame) -> dict[str, str]:
    """Labels of a `crosswalk` without a mapped code, each with the reason."""
    is_mapped = table.groupby("label", sort=False)["is_mapped"].any()
    first = table.drop_duplicates("label").set_index("label")["reason"]
    return {str(label): str(first[label]) for label in is_mapped.index[~is_mapped]}


def _rows_of_label(
    rule: LabelRule, codes: Codes, threshold: float
) -> list[tuple[str | None, str, bool, str]]:
    """Rows of one label: code, concept, is_mapped, reason."""
    coding, notes = codes.coding, load_notes(codes.coding.name)
    found = find_single(rule, codes)
    found += find_combined(rule, codes, {path.code for path in found})
    if not found:
        wanted = " or ".join(rule.includes)
        lacking = f"No {coding.kind}{coding.of} names {wanted}, or a finding that implies it."
        if any(map(is_code, rule.includes)):
            lacking = f"The label is made of {wanted} alone; no {coding.kind}{coding.of} is that."
        if coding.name == OWN_LABELS:
            lacking += (
                " Columns are read as no concept; name them in the label set's file as "
                "own:<column>."
            )
        return [(None, wanted, False, lacking)]
    rows: list[tuple[str | None, str, bool, str]] = []
    for path in found:
        is_mapped, reason = path.judge(rule, codes, threshold)
        withheld = notes.withheld.get(path.included)
        if is_mapped and withheld:
            is_mapped, reason = False, f"{reason} The label is withheld: {withheld}"
        caveats = notes.caveats(path.codes, path.included)
        rows.append((path.code, path.concept, is_mapped, " ".join([reason, *caveats])))
    return rows
