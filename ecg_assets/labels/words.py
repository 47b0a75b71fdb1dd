"""A report line to statements, and a statement to words that can be compared.

Accents of typography, frames of stars and dashes, hyphens, plurals and known spelling variants
are taken away here; nothing later sees them. Case is kept in statements, where capitals can tell
an abbreviation from a word, and taken away in words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

DASH = "–"
"""Stands for a hyphen with a space before it, which splits a statement into clauses."""

_ABBREVIATIONS = (
    r"\b(dr|mr|mrs|vent|abnorm|poss|prob|undeterm|indeterm|inf|ant|lat|sept|post|rt|lt"
    r"|atr|prem|incompl|compl|intermit|supraven|pat|pt|ca|approx)\."
)

_DEGREE = re.compile(r"(?<!\w)(?:([123])\s*[°º*](?![*°º])|(i{1,3})\s?[°º](?![*°º]))", re.IGNORECASE)

_CLEANING = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"[\"'`´‘’“”]", ""),
        (r"\((?:s|es)\)", ""),
        (r"[()\[\]{}=*_#|]", " "),
        (r"\?{2,}", "?"),
        (r">", " greater than "),
        (r"<", " less than "),
        (r"[&+]", " and "),
        (r"@", " at "),
        (r"\b(?:[a-z]\.){2,}", lambda match: match.group().replace(".", "")),
        (_ABBREVIATIONS, r"\1 "),
        # "R. bundle branch block", "S. tach", "A. fib"
        (r"\b([rlsav])\.(?=\s*(?:bundle|bbb|tach|brad|fib|flut|pac|rate))", r"\1 "),
        (r"(\d)(?=bpm\b)", r"\1 "),
        (r"[–—−]", "-"),
        (r"-{2,}", " "),
        (r"(?:(?<=\s)|^)-(?=[\s?]|$)", DASH),
        (r"-", " "),
        (r"\s+", " "),
    )
)

_LINE_END = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
# A dot ends a sentence before a space, and between two words written together; several in a row
# are a leader.
_SENTENCE_END = re.compile(r"[;!]+|\.{2,}|\.(?=\s|$)|(?<=[a-z]{3})\.(?=[a-z]{3})", re.IGNORECASE)
# What a cart prints behind a leader, to say why: "QRSd>120, terminal axis(90,270)".
_CRITERIA = re.compile(
    r"(?<!\.)\.{3,}[^.;]*?(?:[<>]|\d\s*(?:ms|mv)\b|\baxis\s*\(|\bv-?rate\b)[^;]*", re.IGNORECASE
)
_WORD = re.compile(rf"\d+[:.]\d+|[^\W_]+|[,:/?{DASH}]")


class Word(NamedTuple):
    """A word as it is compared, and as it is written."""

    stem: str
    text: str


def split_statements(line: str) -> list[str]:
    """Split a report line into cleaned statements, in their order.

    >>> split_statements("*** Sinus rhythm; PVC(s) ***")
    ['Sinus rhythm', 'PVC']
    >>> split_statements("- I.V. conduction defect. Rate 60.5")
    ['IV conduction defect', 'Rate 60.5']
    >>> split_statements("RBBB......QRSd>120, terminal axis(90,270)")
    ['RBBB']
    """
    statements = []
    for part in _LINE_END.split(line):
        cleaned = _clean(_CRITERIA.sub("", part))
        statements += [s.strip(f" .,:/{DASH}") for s in _SENTENCE_END.split(cleaned)]
    return [statement for statement in statements if any(c.isalpha() for c in statement)]


@dataclass(frozen=True)
class Spelling:
    """Which spellings are the same word.

    Attributes
    ----------
    stems
        Spelling to the word it stands for.
    rewrites
        Sequences of up to three words to the words they stand for.
    """

    stems: Mapping[str, str]
    rewrites: Mapping[tuple[str, ...], tuple[str, ...]]

    def words(
        self, statement: str, correct: Callable[[str], tuple[str, ...]] | None = None
    ) -> list[Word]:
        """Split a statement into words and punctuation marks.

        Parameters
        ----------
        statement
            As `split_statements` gives it, or a phrase of the vocabulary.
        correct
            Gives the words that an unknown one is meant to be.

        >>> [word.stem for word in Spelling({}, {("a", "v"): ("av",)}).words("A-V blocks, old")]
        ['av', 'block', ',', 'old']
        """
        words: list[Word] = []
        for text in _WORD.findall(_clean(statement).casefold()):
            stem = self._stem(text)
            stems = correct(stem) if correct else (stem,)
            words += [Word(part, "" if i else text) for i, part in enumerate(stems)]
        return self._rewrite(words)

    def _stem(self, text: str) -> str:
        if text in self.stems:
            return self.stems[text]
        singular = _singular(text)
        return self.stems.get(singular, singular)

    def _rewrite(self, words: list[Word]) -> list[Word]:
        result: list[Word] = []
        position = 0
        while position < len(words):
            size, stems = self._rewriting_at(words, position)
            # The written text of all replaced words stays with the first.
            texts = (word.text for word in words[position : position + size])
            text = " ".join(filter(None, texts))
            result += [Word(stem, "" if i else text) for i, stem in enumerate(stems)]
            position += size
        return result

    def _rewriting_at(self, words: list[Word], position: int) -> tuple[int, tuple[str, ...]]:
        for size in (3, 2, 1):
            key = tuple(word.stem for word in words[position : position + size])
            if key in self.rewrites:
                return size, self.rewrites[key]
        return 1, (words[position].stem,)


def _clean(text: str) -> str:
    # Before NFKC, which would make a letter of one of the degree signs.
    text = _DEGREE.sub(lambda match: f"{match[1] or match[2]} degree ", text)
    text = unicodedata.normalize("NFKC", text)
    for pattern, replacement in _CLEANING:
        text = pattern.sub(replacement, text)
    return text.strip()


def _singular(word: str) -> str:
    """Drop a plural's ending; the same for a report and for the vocabulary."""
    if word[:-1].isdecimal() and word.endswith("s"):
        return word[:-1]  # "in the 40s"
    if len(word) <= 3 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-2] if word.endswith("xes") else word[:-1]
