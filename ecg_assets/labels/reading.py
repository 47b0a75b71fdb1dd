"""Read a report line: which concepts it mentions, and how certainly it tells them.

Scope follows the idea of NegEx and ConText (Chapman et al. 2001, doi:10.1006/jbin.2001.1029;
Harkema et al. 2009, doi:10.1016/j.jbi.2009.05.002): a cue speaks of the findings on its side, as
far as its clause reaches. The words and their sides are in ``wording.yaml``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ecg_assets.labels.knowledge import DEFINITE, Knowledge, load_knowledge
from ecg_assets.labels.lexicon import COMPARISON, HISTORY, NEGATED, Kind, Span, load_lexicon
from ecg_assets.labels.words import split_statements

STATED = "stated"
ALTERNATIVE = "alternative"
REJECTIONS = (NEGATED, HISTORY, COMPARISON)
"""Rules under which a mention makes no label."""

Verdict = tuple[str, float]
"""Rule and probability."""


class Mention(NamedTuple):
    """A concept that a line tells, denies or remembers.

    Attributes
    ----------
    concept
        Name out of ``concepts.yaml``.
    matched
        The line's words for it, cleaned.
    rule
        ``stated``, a certainty of ``wording.yaml``, ``negated``, ``history`` or ``comparison``.
    probability
        0 for the last three.
    """

    concept: str
    matched: str
    rule: str
    probability: float


class LineReading(NamedTuple):
    """What a line says, and the statements in it that name no known concept."""

    mentions: tuple[Mention, ...]
    unread: tuple[str, ...]


def read_line(line: str) -> LineReading:
    """Read one report line.

    >>> for mention in read_line("Probable atrial fibrillation with PVC(s)").mentions:
    ...     print(*mention, sep=" | ")
    Atrial fibrillation | atrial fibrillation | probable | 0.7
    Premature ventricular contraction | pvc | stated | 1.0
    >>> read_line("No evidence of infarct").mentions[0].rule
    'negated'
    """
    lexicon, knowledge = load_lexicon(), load_knowledge()
    mentions: list[Mention] = []
    unread: list[str] = []
    for statement in split_statements(line):
        found = list(_judge(lexicon.find_spans(statement), knowledge))
        mentions += found
        if not found:
            unread.append(statement)
    return LineReading(tuple(mentions), tuple(unread))


def _judge(spans: Sequence[Span], knowledge: Knowledge) -> Iterator[Mention]:
    """Give each concept of a statement the weakest verdict that a cue passes on it."""
    verdicts: dict[int, list[Verdict]] = {
        i: [(STATED, 1.0)] for i, span in enumerate(spans) if span.kind is Kind.CONCEPT
    }
    for i, span in enumerate(spans):
        if span.kind is Kind.CUE:
            name = span.meaning.name
            probability = 0.0 if name in REJECTIONS else knowledge.uncertainty[name]
            for target in _targets(spans, i):
                verdicts[target].append((name, probability))
    pairs = _alternatives(spans)
    yield from _shared(spans, verdicts, pairs, knowledge)
    for pair in pairs:
        for target in pair:
            verdicts[target].append((ALTERNATIVE, knowledge.uncertainty[ALTERNATIVE]))
    for i, found in verdicts.items():
        yield Mention(spans[i].meaning.name, spans[i].text, *_weakest(found))


def _weakest(verdicts: list[Verdict]) -> Verdict:
    return min(verdicts, key=lambda verdict: verdict[1])


def _targets(spans: Sequence[Span], cue: int) -> list[int]:
    """Positions of the concepts that a cue speaks of."""
    meaning = spans[cue].meaning
    if meaning.side in ("before", "both"):
        ahead = _look_ahead(spans, cue)
        if ahead or meaning.side == "before":
            return ahead
        # "infarct, possibly acute": the hedge is about what follows, which is no finding.
        if _speaks_of_something_else(spans, cue):
            return []
    return _look_back(spans, cue)


def _look_ahead(spans: Sequence[Span], cue: int) -> list[int]:
    """Concepts after a cue: the next one of its clause, and those tied to it."""
    if spans[cue].meaning.name in (HISTORY, COMPARISON):
        return [i for i in range(cue + 1, len(spans)) if spans[i].kind is Kind.CONCEPT]
    found: list[int] = []
    is_tied = True
    for i in range(cue + 1, len(spans)):
        kind = spans[i].kind
        if _is_barrier(kind) and not _goes_on_as_list(spans, i):
            break
        if kind is Kind.CONCEPT:
            if not is_tied:
                break
            found.append(i)
            is_tied = False
        elif _ties(spans[i]) or _is_barrier(kind):
            is_tied = True
    return found


def _look_back(spans: Sequence[Span], cue: int) -> list[int]:
    """Concepts before a cue: the last one, and those tied to it."""
    found: list[int] = []
    is_tied = True
    for i in range(cue - 1, -1, -1):
        kind = spans[i].kind
        if kind is Kind.HARD_BARRIER or (kind is Kind.SOFT_BARRIER and found):
            break
        if kind is Kind.CONCEPT:
            if not is_tied:
                break
            found.append(i)
            is_tied = False
        elif _ties(spans[i]):
            is_tied = True
    return found


def _speaks_of_something_else(spans: Sequence[Span], cue: int) -> bool:
    for span in spans[cue + 1 :]:
        if _is_barrier(span.kind):
            return False
        if span.kind in (Kind.QUALIFIER, Kind.UNKNOWN):
            return True
    return False


def _goes_on_as_list(spans: Sequence[Span], barrier: int) -> bool:
    """Say whether a comma stands in a list that ends in "or"."""
    if spans[barrier].text != ",":
        return False
    for span in spans[barrier + 1 :]:
        if span.kind is Kind.ALTERNATIVE:
            return True
        if span.kind is Kind.CUE or (_is_barrier(span.kind) and span.text != ","):
            return False
    return False


def _is_barrier(kind: Kind) -> bool:
    return kind in (Kind.SOFT_BARRIER, Kind.HARD_BARRIER)


def _ties(span: Span) -> bool:
    return span.kind is Kind.ALTERNATIVE or span.text in ("and", "/")


def _alternatives(spans: Sequence[Span]) -> list[tuple[int, int]]:
    """Pairs of concepts with an "or" between them, in one clause."""
    pairs = []
    for i, span in enumerate(spans):
        if span.kind is Kind.ALTERNATIVE:
            before = _nearest(spans, range(i - 1, -1, -1))
            after = _nearest(spans, range(i + 1, len(spans)))
            if before is not None and after is not None:
                pairs.append((before, after))
    return pairs


def _nearest(spans: Sequence[Span], positions: range) -> int | None:
    for i in positions:
        if _is_barrier(spans[i].kind):
            return None
        if spans[i].kind is Kind.CONCEPT:
            return i
    return None


def _shared(
    spans: Sequence[Span],
    verdicts: dict[int, list[Verdict]],
    pairs: list[tuple[int, int]],
    knowledge: Knowledge,
) -> Iterator[Mention]:
    """Tell what both alternatives imply, as certainly as the weaker of them without the other."""
    for left, right in pairs:
        verdict = _weakest(verdicts[left] + verdicts[right])
        first, second = (knowledge.implied[spans[i].meaning.name] for i in (left, right))
        text = f"{spans[left].text} or {spans[right].text}"
        for concept in first:
            if first[concept] == second.get(concept) == DEFINITE:
                yield Mention(concept, text, *verdict)
