"""All phrases that a report is read by, and the search for them in a statement."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, NamedTuple

from ecg_assets.labels.knowledge import Knowledge, load_knowledge
from ecg_assets.labels.words import Spelling, Word
from ecg_assets.labels.yaml_tables import read_table

NEGATED = "negated"
HISTORY = "history"
COMPARISON = "comparison"


class Kind(Enum):
    """What a phrase does in a statement."""

    CONCEPT = "concept"
    CUE = "cue"
    ALTERNATIVE = "alternative"
    SOFT_BARRIER = "soft barrier"
    HARD_BARRIER = "hard barrier"
    QUALIFIER = "qualifier"
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
_NUMBER = Meaning(Kind.FILLER)
_END = ""  # no word is empty, so this key of a trie's node holds the phrase that ends there
_SIDES = ("before", "after", "both")


class Lexicon:
    """Phrases as a trie over words; the longest phrase wins.

    Parameters
    ----------
    spelling
        Makes the words of phrases and statements alike.
    phrases
        Pairs of phrase and meaning. A comma inside a phrase may be absent in a statement.

    Raises
    ------
    ValueError
        When a phrase has two meanings.
    """

    def __init__(self, spelling: Spelling, phrases: Iterable[tuple[str, Meaning]]) -> None:
        self.spelling = spelling
        self._trie: dict[str, Any] = {}
        for phrase, meaning in phrases:
            stems = tuple(word.stem for word in spelling.words(phrase))
            self._insert(stems, meaning, phrase)
            if len(stems) > 1 and "," in stems:
                self._insert(tuple(stem for stem in stems if stem != ","), meaning, phrase)

    def find_spans(self, statement: str) -> list[Span]:
        """Cover a statement with phrases from left to right, the longest first."""
        words = self.spelling.words(statement)
        spans = []
        position = 0
        while position < len(words):
            size, meaning = self._longest(words, position)
            texts = (word.text for word in words[position : position + size])
            spans.append(Span(meaning, " ".join(filter(None, texts))))
            position += size
        return spans

    def _longest(self, words: Sequence[Word], start: int) -> tuple[int, Meaning]:
        first = words[start].stem
        best = (1, _NUMBER if first.replace(":", "").isdigit() else _UNKNOWN)
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
    return Lexicon(spelling, phrases)


def _concept_phrases(knowledge: Knowledge) -> Iterator[tuple[str, Meaning]]:
    for concept, wordings in knowledge.wordings.items():
        for wording in wordings:
            for phrase in knowledge.expand(wording):
                yield phrase, Meaning(Kind.CONCEPT, concept)


def _wording_phrases(knowledge: Knowledge, table: dict[str, Any]) -> Iterator[tuple[str, Meaning]]:
    for section, name in (("negations", NEGATED), ("history", HISTORY), ("comparison", COMPARISON)):
        for entry in table[section]:
            yield from _cue_phrases(knowledge, entry, name)
    for entry in table["hedges"]:
        if entry["means"] not in knowledge.uncertainty:
            raise ValueError(f"wording.yaml: {entry['means']!r} has no place in `uncertainty`.")
        yield from _cue_phrases(knowledge, entry, entry["means"])
    for section, kind in (
        ("alternatives", Kind.ALTERNATIVE),
        ("soft barriers", Kind.SOFT_BARRIER),
        ("hard barriers", Kind.HARD_BARRIER),
        ("qualifiers", Kind.QUALIFIER),
        ("fillers", Kind.FILLER),
    ):
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
