"""Statements of the AHA make the labels that their words say."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecg_assets.errors import SettingsError
from ecg_assets.labels import label_records, load_label_set, resolve_label_set
from ecg_assets.labels.codings import find_coding, is_code
from ecg_assets.labels.concepts import load_knowledge
from ecg_assets.labels.label_set import find_study
from ecg_assets.labels.reading import read_line
from ecg_assets_tests.labels.reports import make_reports

STATEMENTS = {
    **{"1": "Normal ECG", "2": "Otherwise normal ECG", "3": "Abnormal ECG"},
    **{"4": "Uninterpretable ECG", "12": "Missing lead(s)", "14": "Artifact"},
    **{"20": "Sinus rhythm", "21": "Sinus tachycardia", "22": "Sinus bradycardia"},
    **{"23": "Sinus arrhythmia", "24": "Sinoatrial block, type I"},
    **{"25": "Sinoatrial block, type II", "26": "Sinus pause or arrest"},
    **{"27": "Uncertain supraventricular rhythm", "30": "Atrial premature complex(es)"},
    **{"32": "Retrograde atrial activation", "33": "Wandering atrial pacemaker"},
    **{"34": "Ectopic atrial rhythm", "37": "Junctional escape complex(es)"},
    **{"38": "Junctional rhythm", "39": "Accelerated junctional rhythm"},
    **{"40": "Supraventricular rhythm", "41": "Supraventricular complex(es)"},
    **{"50": "Atrial fibrillation", "51": "Atrial flutter", "54": "Junctional tachycardia"},
    **{"55": "Supraventricular tachycardia", "56": "Narrow-QRS tachycardia"},
    **{"60": "Ventricular premature complex(es)", "61": "Fusion complex(es)"},
    **{"62": "Ventricular escape complex(es)", "63": "Idioventricular rhythm"},
    **{"64": "Accelerated idioventricular rhythm", "65": "Fascicular rhythm"},
    **{"66": "Parasystole", "70": "Ventricular tachycardia", "74": "Ventricular fibrillation"},
    **{"76": "Wide-QRS tachycardia", "80": "Short PR interval", "82": "Prolonged PR interval"},
    **{"85": "2:1 AV block", "86": "AV block, varying conduction"},
    **{"87": "AV block, advanced (high-grade)", "88": "AV block, complete (third-degree)"},
    **{"89": "AV dissociation", "101": "Left anterior fascicular block"},
    **{"102": "Left posterior fascicular block", "104": "Left bundle-branch block"},
    **{"105": "Incomplete right bundle-branch block", "106": "Right bundle-branch block"},
    **{"107": "Intraventricular conduction delay", "108": "Ventricular preexcitation"},
    **{"120": "Right-axis deviation", "121": "Left-axis deviation"},
    **{"122": "Right superior axis", "123": "Indeterminate axis", "125": "Low voltage"},
    **{"140": "Left atrial enlargement", "141": "Right atrial enlargement"},
    **{"142": "Left ventricular hypertrophy", "143": "Right ventricular hypertrophy"},
    **{"144": "Biventricular hypertrophy", "147": "T-wave abnormality"},
    **{"148": "Prolonged QT interval", "149": "Short QT interval", "150": "Prominent U waves"},
    **{"155": "Early repolarization", "160": "Anterior MI", "161": "Inferior MI"},
    **{"162": "Posterior MI", "163": "Lateral MI", "165": "Anteroseptal MI"},
    **{"166": "Extensive anterior MI", "180": "Atrial-paced complex(es) or rhythm"},
    "181": "Ventricular-paced complex(es) or rhythm",
    **{"First-degree AV block": "First-degree AV block", "Abnormal Q wave": "Abnormal Q wave"},
    "Left ventricular high voltage": "Left ventricular high voltage",
    "Prolonged QTc interval": "Prolonged QTc interval",
}
"""Descriptions as the AHA and the dictionary of ZZU pECG have them."""

PRIMARY = [
    *range(1, 5),
    *range(10, 17),
    *range(20, 28),
    *range(30, 43),
    *range(50, 57),
    *range(60, 67),
    *range(70, 77),
    *range(80, 90),
    *(100, 101, 102, 104, 105, 106, 107, 108, 109, 110, 111),
    *(120, 121, 122, 123, 124, 125, 128, 131),
    *range(140, 145),
    *range(145, 156),
    *(160, 161, 162, 163, 165, 166, 173, 174),
    *range(180, 191),
]
SECONDARY = [*range(200, 216), *range(220, 232)]


def test_every_statement_is_a_code_and_no_modifier_is() -> None:
    numbers = {int(code) for code in find_coding("aha").codes if code.isdigit()}
    assert numbers == {*PRIMARY, *SECONDARY}


@pytest.mark.parametrize("code", STATEMENTS)
def test_code_means_what_its_words_are_read_as(code: str) -> None:
    words = STATEMENTS[code].replace("(es)", "es").replace("(s)", "")
    read = {mention.concept for mention in read_line(words).mentions}
    implied = load_knowledge().implied
    concept = find_coding("aha").codes[code]
    assert {c for found in read for c in implied[found]} >= set(implied[concept])


def test_secondary_statement_is_a_code_without_a_concept() -> None:
    """It tells what a finding suggests, or what is to be considered, and no finding."""
    codes = find_coding("aha").codes
    assert all(is_code(codes[str(number)]) for number in SECONDARY)


def test_finding_without_a_statement_makes_its_label() -> None:
    reports = make_reports({"a": ["First-degree AV block"], "b": ["1"]}, coding="aha")
    labels = label_records(reports, label_set=load_label_set("ecg-fm-17")).labels
    positive = labels[labels["value"] == 1]
    assert set(zip(positive["record_id"], positive["label"], strict=True)) == {
        ("a", "1st degree atrioventricular block"),
        ("a", "Atrioventricular block"),
    }


def _positives(name: str, lines: dict[str, list[str]]) -> dict[str, set[str]]:
    """Labels of each recording, of ten alike."""
    many = {f"{key}{i}": found for key, found in lines.items() for i in range(10)}
    reports = make_reports(many, coding="aha")
    labels = label_records(reports, label_set=resolve_label_set(name, reports)).labels
    labels["label"] = labels["label"].where(labels["value"] == 1)
    return {
        key: set(labels.loc[labels["record_id"] == f"{key}0", "label"].dropna()) for key in lines
    }


def test_modifier_is_no_part_of_a_code() -> None:
    coding = find_coding("aha")
    assert [m.concept for m in coding.read("50+346").mentions] == ["Atrial fibrillation"]
    assert [m.concept for m in coding.read("180+181").mentions] == ["Electronic pacemaker"]
    found = _positives("sph-primary", {"a": ["50+346", "60+310+308"], "b": ["50"], "c": ["1"]})
    assert found == {"a": {"50", "60"}, "b": {"50"}, "c": {"1"}}


def test_benchmark_loses_findings_with_a_modifier_or_without_a_number() -> None:
    lines = {"a": ["145+362", "Osborn wave"], "b": ["145"], "c": ["208"], "d": ["180+181"]}
    assert _positives("zzu-pecg", lines) == {
        "a": {"145", "Osborn wave"},
        **{"b": {"145"}, "c": {"208"}, "d": {"180+181"}},
    }
    as_published = _positives("zzu-pecg-as-published", lines)
    assert as_published == {"a": set(), "b": {"145"}, "c": {"208"}, "d": {"180+181"}}


def test_statements_that_too_few_have_with_no_modifier_are_no_label_as_published() -> None:
    reports = make_reports({str(i): ["145+362"] for i in range(10)}, coding="aha")
    assert resolve_label_set("zzu-pecg", reports).vocabulary.names == ("145",)
    with pytest.raises(SettingsError, match="No code of aha is in 10 of 10"):
        resolve_label_set("zzu-pecg-as-published", reports)


def test_code_that_is_to_be_left_out_must_be_one(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("like: zzu-pecg\nevery_code: {without: [Osborne wave]}\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"codes that aha lacks: \{'without': "):
        find_study(str(path))
