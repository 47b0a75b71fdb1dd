"""Columns of CODE-15% make the labels that they name."""

from __future__ import annotations

import pytest

from ecg_assets.labels import ECG_FM_LABELS, label_records
from ecg_assets.labels.codings import find_coding
from ecg_assets.labels.concepts import load_knowledge
from ecg_assets.sources.code_15 import LABEL_COLUMNS
from ecg_assets.sources.schema import NO_LABEL
from ecg_assets_tests.labels.reports import make_reports

LABELS = {
    "1dAVb": {"1st degree atrioventricular block", "Atrioventricular block"},
    "RBBB": {"Right bundle branch block"},
    "LBBB": {"Left bundle branch block"},
    "SB": {"Sinus rhythm", "Bradycardia"},
    "ST": {"Sinus rhythm", "Tachycardia"},
    "AF": {"Atrial fibrillation"},
    "normal_ecg": set(),
    NO_LABEL: set(),
}


def test_table_has_every_column_that_the_source_reads() -> None:
    assert set(find_coding("code-15").codes) == {*LABEL_COLUMNS, NO_LABEL}


@pytest.mark.parametrize("column", LABELS)
def test_column_implies_its_labels(column: str) -> None:
    implied = load_knowledge().implied[find_coding("code-15").codes[column]]
    assert set(implied) & set(ECG_FM_LABELS.names) == LABELS[column]


def test_exam_without_a_label_is_labelled_with_none() -> None:
    labels = label_records(make_reports({"a": [NO_LABEL], "b": ["AF"]}, coding="code-15")).labels
    positive = labels.groupby("record_id", observed=True)["value"].sum().to_dict()
    assert positive == {"a": 0, "b": 1}
