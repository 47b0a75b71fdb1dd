"""What single statements mean, against truth written by hand."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_assets.labels import ECG_FM_LABELS, label_records, read_line
from ecg_assets_tests.labels.reports import make_reports, probabilities
from ecg_assets_tests.labels.truth import HEDGED, REJECTED, SHORT, STATED

NAMES = {name: short for short, name in SHORT.items()}


def _found(statement: str) -> dict[str, float]:
    """Short names of the labels that a statement makes possible, with their probability."""
    found = probabilities(make_reports({"a": [statement]}))["a"]
    return {NAMES[name]: p for name, p in found.items() if p > 0}


@pytest.mark.parametrize("statement", STATED)
def test_statement_makes_its_labels_and_no_other(statement: str) -> None:
    found = _found(statement)
    assert {label for label, p in found.items() if p >= 0.5} == set(STATED[statement].split())


@pytest.mark.parametrize("statement", HEDGED)
def test_hedge_lowers_the_probability_of_what_it_speaks_of(statement: str) -> None:
    assert _found(statement) == HEDGED[statement]


@pytest.mark.parametrize("statement", REJECTED)
def test_denied_or_remembered_finding_makes_no_label_and_is_traceable(statement: str) -> None:
    short, rule = REJECTED[statement]
    tables = label_records(make_reports({"a": [statement]}))
    about = tables.evidence[tables.evidence["label"] == SHORT[short]]
    assert list(about["rule"]) == [rule]
    assert list(about["probability"]) == [0.0]
    label = tables.labels[tables.labels["label"] == SHORT[short]]
    assert list(label["value"]) == [0] and list(label["probability"]) == [0.0]


def test_a_later_finding_survives_an_earlier_denial() -> None:
    lines = ["No evidence of infarct", "Sinus rhythm has replaced atrial fibrillation", "LBBB"]
    found = probabilities(make_reports({"a": lines}))["a"]
    assert {NAMES[name] for name, p in found.items() if p > 0} == {"SR", "LBBB"}


def test_statements_of_one_line_are_read_apart() -> None:
    assert _found("Confirmed by Dr Smith; Atrial fibrillation") == {"AF": 1.0}
    assert _found("No acute changes. Old inferior infarct.") == {"INF": 1.0}
    assert _found("Probable sinus tachycardia.consider flutter") == {
        "SR": 0.7,
        "TACH": 0.7,
        "AFL": 0.5,
    }


def test_what_no_concept_fits_is_reported_as_it_was_read() -> None:
    assert read_line("Xyzzy plugh; Sinus rhythm").unread == ("xyzzy plugh",)
    assert read_line("??? 12 .").unread == ()


FRAME = st.text(alphabet="*-.;:! \t", max_size=6)
ALL_STATEMENTS = sorted([*STATED, *HEDGED, *REJECTED])


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ALL_STATEMENTS), FRAME, FRAME, st.randoms(use_true_random=False))
def test_case_and_surrounding_punctuation_do_not_matter(
    statement: str, before: str, after: str, rng: Random
) -> None:
    changed = "".join(rng.choice((c.upper(), c.lower())) for c in statement)
    plain = read_line(statement).mentions
    assert read_line(f"{before} {changed} {after}").mentions == plain


REPORTS = st.lists(st.sampled_from(ALL_STATEMENTS), min_size=1, max_size=6, unique=True)


@settings(max_examples=200, deadline=None)
@given(REPORTS, st.randoms(use_true_random=False))
def test_order_of_statements_does_not_change_labels(lines: list[str], rng: Random) -> None:
    shuffled = rng.sample(lines, len(lines))
    assert probabilities(make_reports({"a": shuffled})) == probabilities(make_reports({"a": lines}))


@settings(max_examples=200, deadline=None)
@given(REPORTS, st.sampled_from(ALL_STATEMENTS))
def test_another_statement_takes_no_label_away(lines: list[str], other: str) -> None:
    before = probabilities(make_reports({"a": lines}))["a"]
    after = probabilities(make_reports({"a": [*lines, other]}))["a"]
    assert all(after[label] >= before[label] for label in before)


def test_truth_covers_every_label() -> None:
    assert set(" ".join(STATED.values()).split()) == set(SHORT)
    assert set(SHORT.values()) == set(ECG_FM_LABELS.names)
    assert len(STATED) + len(HEDGED) + len(REJECTED) >= 80
