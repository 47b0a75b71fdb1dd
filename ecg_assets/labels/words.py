"""A report line to statements, and a statement to words that can be compared.

Case, accents of typography, frames of stars and dashes, hyphens, plurals and known spelling
variants are taken away here; nothing later sees them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

DASH = "–"
"""Stands for a hyphen with a space before it, which splits a statement into clauses."""

_ABBREVIATIONS = (
    r"\b(dr|mr|mrs|vent|abnorm|approx|poss|prob|undeterm|indeterm|inf|ant|lat|sept|post)\."
)

_DEGREE = re.compile(r"(?<!\w)([123])\s*[°º*](?![*°º])")

_CLEANING = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"[\"'`´‘’“”]", ""),
        (r"\((?:s|es)\)", ""),
        (r"[()\[\]{}<=*_#|]", " "),
        (r">", " greater than "),
        (r"[&+]", " and "),
        (r"\b(?:[a-z]\.){2,}", lambda match: match.group().replace(".", "")),
        (_ABBREVIATIONS, r"\1 "),
        (r"[–—−]", "-"),
        (r"-{2,}", " "),
        (r"(?:(?<=\s)|^)-(?=[\s?]|$)", DASH),
        (r"-", " "),
        (r"\s+", " "),
    )
)

# A dot ends a sentence before a space, and between two words written together.
_SENTENCE_END = re.compile(r"[;!\n]+|\.+(?=\s|$)|(?<=[a-z]{3})\.(?=[a-z]{3})")
_WORD = re.compile(rf"\d+:\d+|[^\W_]+|[,:/?{DASH}]")


class Word(NamedTuple):
    """A word as it is compared, and as it is written."""

    stem: str
    text: str


def split_statements(line: str) -> list[str]:
    """Split a report line into cleaned lower-case statements, in their order.

    >>> split_statements("*** Sinus rhythm; PVC(s) ***")
    ['sinus rhythm', 'pvc']
    >>> split_statements("- I.V. conduction defect. Rate 60.5")
    ['iv conduction defect', 'rate 60.5']
    """
    statements = (part.strip(f" .,:/{DASH}") for part in _SENTENCE_END.split(_clean(line)))
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

    def words(self, statement: str) -> list[Word]:
        """Split a statement into words and punctuation marks.

        >>> [word.stem for word in Spelling({}, {("a", "v"): ("av",)}).words("A-V blocks, old")]
        ['av', 'block', ',', 'old']
        """
        texts = _WORD.findall(_clean(statement))
        return self._rewrite([Word(self._stem(text), text) for text in texts])

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
            text = " ".join(word.text for word in words[position : position + size])
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
    text = _DEGREE.sub(r"\1 degree ", text.casefold())
    text = unicodedata.normalize("NFKC", text)
    for pattern, replacement in _CLEANING:
        text = pattern.sub(replacement, text)
    return text.strip()


def _singular(word: str) -> str:
    """Drop a plural's ending; the same for a report and for the vocabulary."""
    if len(word) <= 3 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-2] if word.endswith("xes") else word[:-1]
