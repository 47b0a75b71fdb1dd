"""All phrases that a report is read by, and the search for them in a statement."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, NamedTuple

from ecg_assets.labels.concepts import Knowledge, load_knowledge, read_table
from ecg_assets.labels.words import Spelling, Word

# Words of reports that are one slip away from a word of the vocabulary.


SHORTEST, LONGEST = 5, 24
"""Letters of a word that is looked at: shorter ones have too many neighbours, longer ones none."""
SHORTEST_PART = 4
"""Letters of each of two words that were written as one."""


class Corrector:
    """Gives the words that a misspelt one is meant to be.

    A slip is one letter too many, too few, wrong, or swapped with the next, behind the first
    letter; or a space left out. A word with two ways to be corrected stays as it is, and so does
    one that is near no word.

    Parameters
    ----------
    known
        Words that are right, and that others may be meant to be.
    right
        Words that are right as they are.

    >>> correct = Corrector(["fibrillation", "atrial", "infarct"])
    >>> correct("fibrilation"), correct("atrialfibrillation"), correct("plugh")
    (('fibrillation',), ('atrial', 'fibrillation'), ('plugh',))
    """

    def __init__(self, known: Iterable[str], right: Iterable[str] = ()) -> None:
        self._known = frozenset(known)
        self._right = self._known.union(right)
        self._by_shortened: dict[str, list[str]] = {}
        for word in self._known:
            if len(word) >= SHORTEST and word.isalpha():
                for form in _shortened(word):
                    self._by_shortened.setdefault(form, []).append(word)
        self._found: dict[str, tuple[str, ...]] = {}

    def __call__(self, word: str) -> tuple[str, ...]:
        """Give the word itself, the one that it is near, or the two that it is made of."""
        if word in self._right or not word.isalpha() or not SHORTEST <= len(word) <= LONGEST:
            return (word,)
        if word not in self._found:
            self._found[word] = self._correct(word)
        return self._found[word]

    def _correct(self, word: str) -> tuple[str, ...]:
        forms = _shortened(word)
        near = {known for form in forms for known in self._by_shortened.get(form, ())}
        near = {known for known in near if known[0] == word[0] and _is_one_slip(known, word)}
        near -= {k for k in near if len(k) == SHORTEST and sorted(k) != sorted(word)}
        if near:
            return (near.pop(),) if len(near) == 1 else (word,)
        cuts = range(SHORTEST_PART, len(word) - SHORTEST_PART + 1)
        parts = [
            (word[:at], word[at:]) for at in cuts if self._known.issuperset((word[:at], word[at:]))
        ]
        return parts[0] if len(parts) == 1 else (word,)


def _shortened(word: str) -> Iterator[str]:
    """Give the word, and it without each of its letters: near words have one of these in common."""
    yield word
    for at in range(len(word)):
        yield word[:at] + word[at + 1 :]


def _is_one_slip(right: str, written: str) -> bool:
    longer, shorter = sorted((right, written), key=len, reverse=True)
    same = next(
        (i for i, (a, b) in enumerate(zip(longer, shorter, strict=False)) if a != b), len(shorter)
    )
    rest, other = longer[same:], shorter[same:]
    if len(longer) > len(shorter):
        return rest[1:] == other
    return rest[1:] == other[1:] or (rest[:2] == other[1::-1] and rest[2:] == other[2:])


# All phrases, and the search for them.


NEGATED = "negated"
HISTORY = "history"
COMPARISON = "comparison"
ADVISED = "advised"


class Kind(Enum):
    """What a phrase does in a statement: `wording.yaml` explains each."""

    CONCEPT = "concept"
    CUE = "cue"
    ALTERNATIVE = "alternative"
    SOFT_BARRIER = "soft barrier"
    HARD_BARRIER = "hard barrier"
    COMPARED = "compared"
    EARLIER = "earlier recording"
    SHOWING = "showing"
    PRESENT = "present"
    PERSISTING = "persisting"
    PREVIOUS = "previous"
    OWN = "own finding"
    QUALIFIER = "qualifier"
    VERB = "verb"
    RATE = "rate"
    UNIT = "rate unit"
    FILLER = "filler"
    UNKNOWN = "unknown"


class Meaning(NamedTuple):
    """What a phrase means: a concept's name, or a cue's verdict and the side it looks to."""

    kind: Kind
    name: str = ""
    side: str = ""


class Span(NamedTuple):
    """A phrase found in a statement, or a word that no phrase holds."""

    meaning: Meaning
    text: str

    @property
    def kind(self) -> Kind:
        """What the phrase does."""
        return self.meaning.kind


_UNKNOWN = Meaning(Kind.UNKNOWN)
_NUMBER = Meaning(Kind.FILLER, "number")
_END = ""  # no word is empty, so this key of a trie's node holds the phrase that ends there
_DECIMALS = {ord("."): None, ord(":"): None}
_SIDES = ("before", "after", "both", "next", "last", "heading")
_CUES_OF_RULES = (("negations", NEGATED), ("history", HISTORY), ("advice", ADVISED))
_PHRASES_OF_KINDS = (
    ("alternatives", Kind.ALTERNATIVE),
    ("soft barriers", Kind.SOFT_BARRIER),
    ("hard barriers", Kind.HARD_BARRIER),
    ("compared", Kind.COMPARED),
    ("earlier recordings", Kind.EARLIER),
    ("showing", Kind.SHOWING),
    ("present", Kind.PRESENT),
    ("persisting", Kind.PERSISTING),
    ("previous", Kind.PREVIOUS),
    ("own findings", Kind.OWN),
    ("qualifiers", Kind.QUALIFIER),
    ("verbs", Kind.VERB),
    ("rates", Kind.RATE),
    ("rate units", Kind.UNIT),
    ("fillers", Kind.FILLER),
)


class Lexicon:
    """Phrases as a trie over words; the longest phrase wins.

    Parameters
    ----------
    spelling
        Makes the words of phrases and statements alike.
    phrases
        Pairs of phrase and meaning. A comma inside a phrase may be absent in a statement.
    capitals
        Abbreviations that are words, too, each with the words that it stands for.
    right_words
        Words outside the phrases that are no misspellings.

    Raises
    ------
    ValueError
        When a phrase has two meanings.
    """

    def __init__(
        self,
        spelling: Spelling,
        phrases: Iterable[tuple[str, Meaning]],
        capitals: Mapping[str, str] | None = None,
        right_words: Iterable[str] = (),
    ) -> None:
        self.spelling = spelling
        self._trie: dict[str, Any] = {}
        known: set[str] = set()
        for phrase, meaning in phrases:
            stems = tuple(word.stem for word in spelling.words(phrase))
            known.update(stems)
            self._insert(stems, meaning, phrase)
            if len(stems) > 1 and "," in stems:
                self._insert(tuple(stem for stem in stems if stem != ","), meaning, phrase)
        known.update(stem for written in spelling.rewrites for stem in written)
        self._known = frozenset(known)
        self._correct = Corrector(known, right_words)
        self._capitals = {
            written: tuple(word.stem for word in spelling.words(phrase))
            for written, phrase in (capitals or {}).items()
        }

    def find_spans(self, statement: str) -> list[Span]:
        """Cover a statement with phrases from left to right, the longest first."""
        words = self._write_out(statement, self.spelling.words(statement, self._correct))
        spans = []
        position = 0
        while position < len(words):
            size, meaning = self._longest(words, position)
            texts = (word.text for word in words[position : position + size])
            spans.append(Span(meaning, " ".join(filter(None, texts))))
            position += size
        return spans

    def _write_out(self, statement: str, words: list[Word]) -> list[Word]:
        """Replace the abbreviations of a statement that tells capitals from other letters.

        One in capitals throughout, or without any, tells nothing: there the others must all be
        words of the vocabulary ("MAT WITH RVR", not "PAT MOVED").
        """
        found = {text for text in self._capitals if text.casefold() in {w.text for w in words}}
        tells = statement not in (statement.upper(), statement.lower())
        if tells:
            found = {text for text in found if re.search(rf"\b{text}\b", statement)}
        if not found or not (tells or self._knows_all_but(found, words)):
            return words
        stems = {text.casefold(): self._capitals[text] for text in found}
        return [
            Word(stem, "" if i else word.text)
            for word in words
            for i, stem in enumerate(stems.get(word.text, (word.stem,)))
        ]

    def _knows_all_but(self, abbreviations: Iterable[str], words: Sequence[Word]) -> bool:
        spared = {text.casefold() for text in abbreviations}
        return all(w.stem in self._known or w.text in spared or _is_number(w.stem) for w in words)

    def _longest(self, words: Sequence[Word], start: int) -> tuple[int, Meaning]:
        first = words[start].stem
        best = (1, _NUMBER if _is_number(first) else _UNKNOWN)
        node = self._trie
        for position in range(start, len(words)):
            node = node.get(words[position].stem, {})
            if not node:
                break
            if _END in node:
                best = (position - start + 1, node[_END])
        return best

    def _insert(self, stems: tuple[str, ...], meaning: Meaning, phrase: str) -> None:
        node = self._trie
        for stem in stems:
            node = node.setdefault(stem, {})
        found = node.setdefault(_END, meaning)
        if found != meaning:
            raise ValueError(f"The phrase {phrase!r} means {found} and {meaning}; it may mean one.")


def _is_number(word: str) -> bool:
    return word.translate(_DECIMALS).isdecimal()


@lru_cache(maxsize=1)
def load_lexicon() -> Lexicon:
    """Build the lexicon of ``concepts.yaml`` and ``wording.yaml``."""
    knowledge = load_knowledge()
    table = read_table("wording")
    spelling = Spelling(
        stems={str(word): str(stem) for word, stem in table["spellings"].items()},
        rewrites={
            tuple(str(words).split()): tuple(str(stems).split())
            for words, stems in table["rewrites"].items()
        },
    )
    phrases = itertools.chain(_concept_phrases(knowledge), _wording_phrases(knowledge, table))
    return Lexicon(spelling, phrases, table["capitals"], table["right words"])


def _concept_phrases(knowledge: Knowledge) -> Iterator[tuple[str, Meaning]]:
    for concept, wordings in knowledge.wordings.items():
        for wording in wordings:
            for phrase in knowledge.expand(wording):
                yield phrase, Meaning(Kind.CONCEPT, concept)


def _wording_phrases(knowledge: Knowledge, table: dict[str, Any]) -> Iterator[tuple[str, Meaning]]:
    for section, name in _CUES_OF_RULES:
        for entry in table[section]:
            yield from _cue_phrases(knowledge, entry, name)
    for entry in table["hedges"]:
        if entry["means"] not in knowledge.uncertainty:
            raise ValueError(f"wording.yaml: {entry['means']!r} has no place in `uncertainty`.")
        yield from _cue_phrases(knowledge, entry, entry["means"])
    for section, kind in _PHRASES_OF_KINDS:
        for wording in table[section]:
            for phrase in knowledge.expand(wording):
                yield phrase, Meaning(kind)


def _cue_phrases(
    knowledge: Knowledge, entry: dict[str, Any], name: str
) -> Iterator[tuple[str, Meaning]]:
    if entry["side"] not in _SIDES:
        raise ValueError(f"wording.yaml: side is {entry['side']!r}; allowed: {_SIDES}.")
    for wording in entry["words"]:
        for phrase in knowledge.expand(wording):
            yield phrase, Meaning(Kind.CUE, name, entry["side"])
