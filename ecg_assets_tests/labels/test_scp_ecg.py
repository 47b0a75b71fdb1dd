"""Statements of PTB-XL: every code is known, and makes the labels that it should."""

from __future__ import annotations

import pytest

from ecg_assets.labels import ECG_FM_LABELS, label_records, load_label_set
from ecg_assets.labels.codings import find_coding
from ecg_assets.labels.concepts import load_knowledge
from ecg_assets.sources.ptb_xl import SCP_ECG
from ecg_assets_tests.labels.reports import make_reports, probabilities

_AV = "Atrioventricular block"
LABELS = {
    "SR": {"Sinus rhythm"},
    "SARRH": {"Sinus rhythm"},
    "STACH": {"Sinus rhythm", "Tachycardia"},
    "SBRAD": {"Sinus rhythm", "Bradycardia"},
    "AFIB": {"Atrial fibrillation"},
    "AFLT": {"Atrial flutter"},
    "SVTAC": {"Tachycardia"},
    "PSVT": {"Tachycardia"},
    "PACE": {"Electronic pacemaker"},
    "PVC": {"Premature ventricular contraction"},
    "1AVB": {"1st degree atrioventricular block", _AV},
    "LPR": {"1st degree atrioventricular block", _AV},
    "2AVB": {_AV},
    "3AVB": {_AV},
    "CRBBB": {"Right bundle branch block"},
    "CLBBB": {"Left bundle branch block"},
    "WPW": {"Accessory pathway conduction"},
}
"""Labels of ECG-FM that a code implies; all but these and infarctions imply none."""

INFARCTIONS = {"IMI", "ILMI", "IPMI", "IPLMI", "AMI", "ASMI", "ALMI", "LMI", "PMI"}


def test_all_71_statements_are_known() -> None:
    assert len(find_coding("scp-ecg").codes) == 71
    assert set(LABELS) | INFARCTIONS < set(find_coding("scp-ecg").codes)


@pytest.mark.parametrize("code", find_coding("scp-ecg").codes)
def test_code_implies_its_labels(code: str) -> None:
    implied = load_knowledge().implied[find_coding("scp-ecg").codes[code]]
    expected = {"Infarction"} if code in INFARCTIONS else LABELS.get(code, set())
    assert set(implied) & set(ECG_FM_LABELS.names) == expected


def test_likelihood_is_the_probability_and_0_is_unknown() -> None:
    found = probabilities(
        make_reports({"a": ["IMI 35", "AFIB 0"], "b": ["CLBBB 100"], "c": ["AMI"]}, coding=SCP_ECG)
    )
    assert found["a"]["Infarction"] == 0.35
    assert found["a"]["Atrial fibrillation"] == 1
    assert found["b"]["Left bundle branch block"] == 1
    assert found["c"]["Infarction"] == 1


def test_block_and_hemiblock_are_a_bifascicular_block() -> None:
    found = probabilities(make_reports({"a": ["CRBBB 100", "LAFB 80"]}, coding=SCP_ECG))
    assert found["a"]["Bifascicular block"] == 0.8


def test_six_conditions_of_statements() -> None:
    reports = make_reports(
        {
            "normal": ["NORM 100", "SR 0"],
            "low": ["SR 0", "LVOLT 0"],
            "block": ["NORM 80", "CRBBB 100", "1AVB 100", "SR 0"],
        },
        coding=SCP_ECG,
    )
    labels = label_records(reports, label_set=load_label_set("six-conditions")).labels
    positive = labels[labels["value"] == 1].astype({"record_id": str, "label": str})
    assert set(positive[["record_id", "label"]].itertuples(index=False, name=None)) == {
        ("normal", "NORM"),
        ("block", "RBBB"),
        ("block", "1dAVb"),
    }


@pytest.mark.parametrize("line", ["XYZ 100", "AFIB high", "AFIB 1 2"])
def test_what_is_no_statement_stays_unread(line: str) -> None:
    reading = find_coding("scp-ecg").read(line)
    assert reading.mentions == ()
    assert reading.unread
