"""The label set of ECG-LFM's task, beside ECG-LFM's own rule on the same ptbxl_database.csv."""

from __future__ import annotations

import ast
from pathlib import Path

import pandas as pd
import pytest

from ecg_assets.labels import label_records, label_reports, load_label_set
from ecg_assets.labels.codings import find_coding
from ecg_assets.sources import PtbXl
from ecg_assets.sources.physionet2021 import SNOMED_CT
from ecg_assets.sources.ptb_xl import SCP_ECG
from ecg_assets_tests.labels.reports import make_reports

MI = load_label_set("myocardial-infarction")
NINE = ("IMI", "AMI", "LMI", "ILMI", "ASMI", "ALMI", "PMI", "IPLMI", "IPMI")
"""Codes of ECG-LFM's preprocess_ptbxl.py."""

STATEMENTS = {
    "certain": "{'IMI': 100.0, 'SR': 0.0}",
    "probable": "{'ASMI': 50.0}",
    "unlikely": "{'ASMI': 35.0, 'NORM': 80.0}",
    "unknown": "{'PMI': 0.0, 'SR': 0.0}",
    "both": "{'ALMI': 0.0, 'AMI': 15.0}",
    "injury": "{'INJAS': 100.0, 'ISC_': 100.0, 'QWAVE': 100.0}",
    "normal": "{'NORM': 100.0}",
}
OF_UNKNOWN_LIKELIHOOD = {"unknown"}


def _positives(reports: pd.DataFrame, threshold: float = 0.5) -> set[str]:
    labels = label_records(reports, label_set=MI, threshold=threshold).labels
    assert labels["record_id"].nunique() == len(reports)
    return set(labels.loc[labels["value"] == 1, "record_id"].astype(str))


def _read_ptb_xl(root: Path) -> pd.DataFrame:
    """Reports of a small PTB-XL, each under the name that it has in `STATEMENTS`."""
    (root / "records500").mkdir()
    rows = [
        {"ecg_id": at, "patient_id": at, "scp_codes": text, "filename_hr": f"records500/{at}_hr"}
        for at, text in enumerate(STATEMENTS.values(), start=1)
    ]
    pd.DataFrame(rows).to_csv(root / "ptbxl_database.csv", index=False)
    source = PtbXl(root)
    reports = source.read_reports(source.read_records().table).table
    name = {f"ptb_xl_{at:05d}": name for at, name in enumerate(STATEMENTS, start=1)}
    return reports.assign(record_id=reports["record_id"].map(name))


def _as_ecg_lfm_counts(text: str) -> bool:
    """Count a code whose likelihood is above 0."""
    return any(
        code in NINE and likelihood > 0 for code, likelihood in ast.literal_eval(text).items()
    )


def test_exactly_nine_statements_of_ptb_xl_make_it() -> None:
    codes = find_coding("scp-ecg").codes
    reports = make_reports({code: [f"{code} 100"] for code in codes}, coding=SCP_ECG)
    assert _positives(reports) == set(NINE)


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.5, {"certain", "probable", "unknown", "both"}),
        (0.6, {"certain", "unknown", "both"}),
        (0.0, {"certain", "probable", "unlikely", "unknown", "both"}),
    ],
)
def test_likelihood_counts_from_the_threshold_on(
    tmp_path: Path, threshold: float, expected: set[str]
) -> None:
    assert _positives(_read_ptb_xl(tmp_path), threshold) == expected


def test_threshold_0_is_ecg_lfms_own_rule_but_for_unknown_likelihoods(tmp_path: Path) -> None:
    theirs = {name for name, text in STATEMENTS.items() if _as_ecg_lfm_counts(text)}
    ours = _positives(_read_ptb_xl(tmp_path), threshold=0.0)
    assert ours - theirs == OF_UNKNOWN_LIKELIHOOD
    assert theirs < ours


def test_codes_of_the_physionet_challenge_that_make_it() -> None:
    codes = find_coding("snomed-ct").codes
    reports = make_reports({code: [code] for code in codes}, coding=SNOMED_CT)
    assert _positives(reports) == {"57054005", "54329005", "164865005", "164867002"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Inferior infarct - age undetermined", 1),
        ("Probable anterior infarct, old", 1),
        ("No evidence of infarct", 0),
        ("Anterolateral ischemia", 0),
        ("Inferior injury pattern", 0),
    ],
)
def test_report_text_makes_it(line: str, expected: int) -> None:
    assert label_reports([[line, "Sinus rhythm"]], label_set=MI)["MI"].tolist() == [expected]


def test_code_15_has_no_column_for_it() -> None:
    coding = find_coding("code-15")
    concepts = {coding.read(name).mentions[0].concept for name in coding.codes}
    assert not any("nfarct" in concept for concept in concepts)
