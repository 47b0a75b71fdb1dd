"""What nobody looked for is neither present nor absent, and numbers are targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.known import NOT_MEASURED
from ecg_assets.labels import LabelVocabulary, label_matrix, label_prevalence, label_records
from ecg_assets.labels.label_set import LabelSet, label_facts, label_set_of, load_label_set
from ecg_assets.labels.label_tables import describe_targets
from ecg_assets.sources.folder.labels import read_folder_labels
from ecg_assets.sources.schema import NO_LABEL, OWN_LABELS, measured_line
from ecg_assets_tests.labels.reports import make_reports


def _load(folder: Path, text: str, own_labels: tuple[str, ...] = ()) -> LabelSet:
    path = folder / "set.yaml"
    path.write_text(text, encoding="utf-8")
    return load_label_set(str(path), own_labels=own_labels)


def _values(reports: pd.DataFrame, label_set: LabelSet) -> dict[str, list[int]]:
    labels = label_records(reports, label_set=label_set).labels
    found = label_matrix(labels, label_set.vocabulary)
    return dict(zip(found[0].tolist(), found[1].tolist(), strict=True))


OWN = make_reports(
    {
        "a": ["TR", measured_line("AF", None)],
        "b": [NO_LABEL, measured_line("TR vmax [m/s]", 2.5)],
        "c": ["AF", measured_line("TR", None), measured_line("TR vmax [m/s]", 0.0)],
        "d": [NO_LABEL],
    },
    coding=OWN_LABELS,
)


def test_empty_cell_is_not_measured() -> None:
    found = _values(OWN, LabelSet.of_own_labels(("TR", "AF")))
    assert found == {"a": [1, NOT_MEASURED], "b": [0, 0], "c": [NOT_MEASURED, 1], "d": [0, 0]}


def test_label_is_unknown_where_what_it_is_measured_by_is_empty_or_0(tmp_path: Path) -> None:
    text = "labels: {TR: {includes: ['own:TR'], measured_by: ['own:TR vmax [m/s]']}}"
    label_set = _load(tmp_path, text, ("TR", "AF"))
    # A finding stays one, whatever was measured.
    assert _values(OWN, label_set) == {
        "a": [1],
        "b": [0],
        "c": [NOT_MEASURED],
        "d": [NOT_MEASURED],
    }
    assert label_set_of(label_facts(label_set, 0.5)) == label_set


def test_label_is_open_where_nobody_looked_for_what_excludes_it(tmp_path: Path) -> None:
    text = "labels: {AF alone: {includes: ['own:AF'], excludes: ['own:TR']}}"
    lines = {
        "both": ["AF", "TR"],
        "alone": ["AF"],
        "open": ["AF", measured_line("TR", None)],
        "none": [NO_LABEL, measured_line("TR", None)],
    }
    reports = make_reports(lines, coding=OWN_LABELS)
    found = _values(reports, _load(tmp_path, text, ("TR", "AF")))
    assert found == {"both": [0], "alone": [1], "open": [NOT_MEASURED], "none": [0]}


def test_share_is_of_the_recordings_of_which_a_label_is_known() -> None:
    label_set = LabelSet.of_own_labels(("TR", "AF"))
    table = label_prevalence(label_records(OWN, label_set=label_set).labels)
    assert table["share"].tolist() == [1 / 3, 1 / 3]
    assert table["not_measured"].tolist() == [1, 1]


def test_fully_measured_labels_have_no_column_of_unknown_ones() -> None:
    reports = make_reports({"a": ["Sinus rhythm"]})
    assert "not_measured" not in label_prevalence(label_records(reports).labels)


def test_numbers_are_read_from_the_tables_by_name(tmp_path: Path) -> None:
    reports = make_reports({"a": ["Sinus rhythm"], "b": [], "c": []})
    reports["rr_interval"] = np.array([1000, 600, np.nan], np.float32)
    reports["qrs_onset"] = np.array([200, 210, 200], np.float32)
    reports["qrs_end"] = np.array([300, 200, 320], np.float32)
    records = pd.DataFrame({"record_id": ["b", "a", "c"], "age": [40.0, 70.0, np.nan]})
    text = "targets: {heart_rate: , QRS: {of: qrs_duration}, age: {aggregation: max}}"
    label_set = _load(tmp_path, text)
    assert label_set.vocabulary == LabelVocabulary(
        ("heart_rate", "QRS", "age"), ("mean", "mean", "max"), ("bpm", "ms", "years")
    )
    labels = label_records(reports, label_set=label_set, records=records).labels
    _, values, _ = label_matrix(labels, label_set.vocabulary)
    # An interval that ends before it begins is none.
    expected = [[60, 100, 70], [100, np.nan, 40], [np.nan, 120, np.nan]]
    np.testing.assert_array_equal(values, np.array(expected, np.float32))
    assert describe_targets(labels)["measured"].tolist() == [2, 2, 2]
    assert label_set_of(label_facts(label_set, 0.5)) == label_set


def test_own_numbers_have_their_unit_in_the_columns_name(tmp_path: Path) -> None:
    header = "file,AF,LVEF [%]\n"
    (tmp_path / "labels.csv").write_text(header + "a,1,55.5\nb,,40\nc,0,\nd,,\n", encoding="utf-8")
    found = read_folder_labels(tmp_path)
    assert (found.names, found.measured_names) == (("AF",), ("LVEF [%]",))
    reports = make_reports(dict(zip("abcd", found.lines(), strict=True)), coding=OWN_LABELS)
    label_set = _load(tmp_path, "targets: {EF: {of: 'own:LVEF [%]'}}")
    labels = label_records(reports, label_set=label_set).labels
    assert labels["value"].tolist() == [55.5, 40.0]
    assert label_set.vocabulary.units == ("%",)
    assert _values(reports, LabelSet.of_own_labels(("AF",))) == {"a": [1], "c": [0]}


@pytest.mark.parametrize("cell", ["normal", "1e39", "-inf", "nan"])
def test_what_is_no_number_in_a_column_of_numbers_is_refused(tmp_path: Path, cell: str) -> None:
    (tmp_path / "labels.csv").write_text(f"file,LVEF [%]\na,{cell}\n", encoding="utf-8")
    with pytest.raises(SchemaError, match="neither a number nor empty"):
        read_folder_labels(tmp_path)


def test_name_of_a_column_that_would_be_read_as_a_measured_cell_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text('file,"AF\t1"\na,1\n', encoding="utf-8")
    with pytest.raises(SchemaError, match="have a tab in their name"):
        read_folder_labels(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("targets: {x: {of: pulse}}", "are no numbers of a recording"),
        ("targets: {x: {of: 'own:LVEF'}}", "a column without a unit"),
        ("targets: {age: {includes: [NORM]}}", "allowed: of, aggregation"),
        ("{targets: {age: }, labels: {AFIB: }}", "Make two files"),
        ("labels: {AFIB: {includes: [Atrial fibrillation], measured_by: [pulse]}}", "no numbers"),
    ],
)
def test_file_that_asks_for_what_is_not_there_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        _load(tmp_path, text)


def test_own_number_that_no_recording_has_is_refused_with_those_there_are(tmp_path: Path) -> None:
    label_set = _load(tmp_path, "targets: {EF: {of: 'own:EF [%]'}}")
    with pytest.raises(SettingsError, match=r"those with one are \['TR vmax \[m/s\]'\]"):
        label_records(OWN, label_set=label_set)


def test_labels_are_not_taken_for_numbers() -> None:
    labels = label_records(OWN, label_set=LabelSet.of_own_labels(("TR",))).labels
    with pytest.raises(SchemaError, match="Materialize labels again"):
        label_matrix(labels, LabelVocabulary(("TR",), ("mean",), ("m/s",)))
