"""Folders of conditions make the six conditions."""

from __future__ import annotations

from ecg_assets.labels import label_matrix, label_records, load_label_set
from ecg_assets.labels.codings import find_coding
from ecg_assets.sources.condition_folders import CONDITION_FOLDER, CONDITIONS
from ecg_assets_tests.labels.reports import make_reports

SIX = load_label_set("six-conditions")
LABEL_OF = {
    "NORMAL": "NORM",
    "Sinus_Rhythm": "NORM",
    "Atrial Fibrillation": "AFIB",
    "Atrial Flutter": "AFLT",
    "1st-degree AV block": "1dAVb",
    "Right bundle branch block": "RBBB",
    "Left bundle branch block": "LBBB",
}


def _labels(lines: dict[str, list[str]]) -> dict[str, set[str]]:
    reports = make_reports(lines, coding=CONDITION_FOLDER)
    tables = label_records(reports, label_set=SIX)
    assert set(tables.evidence["rule"]) <= {"condition folder", "excluded"}
    names, values, _ = label_matrix(tables.labels, SIX.vocabulary)
    return {
        str(name): {SIX.vocabulary.names[i] for i in row.nonzero()[0]}
        for name, row in zip(names, values, strict=True)
    }


def test_table_has_every_folder_that_the_source_reads() -> None:
    assert set(find_coding("condition-folder").codes) == set(CONDITIONS) == set(LABEL_OF)


def test_each_folder_is_one_label() -> None:
    found = _labels({condition: [condition] for condition in CONDITIONS})
    assert found == {condition: {label} for condition, label in LABEL_OF.items()}


def test_two_folders_are_two_labels_but_a_finding_is_not_normal() -> None:
    found = _labels(
        {
            "both": ["Atrial Fibrillation", "Left bundle branch block"],
            "normal by both names": ["NORMAL", "Sinus_Rhythm"],
            "not normal": ["NORMAL", "Atrial Flutter"],
        }
    )
    assert found == {
        "both": {"AFIB", "LBBB"},
        "normal by both names": {"NORM"},
        "not normal": {"AFLT"},
    }
