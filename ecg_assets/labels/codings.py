"""What the lines of reports are: text, labels of the data's own, or codes, a table a coding."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ecg_assets.entry_points import EntryPoints, find_entry_points
from ecg_assets.errors import SchemaError
from ecg_assets.labels.concepts import DEFINITE, ROOM, load_knowledge
from ecg_assets.labels.reading import LineReading, Mention, read_line
from ecg_assets.labels.report_lines import DistinctLine
from ecg_assets.lineage import fingerprint_bytes, fingerprint_json
from ecg_assets.sources.schema import NO_LABEL, OWN_LABELS, REPORT_TEXT, split_measured
from ecg_assets.yaml_file import parse_yaml

GROUP = "ecg_assets.codings"
"""Group of the entry points of other packages: each is the `Path` of a YAML file."""

STUDIES = "studies"
"""Folder of the label sets that are lists of codes."""

OWN, _CODE = "own:", "code:"


def own_concept(name: str) -> str:
    """Name the concept of a label of the user's own, which is its name alone."""
    return f"{OWN}{name}"


def is_own(concept: str) -> bool:
    """Say whether a concept is a label of the user's own."""
    return concept.startswith(OWN)


def code_concept(coding: str, code: str) -> str:
    """Name the concept that is a code itself, whatever it means.

    >>> code_concept("scp-ecg", "NDT"), code_concept("own-labels", "AF")
    ('code:scp-ecg:NDT', 'own:AF')
    """
    return own_concept(code) if coding == OWN_LABELS else f"{_CODE}{coding}:{code}"


def is_code(concept: str) -> bool:
    """Say whether a concept is a code itself."""
    return concept.startswith(_CODE)


def implied_by(concept: str) -> Mapping[str, str]:
    """List what follows from a concept, itself included, each with its certainty.

    An own label implies nothing else, nor does a code.
    """
    if is_own(concept) or is_code(concept):
        return {concept: DEFINITE}
    return load_knowledge().implied[concept]


class _Statement(NamedTuple):
    """A code, its likelihood in per cent, 0 where none is stated, and whether it has modifiers."""

    code: str
    likelihood: float
    is_modified: bool = False


_STATEMENT = re.compile(r"(?P<code>\S+)(?: (?P<likelihood>\d+(?:\.\d+)?))?")


@dataclass(frozen=True)
class Coding:
    """One coding: what its lines are, and which concept each means.

    Attributes
    ----------
    name
        As in the column ``coding`` of `MACHINE_REPORTS`.
    rule
        Rule of its evidence.
    kind, of
        What a code of it is called, and where such codes stand as it follows on that.
    file
        YAML file with its codes; None for report text and own labels, which have none.
    has_likelihood
        Whether a line is a code and its likelihood in per cent, as ``AFIB 80``.
    modifiers
        What a line may have behind its code, without being another one.
    pattern
        What any code of it looks like, of one that has more codes than a file would list.
    n_category
        Characters of a category, which a longer code is a part of; 0 where codes have no parts.
    """

    name: str
    rule: str
    kind: str
    of: str = ""
    file: Path | None = None
    has_likelihood: bool = False
    modifiers: str = ""
    pattern: str = ""
    n_category: int = 0

    @cached_property
    def table(self) -> Mapping[str, Any]:
        """Content of its file, empty without one; see `read_coding`.

        Raises
        ------
        ValueError
            When the file cannot be read or is no such table, or names an unknown concept.
        """
        if self.file is None:
            return {"codes": {}}
        content = parse_yaml(self.file.read_text(encoding="utf-8-sig"))
        table: Mapping[str, Any] = content if isinstance(content, Mapping) else {}
        codes = table.get("codes")
        if not isinstance(codes, Mapping) or not codes:
            raise ValueError(f"{self.file}: expected a mapping `codes` with a code or more.")
        named = {str(concept) for concept in codes.values() if concept is not None}
        unknown = sorted(named - set(load_knowledge().wordings))
        if unknown:
            raise ValueError(f"{self.file} names concepts that concepts.yaml lacks: {unknown}.")
        return table

    @cached_property
    def codes(self) -> Mapping[str, str]:
        """Code to concept, which is the code itself where its file names none.

        There are none of report text and of own labels.
        """
        table: Mapping[str, str | None] = self.table["codes"]
        return {code: concept or code_concept(self.name, code) for code, concept in table.items()}

    @property
    def notes(self) -> Mapping[str, Mapping[str, str]]:
        """Where its codes and labels differ in meaning, as its file says."""
        notes: Mapping[str, Mapping[str, str]] = self.table.get("notes") or {}
        return notes

    @cached_property
    def concepts(self) -> frozenset[str]:
        """Concepts that it has codes for, and what these imply; none of report text."""
        return frozenset(c for concept in self.codes.values() for c in implied_by(concept))

    def is_code(self, text: str) -> bool:
        """Say whether a text is a code of it.

        >>> find_coding("icd-10-cm").is_code("I4891"), find_coding("snomed-ct").is_code("I4891")
        (True, False)
        """
        return text in self.codes or bool(self.pattern and re.fullmatch(self.pattern, text))

    def list_codes(
        self, own_labels: Sequence[str] = (), named: Sequence[str] = ()
    ) -> Mapping[str, str]:
        """Give the concept of each code; of report text of each concept's name.

        Parameters
        ----------
        own_labels
            What the codes of own labels are.
        named
            Concepts of a label set: those that are codes count, of a coding without a list.
        """
        if self.pattern:
            start = code_concept(self.name, "")
            return {c.removeprefix(start): c for c in named if c.startswith(start)}
        if self.name == OWN_LABELS:
            return {name: own_concept(name) for name in own_labels}
        if self.name == REPORT_TEXT:
            return {name: name for name in load_knowledge().wordings}
        return {code: concept for code, concept in self.codes.items() if code != NO_LABEL}

    def read(self, line: str) -> LineReading:
        """Read a line: of text what it says, else the concept of its code.

        A code that the table lacks is left unread. A likelihood of 0 is one that is not known,
        as PTB-XL writes it (https://doi.org/10.13026/kfzx-aw45) for rhythms; such a statement
        is taken as stated without reserve.

        >>> find_coding("scp-ecg").read("AMI 35").mentions[0].probability
        0.35
        >>> find_coding("scp-ecg").read("AFIB 0").mentions[0].probability
        1.0
        >>> find_coding("snomed-ct").read("1").unread
        ('1',)
        >>> find_coding("own-labels").read("AF").mentions[0].concept
        'own:AF'
        """
        if self.name == REPORT_TEXT:
            return read_line(line)
        if split_measured(line) is not None:
            return LineReading((), ())  # no finding: see `ecg_assets.labels.measured`
        if self.name == OWN_LABELS:
            name = "" if line == NO_LABEL else line
            return LineReading((Mention(own_concept(name), line, self.rule, 1.0),), ())
        statement = self._parse(line)
        concept = self.codes.get(statement.code) if statement else None
        if statement is None or concept is None:
            return self._leave_unread(line, statement)
        probability = min(statement.likelihood / 100 or 1.0, 1.0)
        return LineReading((Mention(concept, statement.code, self.rule, probability),), ())

    def read_code(
        self,
        line: str,
        *,
        least_likelihood: float = 0.0,
        without_modifiers: bool = False,
        digits: int | None = None,
        ancestors: bool = False,
    ) -> LineReading:
        """Read a line as the code that it is, whatever that means.

        Parameters
        ----------
        least_likelihood
            Per cent from which a statement counts, with probability 1; others have 0. It is
            compared with what is written: 0, which PTB-XL has for an unknown one, is least.
        without_modifiers
            Whether a statement with modifiers does not count.
        digits, ancestors
            As `cut_code` takes them.

        >>> find_coding("scp-ecg").read_code("NDT 0").mentions[0][:4:3]
        ('code:scp-ecg:NDT', 1.0)
        >>> find_coding("scp-ecg").read_code("NDT 0", least_likelihood=50).mentions[0].probability
        0.0
        >>> find_coding("aha").read_code("50+346").mentions[0][:4:3]
        ('code:aha:50', 1.0)
        """
        if self.name == OWN_LABELS or split_measured(line) is not None:
            return self.read(line)
        statement = self._parse(line)
        is_known = statement and (statement.code == NO_LABEL or self.is_code(statement.code))
        if statement is None or not is_known:
            return self._leave_unread(line, statement)
        counts = not self.has_likelihood or statement.likelihood >= least_likelihood
        counts = counts and not (without_modifiers and statement.is_modified)
        found = self.cut_code(statement.code, digits=digits, ancestors=ancestors)
        return LineReading(
            tuple(
                Mention(code_concept(self.name, code), statement.code, self.rule, float(counts))
                for code in found
            ),
            (),
        )

    def cut_code(
        self, code: str, *, digits: int | None = None, ancestors: bool = False
    ) -> tuple[str, ...]:
        """Cut a code of several levels, and add those that it is a part of.

        Parameters
        ----------
        digits
            Characters that are kept; an X at the end, which holds a place, goes, too. None: all.
        ancestors
            Whether its category and all codes between count as well.

        >>> find_coding("icd-10-cm").cut_code("I48911", digits=5, ancestors=True)
        ('I48', 'I489', 'I4891')
        >>> find_coding("icd-10-cm").cut_code("W19XXXA", digits=5)
        ('W19',)
        """
        if code == NO_LABEL or (digits is None and not ancestors):
            return (code,)
        cut = code[:digits].rstrip("X")
        shortest = self.n_category if ancestors else len(cut)
        return tuple(cut[:n] for n in range(shortest, len(cut) + 1))

    def _parse(self, line: str) -> _Statement | None:
        """Take a line apart; None where it is no code with its likelihood."""
        if self.modifiers:
            code = re.sub(f"(?:{self.modifiers})+$", "", line.strip())
            return _Statement(code, 0.0, code != line.strip())
        if not self.has_likelihood:
            return _Statement(line.strip(), 0.0)
        found = _STATEMENT.fullmatch(line.strip())
        return found and _Statement(found["code"], float(found["likelihood"] or 0))

    def _leave_unread(self, line: str, statement: _Statement | None) -> LineReading:
        unread = statement.code if statement else line.strip()
        return LineReading((), (unread,) if unread or statement is None else ())


_BUILT_IN = (
    Coding(REPORT_TEXT, "", "wording", " of report text"),
    Coding(
        "snomed-ct",
        "snomed-ct code",
        "SNOMED CT code",
        " of the PhysioNet challenge",
        ROOM / "snomed_ct.yaml",
    ),
    Coding(
        "scp-ecg",
        "scp-ecg code",
        "SCP-ECG statement",
        " of PTB-XL",
        ROOM / "scp_ecg.yaml",
        has_likelihood=True,
    ),
    Coding("code-15", "code-15 column", "CODE-15 column", file=ROOM / "code_15.yaml"),
    Coding(
        "aha",
        "aha statement",
        "AHA statement",
        " of SPH and ZZU pECG",
        ROOM / "aha.yaml",
        modifiers=r"\+3\d\d",
    ),
    Coding(OWN_LABELS, "own label", "column", " of labels.csv"),
    Coding(
        "condition-folder",
        "condition folder",
        "folder",
        " of condition-folders",
        ROOM / "condition_folders.yaml",
    ),
    Coding(
        "icd-10-cm",
        "icd-10-cm code",
        "ICD-10-CM code",
        " of MIMIC-IV-ECG-Ext-ICD",
        pattern=r"[A-Z][0-9A-Z]{2,6}",  # as MIMIC-IV writes them, without a point
        n_category=3,
    ),
)

_NOTES = ("withheld", "concepts", "codes")
_KEYS = ("codes", "kind", "of", "has_likelihood", "notes")


def read_coding(name: str, file: Path) -> Coding:
    """Read the coding of another package.

    Parameters
    ----------
    name
        As the entry point has it.
    file
        YAML: ``codes`` maps each code to a concept of ``concepts.yaml``, or to nothing where
        there is none: label sets that name codes can use it. `NO_LABEL` stands there as well if
        recordings without a label have that line. Optional are ``kind`` and ``of`` (texts) and
        ``has_likelihood``, as `Coding` says, and ``notes``, as ``crosswalk_notes.yaml`` has them.

    Raises
    ------
    ValueError
        When the file cannot be read, or holds something else.
    """
    table = Coding(name, "", "", file=file).table
    for keys, allowed in ((table, _KEYS), (table.get("notes") or (), _NOTES)):
        if unknown := sorted(set(keys) - set(allowed)):
            raise ValueError(f"{file}: unknown keys {unknown}; allowed: {', '.join(allowed)}.")
    of = f" {table['of']}" if table.get("of") else ""
    kind = str(table.get("kind", f"{name} code"))
    return Coding(name, f"{name} code", kind, of, file, bool(table.get("has_likelihood")))


@lru_cache(maxsize=1)
def _brought() -> EntryPoints[Coding]:
    return find_entry_points(GROUP, Path, read_coding)


@lru_cache(maxsize=1)
def codings() -> Mapping[str, Coding]:
    """Give every coding by its name; no package replaces a built-in one."""
    found = {coding.name: coding for coding in _BUILT_IN}
    for name, coding in _brought().found.items():
        found.setdefault(name, coding)
    return found


def find_coding(name: str) -> Coding:
    """Give a coding by its name.

    Raises
    ------
    SchemaError
        When it is unknown; the message has the known ones, and what is wrong with the package
        that brings it.
    """
    if name not in codings():
        fault = _brought().faults.get(name)
        raise SchemaError(
            f"machine_reports: coding is {name!r}; expected one of {', '.join(codings())}."
            + (f" {fault}" if fault else "")
        )
    return codings()[name]


def vocabulary_fingerprint(folder: Path = ROOM) -> str:
    """Fingerprint of the tables that decide how reports and codes are read.

    They are all YAML files in and below a folder, this room's: a new file counts without being
    named; and the codings of other packages. Names count as content does, so that two files
    that change places are others. Label sets of studies do not count: each is read by those alone
    who ask for it (`ecg_assets.labels.label_set.fingerprint_label_set`).
    """
    found = (path for path in folder.rglob("*.yaml") if path.parent != folder / STUDIES)
    tables = {path.relative_to(folder).as_posix(): path for path in found}
    tables |= {f"coding {c.name}": c.file for c in _brought().found.values() if c.file}
    return fingerprint_json(
        {name: fingerprint_bytes(path.read_bytes()) for name, path in tables.items()}
    )


# What a reading means for the labels of a vocabulary.


class Reason(NamedTuple):
    """Why a concept that is asked for is true, uncertain or rejected.

    Attributes
    ----------
    cue
        The words that hedge or reject it; empty where it is stated.
    """

    concept: str
    matched: str
    rule: str
    probability: float
    cue: str = ""


def read_distinct(line: DistinctLine) -> LineReading:
    """Read a line by its coding; raises `SchemaError` when that is unknown."""
    return find_coding(line.coding).read(line.text)


def find_reasons(reading: LineReading, concepts: Collection[str]) -> list[Reason]:
    """List reasons for the concepts asked for, of a line's mentions and what they imply.

    >>> from ecg_assets.labels.reading import read_line
    >>> print(*find_reasons(read_line("?Sinus bradycardia"), ["Bradycardia"])[0], sep=" | ")
    Bradycardia | sinus bradycardia | possible | 0.6 | ?
    """
    reasons = {
        Reason(concept, mention.matched, *_verdict(mention, certainty)): None
        for mention in reading.mentions
        for concept, certainty in implied_by(mention.concept).items()
        if concept in concepts
    }
    return list(reasons)


@lru_cache(maxsize=1)
def _code_rules() -> frozenset[str]:
    """Rules that a certainty does not replace: the code is the reason."""
    return frozenset(coding.rule for coding in codings().values() if coding.rule)


def _verdict(mention: Mention, certainty: str) -> tuple[str, float, str]:
    """Rule, probability and cue of what a mention implies with this certainty."""
    ceiling = load_knowledge().uncertainty[certainty]
    if mention.probability <= ceiling:
        return mention.rule, mention.probability, mention.cue
    return mention.rule if mention.rule in _code_rules() else certainty, ceiling, ""
