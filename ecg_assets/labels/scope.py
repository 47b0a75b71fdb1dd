"""Which findings of a statement a cue speaks of.

The idea is that of NegEx and ConText (Chapman et al. 2001, doi:10.1006/jbin.2001.1029; Harkema et
al. 2009, doi:10.1016/j.jbi.2009.05.002): a cue speaks of the findings on its side, as far as its
clause reaches. The words and their sides are in ``wording.yaml``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from ecg_assets.labels.lexicon import ADVISED, COMPARISON, HISTORY, NEGATED, Kind, Span

REJECTIONS = (NEGATED, HISTORY, COMPARISON, ADVISED)
"""Rules under which a mention makes no label."""

REACH = 60
"""Phrases that a cue can see on one side: no clause is longer, and reading stays linear."""

_PAST = (HISTORY, COMPARISON)
_DATE = re.compile(
    r"(?:on|in|of|from) (?:\d{1,2} ?/|(?:\d{1,2} )?(?:[a-z]+ )?(?:19|2[0-2])\d\d(?!\d))"
)
"""When an earlier recording was made: "in 2009", "on 3/4/2011", "on 03-JAN-2110"."""
_WAS = ("was", "were", "had been")
_ARTICLES = ("the", "a", "an", "of", "his", "her")
_ANSWERS = (":", "?", "–")
"""What stands between a question and its answer: "pacemaker: none"."""
_KINDS = ("rhythm", "conduction", "ischemia", "pacing", "quality")
_SAID = (Kind.OWN, Kind.PRESENT, Kind.PERSISTING)
_BACKGROUND = (Kind.FILLER, Kind.QUALIFIER, Kind.UNIT, Kind.OWN, Kind.VERB, Kind.SHOWING)


class Passed(NamedTuple):
    """A rule that some words pass on a concept."""

    target: int
    rule: str
    words: str


class Scope:
    """The reach of each cue of a statement.

    Parameters
    ----------
    spans
        The statement, covered with phrases.
    traits
        Concepts that are ``normal`` (no list denies them beside findings), a ``scar`` (an earlier
        one is still seen), an ``attribute`` (goes with the finding before it), a ``device`` (can
        be advised), or say that things are ``persisting``.
    """

    def __init__(self, spans: Sequence[Span], traits: Mapping[str, frozenset[str]]) -> None:
        self._spans = spans
        self._traits = traits

    def pass_rules(self) -> Iterator[Passed]:
        """Give each rule that a cue, a comparison or a word like "previous" passes on a concept."""
        for i, span in enumerate(self._spans):
            for target, rule in self._of_span(i, span.kind):
                if not (rule in _PAST and self._persists(target)):
                    yield Passed(target, rule, span.text)

    def _of_span(self, i: int, kind: Kind) -> Iterator[tuple[int, str]]:
        if kind is Kind.CUE:
            yield from self._of_cue(i)
        elif kind is Kind.EARLIER:
            yield from self._of_earlier_recording(i)
        elif kind is Kind.COMPARED:
            yield from ((target, COMPARISON) for target in self._compared(i))
        elif kind is Kind.PREVIOUS and not self._follows_comparison(i):
            target = self._next_concept(i)
            if target is not None and not self._is_a("scar", target):
                yield target, HISTORY
        elif kind is Kind.VERB and self._spans[i].text in _WAS and self._tells_of_now_elsewhere(i):
            target = self._next_concept(i)
            if target is not None:
                yield target, HISTORY

    # ---- cues

    def _of_cue(self, cue: int) -> Iterator[tuple[int, str]]:
        name = self._spans[cue].meaning.name
        for target in self._targets(cue):
            is_device = self._is_a("device", target)
            if name == ADVISED and target < cue and not (is_device and self._touches(target, cue)):
                continue
            yield target, ADVISED if name == "consider" and is_device else name

    def _targets(self, cue: int) -> list[int]:
        """Positions of the concepts that a cue speaks of."""
        side, name = self._spans[cue].meaning.side, self._spans[cue].meaning.name
        if side in ("next", "last"):
            beside = cue + 1 if side == "next" else cue - 1
            return [beside] if self._kind(beside) is Kind.CONCEPT else []
        if side == "heading":
            return list(self._listed_under(cue))
        if side in ("before", "both"):
            ahead = self._look_ahead(cue)
            if ahead or (side == "before" and not self._is_answer(cue)):
                return ahead
            # "infarct, possibly acute": the hedge is about what follows, which is no finding.
            if side == "both" and self._speaks_of_something_else(cue):
                return []
        # "not seen on the previous tracing" tells that it is new.
        is_of_the_past = self._is_about_the_past(cue + 1) and name == NEGATED
        voided = name == HISTORY and self._is_denied(cue)
        return [] if is_of_the_past or voided else self._look_back(cue, name)

    def _touches(self, i: int, j: int) -> bool:
        """Say whether nothing but words of little weight stands between two places."""
        return all(span.kind in (Kind.FILLER, Kind.VERB) for span in self._spans[i + 1 : j])

    def _listed_under(self, heading: int) -> Iterator[int]:
        for i in self._after(heading):
            if self._spans[i].kind in (Kind.PRESENT, Kind.HARD_BARRIER):
                return
            if self._spans[i].kind is Kind.CONCEPT:
                yield i

    def _is_answer(self, cue: int) -> bool:
        """Say whether a denial answers what stands before it: "pacemaker: no"."""
        return (
            self._spans[cue].meaning.name == NEGATED
            and cue > 0
            and self._spans[cue - 1].text in _ANSWERS
        )

    def _look_ahead(self, cue: int) -> list[int]:
        """Concepts after a cue: the next one of its clause, and those tied to it."""
        name = self._spans[cue].meaning.name
        found: list[int] = []
        tie: int | None = cue
        for i in self._after(cue):
            kind = self._spans[i].kind
            if self._ends_clause(i, cue, name, found):
                break
            if kind is Kind.CONCEPT:
                if tie is None or (found and self._is_own_finding(tie, i, found[0], name)):
                    break
                found.append(i)
                tie = None
            elif self._ties(i) or kind is Kind.SOFT_BARRIER or self._denies_on(i, name):
                tie = i
            elif kind is Kind.CUE and found and tie is not None and not self._is_or(tie):
                break
        return found

    def _denies_on(self, i: int, name: str) -> bool:
        """Say whether a denial goes on: "no Q waves to suggest infarct"."""
        span = self._spans[i]
        is_purpose = span.meaning.name == "suggested" and span.text.startswith("to ")
        return name == NEGATED and is_purpose

    def _ends_clause(self, i: int, cue: int, name: str, found: list[int]) -> bool:
        kind, text = self._spans[i].kind, self._spans[i].text
        if kind is Kind.PRESENT:
            return name in _PAST
        if kind is not Kind.SOFT_BARRIER:
            return kind is Kind.HARD_BARRIER
        if text == ",":
            is_behind = i == cue + 1 and self._kind(cue - 1) is Kind.CONCEPT
            return is_behind or not self._goes_on_as_list(i, name)
        if text == "with":
            return not (found and self._leads_to_attribute(i, name))
        return True

    def _look_back(self, cue: int, name: str) -> list[int]:
        """Concepts before a cue: the last one, and those tied to it."""
        found: list[int] = []
        tie: int | None = cue
        is_told = has_subject = False
        for i in range(cue - 1, max(cue - REACH, -1), -1):
            kind = self._spans[i].kind
            if kind is Kind.HARD_BARRIER or (kind is Kind.SOFT_BARRIER and (found or has_subject)):
                if not (found and self._reaches_back_over(i, name, found)):
                    break
                tie = i
            elif kind is Kind.CONCEPT:
                if tie is None or (found and self._stands_alone(i, tie, is_told, name)):
                    break
                found.append(i)
                tie = None
            elif self._ties(i):
                tie, is_told = i, False
            else:
                # "LBBB, Sgarbossa criteria not met"
                has_subject = has_subject or (kind is Kind.UNKNOWN and name in REJECTIONS)
                is_told = is_told or kind in (Kind.VERB, Kind.CUE, Kind.PRESENT, Kind.PERSISTING)
        return found

    def _reaches_back_over(self, barrier: int, name: str, found: list[int]) -> bool:
        text = self._spans[barrier].text
        if text == "with":
            return name in REJECTIONS and self._is_a("attribute", found[-1])
        return text == "," and self._list_words[barrier] == "or"

    def _stands_alone(self, concept: int, tie: int, is_told: bool, name: str) -> bool:
        """Say whether what stands before "and" is told by itself: "LBBB is new and AF not seen"."""
        if self._is_or(tie):
            return False
        return is_told or (name in REJECTIONS and self._is_a("normal", concept))

    def _is_own_finding(self, tie: int, concept: int, first: int, name: str) -> bool:
        """Say whether a new finding follows "and", not another one of a list of denied ones."""
        if name not in REJECTIONS or self._is_or(tie) or self._denies_on(tie, name):
            return False
        between = self._spans[tie + 1 : concept]
        return (
            self._is_a("normal", concept)
            or any(span.kind in (Kind.OWN, Kind.PREVIOUS) for span in between)
            or self._is_asserted(concept)
            or (name == NEGATED and self._is_of_another_kind(first, concept))
        )

    def _is_of_another_kind(self, first: int, concept: int) -> bool:
        """Say whether two findings are of two kinds, and no list of several parts them."""
        kinds, others = ({kind for kind in _KINDS if self._is_a(kind, i)} for i in (first, concept))
        commas = (span.text == "," for span in self._spans[first:concept])
        return bool(kinds and others) and kinds.isdisjoint(others) and not any(commas)

    def _is_asserted(self, concept: int) -> bool:
        """Say whether a concept's own clause says that it is there: "and LBBB is new"."""
        for i in self._after(concept):
            span = self._spans[i]
            is_said = span.kind is Kind.VERB and span.text.split()[0] in ("is", "has")
            if is_said or span.kind in _SAID or self._is_a("persisting", i):
                return True
            if span.kind in (Kind.CONCEPT, Kind.CUE) or self._is_barrier(i) or self._ties(i):
                return False
        return False

    def _leads_to_attribute(self, barrier: int, name: str) -> bool:
        target = self._next_concept(barrier)
        return name in REJECTIONS and target is not None and self._is_a("attribute", target)

    def _speaks_of_something_else(self, cue: int) -> bool:
        for i in self._after(cue):
            kind = self._spans[i].kind
            if self._is_barrier(i):
                return False
            if kind in (Kind.QUALIFIER, Kind.OWN, Kind.PREVIOUS, Kind.PRESENT, Kind.UNKNOWN):
                return True
        return False

    # ---- other recordings and other times

    def _of_earlier_recording(self, i: int) -> Iterator[tuple[int, str]]:
        if self._follows_comparison(i) or self._is_denied(i):
            return
        before = self._words_before(i)
        if before and before[0] in ("on", "in", "during", "at"):
            # "LBBB as on the previous tracing" tells of both.
            if len(before) < 2 or before[1] not in ("as", "also", "again", "than"):
                yield from ((target, HISTORY) for target in self._look_back(i, HISTORY))
        elif not before or before[0] not in ("as", "than", "from", "to"):
            yield from ((target, COMPARISON) for target in self._concepts_of_recording(i))

    def _compared(self, i: int) -> Iterator[int]:
        """Concepts with which something is compared, or that the earlier recording shows."""
        is_named = False
        for j in self._after(i):
            span = self._spans[j]
            if span.kind is Kind.CONCEPT:
                is_object = self._kind(j - 1) is Kind.PREVIOUS and not self._is_asserted(j)
                if is_object or not is_named:
                    yield j
                return
            if span.kind is Kind.SHOWING or (span.text == "with" and is_named):
                yield from self._concepts_of_recording(j)
                return
            if span.kind is Kind.PRESENT or (
                self._is_barrier(j) and self._kind(j + 1) is not Kind.SHOWING
            ):
                return
            is_named = is_named or span.text not in _ARTICLES

    def _concepts_of_recording(self, i: int) -> Iterator[int]:
        """Concepts that an earlier recording shows: up to the next comma, or word like "now"."""
        for j in self._after(i):
            span = self._spans[j]
            goes_on = (
                span.text == "with"
                or (span.text == ":" and j == i + 1)
                or (span.text == "," and self._goes_on_as_list(j, COMPARISON))
            )
            if span.kind is Kind.CONCEPT:
                yield j
            elif span.kind is Kind.PRESENT or (self._is_barrier(j) and not goes_on):
                return

    def _follows_comparison(self, i: int) -> bool:
        """Say whether words like "compared with" speak of what stands here."""
        for j in range(i - 1, max(i - REACH, -1), -1):
            if self._spans[j].kind is Kind.COMPARED:
                return True
            if self._is_barrier(j) or self._spans[j].kind is Kind.CONCEPT:
                return False
        return False

    def _is_denied(self, i: int) -> bool:
        """Say whether "not seen" or the like stands just before these words."""
        j = i - 1
        while j >= 0 and self._spans[j].kind in (Kind.FILLER, Kind.VERB):
            j -= 1
        return j >= 0 and self._spans[j].meaning[:2] == (Kind.CUE, NEGATED)

    def _tells_of_now_elsewhere(self, i: int) -> bool:
        """Say whether another clause has a word like "now": "was in fibrillation, now sinus"."""
        own, clauses = self._clauses[i], self._clauses_of_now
        return len(clauses) > 1 or (bool(clauses) and own not in clauses)

    @cached_property
    def _clauses(self) -> list[int]:
        """For each phrase the number of its clause."""
        return list(itertools.accumulate(map(self._is_barrier, range(len(self._spans)))))

    @cached_property
    def _clauses_of_now(self) -> set[int]:
        now = (i for i, span in enumerate(self._spans) if span.kind is Kind.PRESENT)
        return {self._clauses[i] for i in now}

    def _is_about_the_past(self, i: int) -> bool:
        if _DATE.match(" ".join(span.text for span in self._spans[i : i + 4])):
            return True
        while self._kind(i) in (Kind.FILLER, Kind.VERB):
            i += 1
        if self._kind(i) is not Kind.CUE:
            return self._kind(i) in (Kind.EARLIER, Kind.PREVIOUS)
        # "absent after ablation" is of now.
        return self._spans[i].meaning.name == HISTORY and self._spans[i].meaning.side != "last"

    def _persists(self, concept: int) -> bool:
        """Say whether a finding of the past is said to be there still."""
        for i in self._after(concept):
            kind = self._spans[i].kind
            if kind is Kind.PERSISTING or self._is_a("persisting", i):
                return True
            is_denial = kind is Kind.CUE and self._spans[i].meaning.name == NEGATED
            if kind in (Kind.CONCEPT, Kind.HARD_BARRIER) or is_denial:
                return False
        return False

    # ---- lists, ties, barriers

    @cached_property
    def _list_words(self) -> list[str]:
        """For each comma the "and" or "or" of the list that it may stand in; empty if none.

        "now" where such a word follows, up to which a list of the past may go on.
        """
        words = [""] * len(self._spans)
        word = ""
        for i in range(len(self._spans) - 1, -1, -1):
            span = self._spans[i]
            if span.kind is Kind.ALTERNATIVE:
                word = "or"
            elif span.text == "and":
                word = "and"
            elif span.text == ",":
                words[i] = word
            elif span.kind is Kind.PRESENT:
                word = "now"
            elif self._is_barrier(i) or span.kind in (Kind.CUE, Kind.VERB):
                word = ""
        return words

    def _goes_on_as_list(self, barrier: int, name: str) -> bool:
        """Say whether a comma stands in a list with "or", or, of what is denied, with "and"."""
        word = self._list_words[barrier]
        is_list = word == "and" and name in REJECTIONS
        return word == "or" or is_list or (word == "now" and name in _PAST)

    def _ties(self, i: int) -> bool:
        return self._spans[i].kind is Kind.ALTERNATIVE or self._spans[i].text in ("and", "/")

    def _is_or(self, tie: int) -> bool:
        span = self._spans[tie]
        return span.kind is Kind.ALTERNATIVE or span.text == "/" or self._list_words[tie] == "or"

    def _is_barrier(self, i: int) -> bool:
        return self._spans[i].kind in (Kind.SOFT_BARRIER, Kind.HARD_BARRIER)

    # ---- neighbours

    def _kind(self, i: int) -> Kind | None:
        return self._spans[i].kind if 0 <= i < len(self._spans) else None

    def _after(self, i: int) -> range:
        return range(i + 1, min(i + 1 + REACH, len(self._spans)))

    def _is_a(self, trait: str, i: int) -> bool:
        span = self._spans[i]
        return span.kind is Kind.CONCEPT and span.meaning.name in self._traits[trait]

    def _next_concept(self, i: int) -> int | None:
        """Position of the concept that only words of little weight part from here."""
        for j in self._after(i):
            kind = self._spans[j].kind
            if kind is Kind.CONCEPT:
                return j
            if kind not in _BACKGROUND or self._ties(j):
                return None
        return None

    def _words_before(self, i: int) -> list[str]:
        """Up to two words before, nearest first, articles and verbs left out."""
        texts = [
            span.text
            for span in reversed(self._spans[max(i - 4, 0) : i])
            if span.text not in _ARTICLES and span.kind is not Kind.VERB
        ]
        return texts[:2]


def nearest_concept(spans: Sequence[Span], i: int, step: int) -> int | None:
    """Position of the next concept of the clause before (step -1) or after (1) a place."""
    for j in range(i + step, i + step * (REACH + 1), step):
        if not 0 <= j < len(spans) or spans[j].kind in (Kind.SOFT_BARRIER, Kind.HARD_BARRIER):
            return None
        if spans[j].kind is Kind.CONCEPT:
            return j
    return None
