"""Every finding in every turn of phrase: what takes it away, and what must not."""

from __future__ import annotations

from functools import lru_cache

import pytest

from ecg_assets_tests.labels.reports import make_reports, probabilities

FINDINGS = (
    *("sinus rhythm", "sinus tachycardia", "sinus bradycardia", "atrial fibrillation", "AF", "AFL"),
    *("atrial flutter", "supraventricular tachycardia", "AVNRT", "ventricular tachycardia", "NSVT"),
    *("multifocal atrial tachycardia", "junctional bradycardia", "rapid ventricular response"),
    *("slow ventricular response", "LBBB", "right bundle branch block", "complete RBBB", "WPW"),
    *("RBBB and LAFB", "bifascicular block", "1st degree A-V block", "Mobitz I", "delta waves"),
    *("complete heart block", "PVCs", "ventricular bigeminy", "ventricular couplets", "STEMI"),
    *("inferior infarct", "anterior MI", "acute MI", "inferior wall MI", "ventricular pacing"),
    *("electronic pacemaker", "pacemaker spikes", "A-V dual-paced rhythm", "artifact"),
    *("baseline wander", "poor data quality", "lead reversal"),
)

REJECTING = (
    *(
        "No {}",
        "No evidence of {}",
        "There is no {}",
        "No {} seen",
        "No acute {}",
        "No definite {}",
    ),
    *("Without {}", "Absence of {}", "Negative for {}", "Free of {}", "Denies {}", "Not {}"),
    *("{} not seen", "{} is not present", "{} absent", "{}: none", "{}: no", "{} not identified"),
    *("{} has resolved", "{} is no longer present", "No longer {}", "{} cannot be identified"),
    *("{} ruled out", "{} has been excluded", "Rules out {}", "Doubt {}", "{} is unlikely"),
    *(
        "{} replaced by junctional rhythm",
        "Junctional rhythm has replaced {}",
        "{} criteria not met",
    ),
    *("Change from {} to junctional rhythm", "Junctional rhythm rather than {}"),
    *("No ST changes or {}", "No junctional rhythm, ST changes, or {}", "No {} and no ST changes"),
    *(
        "Neither junctional rhythm nor {}",
        "Junctional rhythm without {}",
        "Does not meet criteria for {}",
    ),
    *(
        "History of {}",
        "Hx of {}",
        "{} by history",
        "History: {}",
        "Indication: {}",
        "Previously {}",
    ),
    *("Family history of {}", "Previously seen {} is gone", "At risk of {}", "Evaluate for {}"),
    *("Previous ECG showed {}", "Previous tracing: {}", "{} seen on prior ECG"),
    *("Compared to prior, {} has resolved", "{} was present on the previous tracing"),
    "When compared with ECG of 01-JAN-2110, {} is no longer present",
)

KEEPING = (
    *("Possible {}", "Probable {}", "Consider {}", "Suspect {}", "{}?", "?{}", "Rule out {}"),
    *("{} cannot be excluded", "Cannot rule out {}", "{} not excluded", "Suggestive of {}"),
    *("{} is new", "New {}", "{} persists", "{} is unchanged", "No change in {}", "Known {}"),
    *("Compared to prior, {} is new", "{}, unchanged from prior", "Since previous tracing, {}"),
    *("When compared with ECG of 01-JAN-2110, {} is now present", "{} not seen previously"),
    *("{} has replaced junctional rhythm", "No junctional rhythm; {}", "No ST changes. {}"),
    *("History of hypertension, now {}", "No ST changes\n{}", "No ST changes and {} is present"),
    *("Intermittent {}", "Marked {}", "Rhythm: {}", "{} noted", "Junctional rhythm with {}"),
    *("{} with left axis deviation", "Left axis deviation, {}", "{}, age undetermined"),
)


@lru_cache
def _labels(template: str) -> dict[str, set[str]]:
    """Labels of each finding in a turn of phrase."""
    reports = make_reports({finding: [template.format(finding)] for finding in FINDINGS})
    found = probabilities(reports)
    return {f: {n for n, p in found[f].items() if p >= 0.5} for f in FINDINGS}


def test_every_finding_makes_a_label() -> None:
    assert all(_labels("{}").values())


@pytest.mark.parametrize("template", REJECTING)
def test_rejected_finding_makes_no_label(template: str) -> None:
    """The rhythm that stands beside it in some templates has no label either."""
    assert not any(_labels(template).values())


@pytest.mark.parametrize("template", KEEPING)
def test_finding_that_is_told_makes_its_labels(template: str) -> None:
    assert _labels(template) == _labels("{}")
