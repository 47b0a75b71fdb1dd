from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from ecg_assets.errors import SettingsError
from ecg_assets.labels import (
    ECG_FM_LABEL_SET,
    explain_report,
    label_records,
    label_reports,
    load_label_set,
    shipped_label_sets,
)
from ecg_assets.labels.concepts import DEFINITE, load_knowledge
from ecg_assets.labels.label_set import label_facts, label_set_of
from ecg_assets.sources.physionet2021 import SNOMED_CT
from ecg_assets.sources.ptb_xl import SCP_ECG
from ecg_assets_tests.labels.reports import load_any, make_reports

SIX = load_label_set("six-conditions")


def _write(folder: Path, text: str) -> str:
    path = folder / "labels.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", shipped_label_sets())
def test_shipped_set_loads(name: str) -> None:
    assert len(load_any(name).rules) == len(load_any(name).vocabulary)


@pytest.mark.parametrize("name", shipped_label_sets())
def test_a_set_is_what_its_facts_say(name: str) -> None:
    label_set = load_any(name)
    facts = json.loads(json.dumps(label_facts(label_set, 0.5)))
    assert label_set_of(facts) == label_set


def test_default_set_is_ecg_fms() -> None:
    assert load_label_set("ecg-fm-17") == ECG_FM_LABEL_SET


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["Sinus rhythm", "Normal ECG"], {"NORM"}),
        (["Normal sinus rhythm"], {"NORM"}),
        (["Sinus rhythm", "Left axis deviation", "Borderline ECG"], set()),
        (["Sinus rhythm with PVCs", "Otherwise normal ECG"], set()),
        (["Sinus rhythm", "No evidence of infarct", "Normal ECG"], {"NORM"}),
        (["Atrial fibrillation", "Right bundle branch block"], {"AFIB", "RBBB"}),
        (["Sinus rhythm with 1st degree A-V block"], {"1dAVb"}),
        (["Atrial flutter", "LBBB"], {"AFLT", "LBBB"}),
    ],
)
def test_six_conditions_of_report_text(lines: list[str], expected: set[str]) -> None:
    row = label_reports([lines], label_set=SIX).iloc[0]
    assert set(row.index[row == 1]) == expected


def test_six_conditions_of_snomed_codes() -> None:
    reports = make_reports(
        {"a": ["426783006"], "b": ["426783006", "59118001"], "c": ["164889003"]}, coding=SNOMED_CT
    )
    labels = label_records(reports, label_set=SIX).labels
    positive = labels[labels["value"] == 1].astype({"record_id": str, "label": str})
    assert list(positive[["record_id", "label"]].itertuples(index=False, name=None)) == [
        ("a", "NORM"),
        ("b", "RBBB"),
        ("c", "AFIB"),
    ]


def test_what_excludes_a_label_is_told() -> None:
    evidence = explain_report(["Sinus rhythm", "Left bundle branch block"], label_set=SIX)
    norm = evidence[evidence["label"] == "NORM"]
    assert norm.set_index("line")["rule"].to_dict() == {
        "Sinus rhythm": "stated",
        "Left bundle branch block": "excluded",
    }
    assert norm["probability"].tolist() == [1.0, 0.0]


def test_hedge_excludes_only_from_the_threshold_on() -> None:
    report = [["Sinus rhythm", "Possible left bundle branch block"]]
    assert label_reports(report, label_set=SIX, threshold=0.6)["NORM"].tolist() == [0]
    assert label_reports(report, label_set=SIX, threshold=0.61)["NORM"].tolist() == [1]


NORMAL = {
    *("Normal ECG", "Normal sinus rhythm recording", "Normal part", "Normal variant"),
    *("Sinus rhythm", "Sinus arrhythmia", "Sinus node or structure", "Heart rate"),
    *("Controlled ventricular response", "AV conduction", "No change", "Good data quality"),
    *("Report remark", "Repeat requested", "Reported without age or sex", "Pediatric analysis"),
    "Interpretation assumes no reversal",
}
"""Concepts that a normal recording may have. A new one stands here, or among what NORM excludes."""


def test_norm_excludes_all_that_no_normal_recording_has() -> None:
    implied = load_knowledge().implied
    excludes = set(SIX.rules[0].excludes)
    is_excluded = {
        concept: any(c in excludes and how == DEFINITE for c, how in implied[concept].items())
        for concept in implied
    }
    assert {concept for concept, excluded in is_excluded.items() if not excluded} == NORMAL


@pytest.mark.parametrize("coding", [SCP_ECG, SNOMED_CT])
def test_sinus_rhythm_is_normal_only_where_no_code_says_so(coding: str) -> None:
    """PTB-XL has a code for a normal recording, and writes SR beside any finding."""
    code = {SCP_ECG: "SR 0", SNOMED_CT: "426783006"}[coding]
    tables = label_records(make_reports({"a": [code]}, coding=coding), label_set=SIX)
    norm = tables.labels[tables.labels["label"] == "NORM"]
    assert list(norm["value"]) == [int(coding == SNOMED_CT)]
    assert set(tables.evidence["label"]) == ({"NORM"} if coding == SNOMED_CT else set())


def test_report_that_denies_being_normal_is_not_normal() -> None:
    for statement in ("Not a normal ECG", "Abnormal ECG", "ECG is not normal"):
        assert label_reports([["Sinus rhythm", statement]], label_set=SIX)["NORM"].tolist() == [0]


def test_users_file_makes_its_own_labels(tmp_path: Path) -> None:
    text = """
labels:
  Slow or blocked:
    includes: [Bradycardia, Atrioventricular block]
    excludes: [Electronic pacemaker]
    aggregation: max
  Infarction:
"""
    label_set = load_label_set(_write(tmp_path, text))
    assert label_set.vocabulary.names == ("Slow or blocked", "Infarction")
    assert label_set.vocabulary.aggregation == ("max", "mean")
    reports = [
        ["Sinus bradycardia"],
        ["Second degree A-V block, Mobitz II"],
        ["Electronic ventricular pacemaker", "Sinus bradycardia"],
        ["Inferior infarct, old"],
    ]
    found = label_reports(reports, label_set=label_set)
    assert found.to_numpy().tolist() == [[1, 0], [1, 0], [0, 0], [0, 1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("labels: {A: {includes: [Nonsense]}}", "no concepts of concepts.yaml"),
        ("labels: {Bradycardia: {include: [Bradycardia]}}", "allowed: includes"),
        ("labels: {Bradycardia: {includes: Bradycardia}}", "lists of concept names"),
        ("labels: {NO: {includes: [NO]}}", "lists of concept names"),
        ("labels: {Bradycardia: {aggregation: median}}", "allowed"),
        ("labels: [Bradycardia]", "expected a mapping"),
        ("names: 3", "expected a mapping"),
        ("labels: {A: {}, A: {}}", "more than once"),
        ("labels: {", "no YAML"),
        ("labels: " + "[" * 3000 + "]" * 3000, "nested too deep"),
        ("#" * ((1 << 20) + 1), "at most 1048576 are read"),
    ],
)
def test_file_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_label_set(_write(tmp_path, text))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_file_in_another_encoding_is_refused_by_name(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text("labels: {Überleitung: {includes: [Sinus rhythm]}}", encoding=encoding)
    with pytest.raises(SettingsError, match=r"labels\.yaml': it is no UTF-8 .* save it as UTF-8"):
        load_label_set(str(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of POSIX")
@pytest.mark.timeout(60)
def test_named_pipe_is_no_file_of_labels(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "labels.yaml")
    with pytest.raises(SettingsError, match="nor a file"):
        load_label_set(str(tmp_path / "labels.yaml"))


def test_names_are_the_text_that_is_written(tmp_path: Path) -> None:
    """YAML 1.1 makes a truth value of NO and on, nothing of null, and a number of 1_0."""
    names = ("NO", "on", "null", "1_0", "2.50", "2020-01-01", "~")
    entries = "".join(f"  {name}: {{includes: [Sinus rhythm]}}\n" for name in names)
    assert load_label_set(_write(tmp_path, f"labels:\n{entries}")).vocabulary.names == names


def test_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="six-conditions"):
        load_label_set("seven-conditions")


def test_label_reports_gives_a_row_a_report_and_nothing_where_nothing_is_read() -> None:
    found = label_reports([["Sinus bradycardia"], [], ["xyzzy"], ["Possible atrial flutter"]])
    assert list(found.columns) == list(ECG_FM_LABEL_SET.vocabulary.names)
    assert found["Bradycardia"].tolist() == [1, pd.NA, pd.NA, 0]
    hedged = label_reports([["Possible atrial flutter"]], probabilities=True)
    assert hedged["Atrial flutter"].tolist() == [pytest.approx(0.6)]


def test_one_text_in_place_of_lines_is_refused() -> None:
    with pytest.raises(TypeError, match="list of lines"):
        label_reports(["Sinus rhythm"])
