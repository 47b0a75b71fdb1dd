"""Read a report line: which concepts it mentions, and how certainly it tells them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from ecg_assets.labels.concepts import DEFINITE, Knowledge, load_knowledge, read_table
from ecg_assets.labels.lexicon import Kind, Meaning, Span, load_lexicon
from ecg_assets.labels.scope import REJECTIONS, Scope, nearest_concept
from ecg_assets.labels.words import split_statements

# Whether a statement is English: Latin words alone would make findings of any language.


_WORD = re.compile(r"[^\W\d_]+")


class _Languages(NamedTuple):
    """Words that tell a language, and parts of words that do."""

    english: frozenset[str]
    titles: frozenset[str]
    other: frozenset[str]
    parts: re.Pattern[str]


def is_english(statement: str) -> bool:
    """Say whether a statement is taken for English: unless more of its words tell otherwise.

    Words of other languages are listed in ``wording.yaml``. Words with accents count as well, but
    one alone is a name; letters of other scripts tell by themselves. Words that languages share
    tell nothing, nor does a statement with a title.

    >>> is_english("Sinus rhythm"), is_english("Sinusrhythmus"), is_english("kein Infarkt")
    (True, False, False)
    >>> is_english("Dr. José Núñez"), is_english("ST elevation 150 μV"), is_english("窦性心律")
    (True, True, False)
    """
    languages = _load_languages()
    words = _WORD.findall(statement.casefold())
    unusual = [word for word in words if not word.isascii()]
    accented = sum(any(map(_is_latin, word)) and not _is_unit(word) for word in unusual)
    foreign_script = sum(len(w) > 1 and not any(map(_is_latin, w)) for w in unusual)
    plain = [_without_accents(word) for word in words]
    listed = sum(
        not languages.other.isdisjoint((word, bare)) or bool(languages.parts.search(word))
        for word, bare in zip(words, plain, strict=True)
    )
    is_name = accented == 1 or languages.titles.intersection(words)
    told = listed + foreign_script + (0 if is_name and not listed else accented)
    return told <= sum(word in languages.english for word in words)


def _without_accents(word: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))


def _is_latin(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith("LATIN")


def _is_unit(word: str) -> bool:
    """Say whether the word's only letter beyond ASCII is a mu: µV."""
    return word.replace("μ", "").isascii()


@lru_cache(maxsize=1)
def _load_languages() -> _Languages:
    table = read_table("wording")["languages"]
    return _Languages(
        english=frozenset(table["english"]),
        titles=frozenset(table["titles"]),
        other=frozenset(table["other"]),
        parts=re.compile("|".join(table["parts of other"])),
    )


# Rates that a statement tells in numbers: "ventricular rate of 150 bpm".


SLOW_BELOW, FAST_ABOVE = 50.0, 100.0
"""Beats a minute: bradycardia and tachycardia where the words do not tell (Kusumoto et al. 2019,
doi:10.1161/CIR.0000000000000628; Surawicz et al., sinus tachycardia)."""

_LOWEST, _HIGHEST = 15.0, 350.0
_HEART_RATE = "Heart rate"
_RATE_CONCEPTS = (_HEART_RATE, "Controlled ventricular response")
_LINKS = (
    "of",
    "is",
    "at",
    "was",
    "about",
    "approximately",
    "around",
    "approx",
    "near",
    "in",
    "the",
    ":",
)
_BEFORE_A_RATE = ("at", ",", "–", ":", "with")
_LEADING_NUMBER = re.compile(r"\d+(?:\.\d+)?")  # of "130s" as well


def read_rates(spans: Sequence[Span]) -> list[Span]:
    """Make a concept of each rate and its number.

    A number without a word for rate needs its unit, or "at" and a rhythm before it and nothing
    behind it, and must not say by how much a rate has changed ("increased by 25 bpm"). Of two
    numbers ("50-90") both must be slow, or fast.
    """
    found: list[Span] = []
    position = 0
    while position < len(spans):
        size, rates = _rate_at(spans, position)
        if rates:
            text = " ".join(span.text for span in spans[position : position + size])
            found.append(Span(Meaning(Kind.CONCEPT, _name(rates)), text))
        else:
            found += spans[position : position + size]
        position += size
    return found


def _rate_at(spans: Sequence[Span], start: int) -> tuple[int, list[float]]:
    """Count the spans of a rate that begins here, and give its numbers; one span if none does."""
    position = start
    if _is_rate_word(spans[start]):
        position += 1
        while position < len(spans) and spans[position].text in _LINKS:
            position += 1
    elif start and not (spans[start - 1].text in _BEFORE_A_RATE or _has_rate(spans[start - 1])):
        return 1, []
    numbers = []
    while position < len(spans) and _is_number(spans[position]):
        numbers.append(float(_LEADING_NUMBER.findall(spans[position].text)[0]))
        position += 1
    has_unit = position < len(spans) and spans[position].kind is Kind.UNIT
    is_told = has_unit or _is_rate_word(spans[start]) or _is_of_rhythm(spans, start, position)
    if not (numbers and is_told and len(numbers) < 3 and all(map(_is_plausible, numbers))):
        return 1, []
    return position + has_unit - start, numbers


def _is_of_rhythm(spans: Sequence[Span], start: int, end: int) -> bool:
    """Say whether a number without a unit is a rhythm's rate: "atrial fibrillation at 140"."""
    is_last = end == len(spans) or spans[end].kind in (Kind.SOFT_BARRIER, Kind.HARD_BARRIER)
    return is_last and start > 1 and spans[start - 1].text == "at" and _has_rate(spans[start - 2])


def _has_rate(span: Span) -> bool:
    return span.kind is Kind.CONCEPT and span.meaning.name in load_knowledge().traits["rate"]


def _is_rate_word(span: Span) -> bool:
    is_rate_concept = span.kind is Kind.CONCEPT and span.meaning.name in _RATE_CONCEPTS
    return is_rate_concept or span.kind is Kind.RATE


def _is_number(span: Span) -> bool:
    return span.meaning == (Kind.FILLER, "number", "") and ":" not in span.text


def _is_plausible(rate: float) -> bool:
    return _LOWEST <= rate <= _HIGHEST


def _name(rates: list[float]) -> str:
    if max(rates) < SLOW_BELOW:
        return "Slow rate"
    return "Fast rate" if min(rates) > FAST_ABOVE else _HEART_RATE


STATED = "stated"
ALTERNATIVE = "alternative"


class Verdict(NamedTuple):
    """How certainly a concept is told, by which rule, and by which words of the statement."""

    rule: str
    probability: float
    cue: str = ""


class Mention(NamedTuple):
    """A concept that a line tells, denies or remembers.

    Attributes
    ----------
    concept
        Name out of ``concepts.yaml``.
    matched
        The line's words for it, cleaned.
    rule
        ``stated``, a certainty of ``wording.yaml``, or one of `REJECTIONS`.
    probability
        0 for the rejections.
    cue
        The words that hedge, deny, remember or compare it; empty where it is stated.
    """

    concept: str
    matched: str
    rule: str
    probability: float
    cue: str = ""


class LineReading(NamedTuple):
    """What a line says.

    Attributes
    ----------
    mentions
        Concepts that it tells, denies or remembers.
    unread
        Statements, in small letters, that name no known concept.
    foreign
        Statements in another language, in small letters. Of these nothing is read.
    n_read
        Number of statements with a concept.
    """

    mentions: tuple[Mention, ...]
    unread: tuple[str, ...]
    foreign: tuple[str, ...] = ()
    n_read: int = 0


def read_line(line: str) -> LineReading:
    """Read one report line.

    >>> for mention in read_line("Probable atrial fibrillation with PVC(s)").mentions:
    ...     print(*mention[:4], sep=" | ")
    Atrial fibrillation | atrial fibrillation | probable | 0.7
    Premature ventricular contraction | pvc | stated | 1.0
    >>> read_line("No evidence of infarct").mentions[0].cue
    'no'
    >>> read_line("Kein Infarkt").foreign
    ('kein infarkt',)
    """
    lexicon, knowledge = load_lexicon(), load_knowledge()
    mentions: list[Mention] = []
    unread: list[str] = []
    foreign: list[str] = []
    n_read = 0
    for statement in split_statements(line):
        if not is_english(statement):
            foreign.append(statement.casefold())
            continue
        found = list(_judge(read_rates(lexicon.find_spans(statement)), knowledge))
        mentions += found
        n_read += bool(found)
        if not found:
            unread.append(statement.casefold())
    return LineReading(tuple(mentions), tuple(unread), tuple(foreign), n_read)


def _judge(spans: Sequence[Span], knowledge: Knowledge) -> Iterator[Mention]:
    """Give each concept of a statement the weakest verdict that its words pass on it."""
    verdicts: dict[int, list[Verdict]] = {
        i: [Verdict(STATED, 1.0)] for i, span in enumerate(spans) if span.kind is Kind.CONCEPT
    }
    if not verdicts:
        return
    for target, rule, words in Scope(spans, knowledge.traits).pass_rules():
        probability = 0.0 if rule in REJECTIONS else knowledge.uncertainty[rule]
        verdicts[target].append(Verdict(rule, probability, words))
    pairs = _alternatives(spans)
    yield from _shared(spans, verdicts, pairs, knowledge)
    for left, right, word in pairs:
        for target in (left, right):
            verdict = Verdict(ALTERNATIVE, knowledge.uncertainty[ALTERNATIVE], word)
            verdicts[target].append(verdict)
    for i, found in verdicts.items():
        yield Mention(spans[i].meaning.name, spans[i].text, *_weakest(found))


def _weakest(verdicts: list[Verdict]) -> Verdict:
    return min(verdicts, key=lambda verdict: verdict.probability)


def _alternatives(spans: Sequence[Span]) -> list[tuple[int, int, str]]:
    """Pairs of concepts with an "or" between them in one clause, and that word."""
    pairs = []
    for i, span in enumerate(spans):
        if span.kind is Kind.ALTERNATIVE:
            before, after = nearest_concept(spans, i, -1), nearest_concept(spans, i, 1)
            if before is not None and after is not None:
                pairs.append((before, after, span.text))
    return pairs


def _shared(
    spans: Sequence[Span],
    verdicts: dict[int, list[Verdict]],
    pairs: list[tuple[int, int, str]],
    knowledge: Knowledge,
) -> Iterator[Mention]:
    """Tell what both alternatives imply, as certainly as the weaker of them without the other."""
    for left, right, _ in pairs:
        verdict = _weakest(verdicts[left] + verdicts[right])
        first, second = (knowledge.implied[spans[i].meaning.name] for i in (left, right))
        text = f"{spans[left].text} or {spans[right].text}"
        for concept in first:
            if first[concept] == second.get(concept) == DEFINITE:
                yield Mention(concept, text, *verdict)
