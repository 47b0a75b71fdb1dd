"""Own labels become labels by their names alone, and never by accident."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecg_assets.errors import SettingsError
from ecg_assets.labels import LabelSet, label_records, load_label_set
from ecg_assets.sources.schema import NO_LABEL, OWN_LABELS
from ecg_assets_tests.labels.reports import make_reports

NAMES = ("Atrial fibrillation", "no P wave", "x")
REPORTS = make_reports(
    {"a": ["Atrial fibrillation", "x"], "b": [NO_LABEL], "c": [], "d": ["no P wave"]},
    coding=OWN_LABELS,
)


def _values(label_set: LabelSet) -> dict[str, list[int]]:
    labels = label_records(REPORTS, label_set=label_set).labels.astype({"record_id": str})
    return {str(name): rows["value"].tolist() for name, rows in labels.groupby("record_id")}


def test_labels_are_the_columns_in_their_order() -> None:
    label_set = load_label_set("own", own_labels=NAMES)
    assert label_set.vocabulary.names == NAMES
    assert _values(label_set) == {"a": [1, 0, 1], "b": [0, 0, 0], "d": [0, 1, 0]}


def test_evidence_names_the_own_label() -> None:
    tables = label_records(REPORTS, label_set=load_label_set("own", own_labels=NAMES))
    assert set(tables.evidence["rule"]) == {"own label"}
    assert tables.evidence["line"].tolist() == ["Atrial fibrillation", "x", "no P wave"]
    assert tables.unmatched.empty


def test_file_may_rename_and_unite_own_labels(tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text("labels: {AFIB: {includes: ['own:Atrial fibrillation', 'own:no P wave']}}")
    assert _values(load_label_set(str(path), own_labels=NAMES)) == {"a": [1], "b": [0], "d": [1]}
    with pytest.raises(SettingsError, match=r"own labels are \['own:x'\]"):
        load_label_set(str(path), own_labels=["x"])


def test_set_that_cannot_label_own_data_is_refused_with_the_way_out() -> None:
    with pytest.raises(SettingsError, match="Set ECG_LABEL_SET=own"):
        label_records(REPORTS)
    own = load_label_set("own", own_labels=NAMES)
    with pytest.raises(SettingsError, match="bring none: their reports are report-text"):
        label_records(make_reports({"a": ["Sinus rhythm"]}), label_set=own)


def test_own_set_without_own_labels_says_where_they_come_from() -> None:
    with pytest.raises(SettingsError, match=r"labels\.csv in the root of ECG_SOURCE=folder"):
        load_label_set("own")


def test_data_without_any_label_can_be_read_with_any_set() -> None:
    unlabelled = make_reports({"a": []}, coding=OWN_LABELS)
    assert label_records(unlabelled).labels.empty
