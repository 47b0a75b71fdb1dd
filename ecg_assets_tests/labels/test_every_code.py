"""Label sets that are all codes of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.evaluation.external.labels import label_external, load_stored_label_set
from ecg_assets.labels import label_matrix, label_records, load_label_set, resolve_label_set
from ecg_assets.labels.every_code import count_codes
from ecg_assets.labels.label_set import find_study, label_facts, label_set_of, needs_reports
from ecg_assets.labels.study import Published, Study
from ecg_assets.labels.study_counts import LABELS, compare_with_study
from ecg_assets.sources.dataset import record_table
from ecg_assets.sources.schema import MACHINE_REPORTS, NO_LABEL, OWN_LABELS, RECORD_LIST
from ecg_assets.store import Store
from ecg_assets_tests.labels.reports import make_reports

AF, SR, LBBB, CLBBB = "164889003", "426783006", "164909002", "733534002"
SNOMED, ICD = "snomed-ct", "icd-10-cm"


def _write(folder: Path, text: str) -> str:
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def _snomed(folder: Path, rule: str = "{least_records: 2}") -> str:
    return _write(folder, f"coding: {SNOMED}\nunlabelled: keep\nevery_code: {rule}\n")


def _icd(folder: Path, least: int = 1, more: str = "digits: 5\nancestors: true") -> str:
    text = f"coding: {ICD}\nunlabelled: keep\n{more}\nevery_code: {{least_records: {least}}}\n"
    return _write(folder, text)


def _names(path: str, lines: Mapping[str, Sequence[str] | None], coding: str) -> tuple[str, ...]:
    return resolve_label_set(path, make_reports(lines, coding)).vocabulary.names


def _positives(path: str, lines: Mapping[str, Sequence[str] | None], coding: str) -> dict[str, str]:
    reports = make_reports(lines, coding)
    label_set = resolve_label_set(path, reports)
    ids, values, _ = label_matrix(
        label_records(reports, label_set=label_set).labels, label_set.vocabulary
    )
    names = label_set.vocabulary.names
    return {
        str(record): " ".join(name for name, value in zip(names, row, strict=True) if value)
        for record, row in zip(ids, values, strict=True)
    }


def test_labels_are_the_codes_of_enough_recordings_sorted_by_code(tmp_path: Path) -> None:
    lines = {"a": [SR, AF], "b": [AF], "c": [LBBB], "d": [SR], "e": []}
    assert _names(_snomed(tmp_path), lines, SNOMED) == (AF, SR)


def test_a_recording_that_writes_a_code_twice_counts_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"No code of snomed-ct is in 2 of 2 recordings"):
        _names(_snomed(tmp_path), {"a": [AF, AF], "b": [SR]}, SNOMED)


def test_recording_without_a_label_is_a_negative_but_one_without_codes_is_not_known(
    tmp_path: Path,
) -> None:
    lines = {"a": [AF], "b": [AF], "c": [SR], "d": []}
    assert _positives(_snomed(tmp_path), lines, SNOMED) == {"a": AF, "b": AF, "c": ""}


@given(st.permutations(["a", "b", "c", "d", "e"]))
def test_order_of_recordings_does_not_change_the_vocabulary(order: list[str]) -> None:
    lines = {"a": [SR, AF], "b": [AF, LBBB], "c": [LBBB], "d": [SR, AF], "e": [CLBBB]}
    study = Study(coding=SNOMED, unlabelled="keep")
    found = count_codes(make_reports({name: lines[name] for name in order}, SNOMED), study)
    assert found.to_dict() == {LBBB: 2, AF: 3, SR: 2, CLBBB: 1}
    assert list(found.index) == sorted(found.index)


def test_codes_that_are_alike_are_one_label_counted_together(tmp_path: Path) -> None:
    path = _snomed(tmp_path, f"{{least_records: 2, alike: {{CLBBB: [{LBBB}, {CLBBB}]}}}}")
    lines = {"a": [LBBB], "b": [CLBBB], "c": [SR], "d": [SR]}
    assert _positives(path, lines, SNOMED) == {"a": "CLBBB", "b": "CLBBB", "c": SR, "d": SR}
    both = {"a": [LBBB, CLBBB], "b": [SR], "c": [SR]}
    assert _names(path, both, SNOMED) == (SR,)  # one recording, not two


def test_frequent_code_that_the_coding_lacks_is_refused_and_a_rare_one_is_not(
    tmp_path: Path,
) -> None:
    lines = {"a": [AF, "1"], "b": [AF, "1"], "c": [AF, "2"]}
    with pytest.raises(SchemaError, match=r"\{'1': 2\}, which snomed-ct lacks"):
        _names(_snomed(tmp_path), lines, SNOMED)
    assert _names(_snomed(tmp_path, "{least_records: 3}"), lines, SNOMED) == (AF,)


def test_the_set_alone_says_that_it_needs_reports(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"codes of the data .* materialize machine_reports"):
        load_label_set(_snomed(tmp_path))
    assert needs_reports("mimic-icd")
    assert not needs_reports("csn-38")
    assert not needs_reports("six-conditions")


def test_reports_of_another_coding_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"codes of snomed-ct, but .* scp-ecg"):
        _names(_snomed(tmp_path), {"a": ["NORM 100"]}, "scp-ecg")


def test_a_resolved_set_travels_by_value(tmp_path: Path) -> None:
    reports = make_reports({"a": ["I4891"], "b": ["I4892"]}, ICD)
    label_set = resolve_label_set(_icd(tmp_path, 2), reports)
    assert label_set.vocabulary.names == ("I48", "I489")
    assert label_set_of(label_facts(label_set, 0.5)) == label_set
    assert label_set.to_json()["study"]["digits"] == 5
    plain = resolve_label_set("csn-38", reports)
    assert set(plain.to_json()["study"]) == {"coding", "likelihood", "unlabelled", "split"}


def test_stored_reports_resolve_the_set(tmp_path: Path) -> None:
    stored = Store(tmp_path).source("any")
    stored.root.mkdir()
    path = _snomed(tmp_path, "{least_records: 1}")
    with pytest.raises(SchemaError, match="machine_reports"):
        load_stored_label_set(path, stored)
    table = MACHINE_REPORTS.from_pandas(make_reports({"a": [AF]}, SNOMED))
    pq.write_table(table, stored.table_path("machine_reports"))
    assert load_stored_label_set(path, stored).vocabulary.names == (AF,)
    assert load_stored_label_set("csn-38", stored) == load_label_set("csn-38")


def test_a_task_of_one_database_has_the_codes_of_that_one(tmp_path: Path) -> None:
    stored = Store(tmp_path).source("physionet-2021")
    stored.root.mkdir()
    reports = make_reports({"E00001": [AF], "E00002": [AF], "JS20001": [SR], "A0001": [SR]}, SNOMED)
    records = record_table("physionet-2021", reports["record_id"], reports["record_id"], ["s"] * 4)
    for schema, table in ((MACHINE_REPORTS, reports), (RECORD_LIST, records)):
        pq.write_table(schema.from_pandas(table), stored.table_path(schema.name))
    path = _snomed(tmp_path)
    found = load_stored_label_set(path, stored, databases=["georgia"])
    assert found.vocabulary.names == (AF,)
    assert load_stored_label_set(path, stored).vocabulary.names == (AF, SR)


def test_own_labels_can_be_all_that_enough_recordings_have(tmp_path: Path) -> None:
    text = f"coding: {OWN_LABELS}\nunlabelled: keep\nevery_code: {{least_records: 2}}\n"
    lines = {"a": ["AF"], "b": ["AF", "LBBB"], "c": [NO_LABEL], "d": [NO_LABEL]}
    assert _names(_write(tmp_path, text), lines, OWN_LABELS) == ("AF",)


# Codes of several levels: ICD-10-CM.


def test_codes_are_cut_to_their_digits_with_all_that_they_are_a_part_of(tmp_path: Path) -> None:
    lines = {"a": ["I4891", "E1165"], "b": ["S72001A"], "c": ["W19XXXA"], "d": ["Z66"]}
    assert _positives(_icd(tmp_path), lines, ICD) == {
        "a": "E11 E116 E1165 I48 I489 I4891",
        "b": "S72 S720 S7200",
        "c": "W19",  # its X only hold places
        "d": "Z66",
    }


def test_least_records_counts_after_ancestors_are_added(tmp_path: Path) -> None:
    lines = {"a": ["I4891"], "b": ["I4892"], "c": ["I480", "I4891"]}
    assert _names(_icd(tmp_path, 3), lines, ICD) == ("I48", "I489")
    assert _names(_icd(tmp_path, 2), lines, ICD) == ("I48", "I489", "I4891")


def test_without_digits_and_ancestors_codes_are_as_written(tmp_path: Path) -> None:
    lines = {"a": ["W19XXXA"], "b": ["W19XXXA"]}
    assert _names(_icd(tmp_path, 2, ""), lines, ICD) == ("W19XXXA",)


def test_what_is_no_icd_code_is_left_unread(tmp_path: Path) -> None:
    reports = make_reports({"a": ["I4891", "nodx"]}, ICD)
    label_set = resolve_label_set(_icd(tmp_path, 1), make_reports({"a": ["I4891"]}, ICD))
    tables = label_records(reports, label_set=label_set)
    assert tables.unmatched["statement"].tolist() == ["nodx"]


def test_external_recordings_of_the_coding_have_all_labels(tmp_path: Path) -> None:
    label_set = resolve_label_set(_icd(tmp_path), make_reports({"a": ["I4891"]}, ICD))
    found = label_external(make_reports({"x": ["I480"], "y": ["J18"]}, ICD), label_set)
    assert found.unmapped == {}
    assert found.labels["value"].tolist() == [1, 0, 0, 0, 0, 0]


# What is published of them.

PUBLISHED_LABELS = {
    "physionet-2021-georgia": 50,
    "physionet-2021-ningbo": 68,
    "physionet-2021-cpsc-extra": 33,
    "mimic-icd": 1076,
}


@pytest.mark.parametrize("name", PUBLISHED_LABELS)
def test_shipped_set_says_how_many_labels_were_published(name: str) -> None:
    study = find_study(name)
    assert study and study.published and study.published.labels == PUBLISHED_LABELS[name]
    if study.published.positives:
        joined = len(study.every_code.alike) if study.every_code else 0
        assert len(study.published.positives) + joined == PUBLISHED_LABELS[name]


def test_another_number_of_labels_than_published_is_a_difference(tmp_path: Path) -> None:
    reports = make_reports({"a": [AF], "b": [SR]}, SNOMED)
    label_set = resolve_label_set(_snomed(tmp_path, "{least_records: 1}"), reports)
    labels = label_records(reports, label_set=label_set).labels
    for published, is_equal in ((2, True), (3, False)):
        counts = Published(source="x", dataset_records=2, reference="a table", labels=published)
        table = compare_with_study(labels, counts)
        assert table.to_dict("records") == [
            {
                "label": LABELS,
                "split": "all",
                "found": 2,
                "published": published,
                "is_equal": is_equal,
            }
        ]


# The 38 labels of Chapman-Shaoxing-Ningbo, and what the split files made of them.


def test_as_published_an_acronym_is_found_in_longer_ones_and_in_csn_38_it_is_not() -> None:
    right, published = load_label_set("csn-38"), load_label_set("csn-38-as-published")
    assert right.vocabulary.names == published.vocabulary.names
    rules = zip(right.vocabulary.names, right.rules, published.rules, strict=True)
    differing = {name for name, one, other in rules if one != other}
    assert differing == {"AF", "ST", "VB", "AVB", "SA", "CR", "2AVB"}
    reports = make_reports({"afib": [AF], "1avb": ["270492004"]}, SNOMED)
    found = {
        label_set: label_records(reports, label_set=loaded).labels.query("value == 1")
        for label_set, loaded in (("right", right), ("published", published))
    }
    of_record = {
        name: list(zip(t["record_id"], t["label"], strict=True)) for name, t in found.items()
    }
    assert of_record["right"] == [("afib", "AFIB"), ("1avb", "1AVB")]
    assert sorted(of_record["published"]) == [
        *(("1avb", "1AVB"), ("1avb", "AVB"), ("1avb", "VB")),
        *(("afib", "AF"), ("afib", "AFIB")),
    ]


def test_published_counts_of_csn_differ_by_5125_labels() -> None:
    right, published = (
        pd.DataFrame(study.published.positives).T
        for study in map(find_study, ("csn-38", "csn-38-as-published"))
        if study and study.published
    )
    assert (published - right).to_numpy().sum() == 5125
    assert (published >= right).to_numpy().all()
