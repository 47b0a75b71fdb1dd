"""Simulated reports say what was simulated, in words that ECG-FM's labeler knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecg_assets.sources.synthetic import statements as say
from ecg_assets.sources.synthetic.measurements import Measurements
from ecg_assets.sources.synthetic.plan import plan_cohort
from ecg_assets.sources.synthetic.reports import report_lines
from ecg_assets.sources.synthetic.signal import simulate_recording
from ecg_assets.sources.synthetic.study import Conduction, Infarct, Rhythm, Study

Reported = tuple[Study, Measurements, str]


@pytest.fixture(scope="module")
def reported() -> list[Reported]:
    """Studies, their measurements, their report in lower case."""
    result = []
    for study in plan_cohort(300, seed=11, n_shards=2).studies:
        rng = np.random.default_rng([4, study.index])
        recording = simulate_recording(study, rng)
        lines = report_lines(study, recording.beats, recording.measurements, rng)
        assert 1 <= len(lines) <= 18
        result.append((study, recording.measurements, "\n".join(lines).lower()))
    return result


def test_words_for_the_rate_agree_with_the_measured_rate(reported: list[Reported]) -> None:
    for study, measurements, text in reported:
        rate = 60_000 / measurements.rr_interval
        if study.rhythm in (Rhythm.SINUS, Rhythm.FIRST_DEGREE_BLOCK):
            assert ("sinus bradycardia" in text) == (rate < 60)
            assert ("sinus tachycardia" in text) == (rate > 100)
        if study.rhythm is Rhythm.FIBRILLATION:
            assert ("with rapid v" in text) == (rate > 100)


@pytest.mark.parametrize(
    ("words", "findings"),
    [
        ("left bundle|lbbb", {Conduction.LEFT_BUNDLE_BLOCK}),
        ("left anterior fascicular|lafb", {Conduction.BIFASCICULAR_BLOCK}),
        ("right bundle|rbbb", {Conduction.RIGHT_BUNDLE_BLOCK, Conduction.BIFASCICULAR_BLOCK}),
        ("wpw|wolff|excitation", {Conduction.PREEXCITED}),
    ],
)
def test_conduction_is_told_when_it_is_there(
    reported: list[Reported], words: str, findings: set[Conduction]
) -> None:
    for study, _, text in reported:
        if study.rhythm is not Rhythm.ABERRANT_TACHYCARDIA:
            is_told = any(word in text for word in words.split("|"))
            assert is_told == (study.conduction in findings)


def test_findings_are_denied_only_where_they_are_not(reported: list[Reported]) -> None:
    denials = 0
    for study, _, text in reported:
        if any(denial.lower() in text for denial in say.DENIALS):
            denials += 1
            assert study.rhythm is Rhythm.SINUS
            assert study.infarct is Infarct.NONE
    assert denials >= 3


def test_hedges_are_said_only_of_what_was_simulated(reported: list[Reported]) -> None:
    hedged = [s for s, _, text in reported if "cannot rule out" in text or "possible lat" in text]
    assert hedged
    assert all(study.infarct is not Infarct.NONE for study in hedged)


def test_carts_write_in_capitals_with_full_stops_and_plainly(reported: list[Reported]) -> None:
    study = reported[0][0]
    rng = np.random.default_rng(0)
    recording = simulate_recording(study, rng)
    styles = []
    for cart_id in (6_848_200, 6_848_203, 6_848_210):
        rng = np.random.default_rng(0)
        cart_study = Study(**{**vars(study), "cart_id": cart_id})
        lines = report_lines(cart_study, recording.beats, recording.measurements, rng)
        styles.append((lines[-1] == lines[-1].upper(), lines[-1].endswith(".")))
    assert styles == [(True, False), (False, True), (False, False)]


MEANING: list[tuple[Sequence[str], set[str]]] = [
    (say.SINUS_RHYTHM, {"Sinus rhythm"}),
    (say.SINUS_BRADYCARDIA, {"Sinus rhythm", "Bradycardia"}),
    (say.MARKED_SINUS_BRADYCARDIA, {"Sinus rhythm", "Bradycardia"}),
    (say.SINUS_TACHYCARDIA, {"Sinus rhythm", "Tachycardia"}),
    (say.FIBRILLATION, {"Atrial fibrillation"}),
    (say.RAPID_FIBRILLATION, {"Atrial fibrillation", "Tachycardia"}),
    (say.FLUTTER, {"Atrial flutter"}),
    (say.FLUTTER_2_TO_1, {"Atrial flutter", "Atrioventricular block"}),
    (say.OTHER_RHYTHMS[Rhythm.VENTRICULAR_PACED], {"Electronic pacemaker"}),
    (say.OTHER_RHYTHMS[Rhythm.DUAL_PACED], {"Electronic pacemaker"}),
    (say.OTHER_RHYTHMS[Rhythm.ATRIAL_PACED], {"Electronic pacemaker"}),
    (
        say.OTHER_RHYTHMS[Rhythm.ABERRANT_TACHYCARDIA],
        {"Supraventricular tachycardia with aberrancy", "Tachycardia"},
    ),
    (say.VENTRICULAR_ECTOPY_LINES, {"Premature ventricular contraction"}),
    (
        say.FIRST_DEGREE_LINES,
        {"Atrioventricular block", "1st degree atrioventricular block"},
    ),
    (say.CONDUCTION[Conduction.LEFT_BUNDLE_BLOCK], {"Left bundle branch block"}),
    (say.CONDUCTION[Conduction.RIGHT_BUNDLE_BLOCK], {"Right bundle branch block"}),
    (
        say.CONDUCTION[Conduction.BIFASCICULAR_BLOCK],
        {"Right bundle branch block", "Bifascicular block"},
    ),
    *((variants, {"Infarction"}) for variants in say.INFARCT.values()),
    *(
        (variants, set())
        for variants in (
            *(say.UNREMARKABLE, say.FLAT_T, say.LOW_VOLTAGE, say.LEFT_AXIS, say.RIGHT_AXIS),
            *(say.NORMAL_SUMMARY, say.BORDERLINE_SUMMARY, say.ABNORMAL_SUMMARY),
        )
    ),
]


@pytest.mark.reference
def test_statements_carry_the_labels_that_they_are_meant_to(reference_data: Path) -> None:
    folder = reference_data / "labeler_golden" / "wide"
    golden = pd.read_csv(folder / "labels.csv")
    golden["key"] = golden["text"].fillna("").str.lower().str.strip(" .")
    hard = golden.drop_duplicates("key").set_index("key").filter(like="hard: ")
    known = 0
    for statements, expected in MEANING:
        for statement in statements:
            key = statement.lower().strip(" .")
            if key not in hard.index:
                continue
            known += 1
            row = hard.loc[key]
            labels = {str(name).removeprefix("hard: ") for name in hard.columns if row[name] == 1}
            # Upstream adds these two to every fibrillation and flutter.
            extra = {"Tachycardia", "Accessory pathway conduction"}
            if any("Atrial f" in label for label in expected):
                labels -= extra - expected
            assert labels == expected, statement
    assert known >= 40
