"""What single statements mean, against truth written by hand."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_assets.labels import ECG_FM_LABELS, label_records, read_line
from ecg_assets.labels.lexicon import Span
from ecg_assets.labels.reading import read_rates
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
        "AFL": 0.55,
    }


def test_new_line_in_a_cell_ends_a_statement() -> None:
    for end in ("\n", "\r\n", "\u2028"):
        assert _found(f"No infarct and{end}LBBB") == {"LBBB": 1.0}
        assert _found(f"History of atrial flutter{end}Atrial fibrillation") == {"AF": 1.0}


def test_leader_of_dots_parts_a_statement_from_what_the_cart_measured() -> None:
    assert _found("RBBB..........QRSd>120, terminal axis(90,270)") == {"RBBB": 1.0}
    assert _found("FIRST DEGREE AV BLOCK....PR >210, V-rate 50-90") == {"AVB": 1.0, "1AVB": 1.0}
    assert _found("Atrial fibrillation...LBBB") == {"AF": 1.0, "LBBB": 1.0}


@pytest.mark.parametrize("run", [".", ". ", ".x", "-", "*", " ", "1", "1.", "a.", "°", "(", "?"])
def test_reading_a_long_line_ends(run: str) -> None:
    """A leader of 100,000 dots took minutes; what grows with the square runs into the timeout."""
    line = f"RBBB {run * (400_000 // len(run))}; LBBB"
    assert "Left bundle branch block" in {mention.concept for mention in read_line(line).mentions}


RUNS_OF_CUES = ("no infarct or flutter ", "no ", "or ", ", ", "history of ", "previous tracing ")


@pytest.mark.parametrize("run", RUNS_OF_CUES)
def test_looks_at_other_words_grow_as_the_line_does(
    monkeypatch: pytest.MonkeyPatch, run: str
) -> None:
    looks = [_count_looks(monkeypatch, "infarct " + run * n) for n in (500, 2500)]
    assert 0 < looks[1] < 6 * looks[0]


def _count_looks(monkeypatch: pytest.MonkeyPatch, line: str) -> int:
    n = 0

    class Counted(list[Span]):
        def __getitem__(self, i):  # type: ignore[no-untyped-def]
            nonlocal n
            n += 1
            return super().__getitem__(i)

    monkeypatch.setattr("ecg_assets.labels.reading.read_rates", lambda s: Counted(read_rates(s)))
    read_line(line)
    return n


@settings(max_examples=300)
@given(st.sampled_from(["HR ", "Rate in the ", "AF at ", ""]), st.text(max_size=12))
def test_any_text_is_read(before: str, text: str) -> None:
    """One statement that cannot be read would end the labels of all recordings."""
    read_line(before + text)


@pytest.mark.parametrize("number", ["130s", "፩፪፫", "①②⑤", "٤٥", "1.2.3", "³"])
def test_number_of_any_writing_is_a_rate_or_none(number: str) -> None:
    names = {mention.concept for mention in read_line(f"AF, rate {number}").mentions}
    assert "Atrial fibrillation" in names


ABBREVIATIONS = {
    "MAT": "Atrial tachycardia",
    "Probable MAT": "Atrial tachycardia",
    "MAT WITH RVR": "Atrial tachycardia",
    "mat with rvr": "Atrial tachycardia",
    "EAT": "Atrial tachycardia",
    "PAT with block": "Atrial tachycardia",
    "SR with PVCs": "Sinus rhythm",
    "Pat": None,
    "Mat present": None,
    "PAT MOVED DURING RECORDING": None,
    "pat. unable to lie still": None,
    "Patient did not eat": None,
    "Read by John Smith Sr": None,
}
"""Statement to the rhythm that its abbreviation stands for, if it is one."""


@pytest.mark.parametrize("statement", ABBREVIATIONS)
def test_abbreviation_that_is_a_word_is_read_where_capitals_or_context_tell(statement: str) -> None:
    found = {mention.concept for mention in read_line(statement).mentions}
    rhythms = found & {"Atrial tachycardia", "Sinus rhythm"}
    assert rhythms == {ABBREVIATIONS[statement]} - {None}


CUES = {
    "Possible LBBB": "possible",
    "LBBB cannot be excluded": "cannot be excluded",
    "LBBB": "",
    "No evidence of LBBB": "no",
    "LBBB is no longer present": "is no longer present",
    "History of LBBB": "history of",
    "LBBB by history": "by history",
    "Previous tracing showed LBBB": "previous tracing",
    "IVCD or LBBB": "or",
}
"""Statement to the words that hedge or reject its LBBB."""


@pytest.mark.parametrize("statement", CUES)
def test_evidence_has_the_words_that_hedge_or_reject(statement: str) -> None:
    evidence = label_records(make_reports({"a": [statement]})).evidence
    about = evidence[evidence["label"] == "Left bundle branch block"]
    assert list(about["cue"]) == [CUES[statement]]


def test_grades_of_doubt_are_parted_by_a_threshold() -> None:
    """Each threshold takes in one grade more; at 0.5 all but an unlikely finding count."""
    words = (
        "Unlikely",
        "Cannot rule out",
        "Consider",
        "Possible",
        "Suggests",
        "Probable",
        "Definite",
    )
    grades = [_found(f"{word} LBBB")["LBBB"] for word in words]
    assert grades == sorted(set(grades))
    assert [grade >= 0.5 for grade in grades] == [False] + 6 * [True]


OTHER_LANGUAGES = (
    *("Kein Infarkt", "Sinusrhythmus", "Zustand nach Infarkt", "Vorhofflimmern, LBBB"),
    "Linksschenkelblock, QRS 150 ms, Dr Schmidt",
    *("Pas d'infarctus", "Fibrillation auriculaire", "Tachycardie sinusale", "Sin infarto"),
    *("Extrasístole ventricular aislada", "Zn Infarkt", "Linksanteriorer Hemiblock"),
    *("Ritmo sinusal normal", "Sem infarto", "Assenza di infarto", "Geen infarct", "Sinusrytm"),
    *("Ingen tegn på infarkt", "Bez cech zawału", "Infarktüs yok", "Синусовый ритм", "窦性心律"),
)
ENGLISH = (
    *("Sinus rhythm", "Torsades des pointes", "Confirmed by Dr. Müller", "Ventricular bigeminus"),
    *(
        "Old infarkt",
        "EKG normal",
        "P mitrale",
        "Uniform PVCs",
        "δ wave",
        "ST 150 µV",
        "José Pérez MD",
    ),
)


@pytest.mark.parametrize("statement", OTHER_LANGUAGES)
def test_statement_in_another_language_makes_no_label(statement: str) -> None:
    reading = read_line(statement)
    assert reading.foreign == (statement.replace("'", "").casefold(),)
    assert reading.mentions == () and reading.unread == ()


@pytest.mark.parametrize("statement", ENGLISH)
def test_shared_words_and_names_are_no_other_language(statement: str) -> None:
    assert read_line(statement).foreign == ()


def test_what_no_concept_fits_is_reported_as_it_was_read() -> None:
    assert read_line("Xyzzy plugh; Sinus rhythm").unread == ("xyzzy plugh",)
    assert read_line("??? 12 .").unread == ()


FRAME = st.text(alphabet="*-.;:! \t", max_size=6)
ALL_STATEMENTS = sorted([*STATED, *HEDGED, *REJECTED])


@settings(max_examples=300)
@given(st.sampled_from(ALL_STATEMENTS), FRAME, FRAME, st.randoms(use_true_random=False))
def test_case_and_surrounding_punctuation_do_not_matter(
    statement: str, before: str, after: str, rng: Random
) -> None:
    changed = "".join(rng.choice((c.upper(), c.lower())) for c in statement)
    plain = read_line(statement).mentions
    assert read_line(f"{before} {changed} {after}").mentions == plain


REPORTS = st.lists(st.sampled_from(ALL_STATEMENTS), min_size=1, max_size=6, unique=True)


@settings(max_examples=200)
@given(REPORTS, st.randoms(use_true_random=False))
def test_order_of_statements_does_not_change_labels(lines: list[str], rng: Random) -> None:
    shuffled = rng.sample(lines, len(lines))
    assert probabilities(make_reports({"a": shuffled})) == probabilities(make_reports({"a": lines}))


@settings(max_examples=200)
@given(REPORTS, st.sampled_from(ALL_STATEMENTS))
def test_another_statement_takes_nothing_away_that_a_line_tells(
    lines: list[str], other: str
) -> None:
    """Only what findings make together may be taken away: by those that `unless` names."""
    evidence = label_records(make_reports({"a": lines})).evidence
    of_lines = evidence[evidence["rule"] != "combination"].astype({"label": str})
    before = of_lines.groupby("label")["probability"].max().round(3)
    after = probabilities(make_reports({"a": [*lines, other]}))["a"]
    assert all(after[str(label)] >= p - 1e-6 for label, p in before.items())


def test_truth_covers_every_label() -> None:
    assert set(" ".join(STATED.values()).split()) == set(SHORT)
    assert set(SHORT.values()) == set(ECG_FM_LABELS.names)
    assert len(STATED) + len(HEDGED) + len(REJECTED) >= 80
