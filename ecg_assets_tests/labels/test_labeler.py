"""Labels of recordings, their evidence, and the rules between lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ecg_assets.errors import SchemaError
from ecg_assets.labels import (
    ECG_FM_LABELS,
    EVIDENCE,
    LABELS,
    UNMATCHED,
    LabelSet,
    LabelTables,
    LabelVocabulary,
    label_matrix,
    label_prevalence,
    label_records,
)
from ecg_assets.lineage import fingerprint_table
from ecg_assets.sources.physionet2021 import SNOMED_CT
from ecg_assets_tests.labels.reports import make_reports, probabilities
from ecg_assets_tests.labels.truth import HEDGED, REJECTED, STATED


def _every_statement() -> pd.DataFrame:
    statements = [*STATED, *HEDGED, *REJECTED]
    pairs = zip(statements, reversed(statements), strict=True)
    return make_reports({f"r{i}": pair for i, pair in enumerate(pairs)})


def _values(tables: LabelTables, record_id: str) -> set[str]:
    of_record = tables.labels[tables.labels["record_id"] == record_id]
    return set(of_record["label"][of_record["value"] == 1])


def test_tables_survive_parquet_in_their_schemas(tmp_path: Path) -> None:
    tables = label_records(
        make_reports({"a": ["No infarct", "LBBB", "Plugh"], "b": ["Normal ECG"]})
    )
    for schema, frame in (
        (LABELS, tables.labels),
        (EVIDENCE, tables.evidence),
        (UNMATCHED, tables.unmatched),
    ):
        table = schema.from_pandas(frame)
        pq.write_table(table, tmp_path / schema.name)
        stored = schema.require(pq.read_table(tmp_path / schema.name))
        assert stored.to_pydict() == frame.to_dict("list")
        assert fingerprint_table(stored) == fingerprint_table(table)


def test_labels_stand_record_major_in_the_order_of_the_vocabulary() -> None:
    tables = label_records(make_reports({"b": ["LBBB"], "a": ["Normal ECG"]}))
    assert list(tables.labels["record_id"]) == ["b"] * 17 + ["a"] * 17
    assert list(tables.labels["label"]) == list(ECG_FM_LABELS.names) * 2
    assert tables.labels["value"].sum() == 1


def test_every_positive_is_explained_by_evidence_that_reaches_the_threshold() -> None:
    reports = _every_statement()
    for threshold in (0.0, 0.5, 0.7, 1.0):
        tables = label_records(reports, threshold=threshold)
        best = (
            tables.evidence.astype({"record_id": str, "label": str})
            .groupby(["record_id", "label"])["probability"]
            .max()
        )
        labels = tables.labels.astype({"record_id": str, "label": str})
        told = best.reindex(pd.MultiIndex.from_frame(labels[["record_id", "label"]])).fillna(0.0)
        np.testing.assert_array_equal(labels["probability"], told.to_numpy())
        positive = (told > 0) & (told >= np.float32(threshold))
        np.testing.assert_array_equal(labels["value"], positive.to_numpy().astype(int))


def test_evidence_names_the_line_and_its_words() -> None:
    reports = make_reports({"a": ["Abnormal ECG", "*** Perhaps RBBB ***"], "b": ["RBBB"]})
    evidence = label_records(reports).evidence
    assert evidence.astype(object).to_dict("records") == [
        {
            "record_id": record,
            "label": "Right bundle branch block",
            "line_index": index,
            "line": line,
            "matched": "rbbb",
            "cue": cue,
            "rule": rule,
            "probability": pytest.approx(probability),
        }
        for record, index, line, cue, rule, probability in (
            ("a", 1, "*** Perhaps RBBB ***", "perhaps", "possible", 0.6),
            ("b", 0, "RBBB", "", "stated", 1.0),
        )
    ]


def test_threshold_is_inclusive_and_a_probability_of_zero_never_positive() -> None:
    reports = make_reports({"a": ["Possible LBBB", "Probable RBBB", "No atrial flutter"]})
    both = {"Left bundle branch block", "Right bundle branch block"}
    assert _values(label_records(reports), "a") == both
    assert _values(label_records(reports, threshold=0.6), "a") == both
    assert _values(label_records(reports, threshold=0.61), "a") == {"Right bundle branch block"}
    assert _values(label_records(reports, threshold=0.7), "a") == {"Right bundle branch block"}
    assert _values(label_records(reports, threshold=0.0), "a") == both


def test_a_record_of_which_nothing_is_known_has_no_labels() -> None:
    reports = make_reports(
        {"empty": [], "blank": ["", "  "], "unread": ["Plugh"], "normal": ["Normal ECG"]}
    )
    tables = label_records(reports)
    assert set(tables.labels["record_id"]) == {"normal"}
    assert tables.labels["value"].sum() == 0


def test_no_reports_make_empty_tables() -> None:
    for reports in (make_reports({}), make_reports({"a": [], "b": None})):
        tables = label_records(reports)
        assert LABELS.from_pandas(tables.labels).num_rows == 0
        assert EVIDENCE.from_pandas(tables.evidence).num_rows == 0
        assert UNMATCHED.from_pandas(tables.unmatched).num_rows == 0


def test_findings_in_different_lines_combine() -> None:
    lines = ["Sinus rhythm", "Right bundle branch block", "Possible left anterior fascicular block"]
    reports = make_reports(
        {"a": lines, "b": ["RBBB", "Incomplete LBBB"], "c": lines[:1] + lines[2:]}
    )
    found = {record: p["Bifascicular block"] for record, p in probabilities(reports).items()}
    assert found == {"a": 0.6, "b": 0.0, "c": 0.0}
    evidence = label_records(reports).evidence
    because = evidence[evidence["label"] == "Bifascicular block"].iloc[0]
    assert because["rule"] == "combination"
    assert because["matched"] == "right bundle branch block + left anterior fascicular block"
    assert (because["line_index"], because["line"]) == (2, lines[2])


def test_denied_part_does_not_combine() -> None:
    found = probabilities(make_reports({"a": ["RBBB", "No left anterior fascicular block"]}))
    assert found["a"]["Bifascicular block"] == 0.0


def test_snomed_codes_make_labels_and_unknown_codes_are_listed() -> None:
    reports = make_reports(
        {"a": ["270492004", "59118001", "445118002"], "b": ["426177001", "999"], "c": ["999"]},
        coding=SNOMED_CT,
    )
    tables = label_records(reports)
    assert _values(tables, "a") == {
        "1st degree atrioventricular block",
        "Atrioventricular block",
        "Right bundle branch block",
        "Bifascicular block",
    }
    assert _values(tables, "b") == {"Sinus rhythm", "Bradycardia"}
    assert "c" not in set(tables.labels["record_id"])
    assert set(tables.evidence["rule"]) == {"snomed-ct code", "combination"}
    unmatched = [{"statement": "999", "reason": "unknown", "count": 2}]
    assert tables.unmatched.to_dict("records") == unmatched


def test_one_text_is_read_by_the_coding_of_its_record() -> None:
    text, code = (
        make_reports({"text": ["59118001", "LBBB"]}),
        make_reports({"code": ["59118001"]}, coding=SNOMED_CT),
    )
    tables = label_records(pd.concat([text, code], ignore_index=True))
    assert _values(tables, "text") == {"Left bundle branch block"}
    assert _values(tables, "code") == {"Right bundle branch block"}


def test_unmatched_statements_are_counted_by_occurrence() -> None:
    reports = make_reports({"a": ["Plugh", "PLUGH."], "b": ["plugh; Xyzzy", "Sinus rhythm"]})
    assert label_records(reports).unmatched.to_dict("records") == [
        {"statement": "plugh", "reason": "unknown", "count": 3},
        {"statement": "xyzzy", "reason": "unknown", "count": 1},
    ]


def test_report_in_another_language_has_no_labels_and_is_counted() -> None:
    reports = make_reports(
        {
            "german": ["Sinusrhythmus", "Kein Infarkt", "LBBB"],
            "one statement of two": ["LBBB", "Kein Infarkt"],
            "mostly english": ["Sinus rhythm", "LBBB", "Kein Infarkt"],
            "english": ["No infarct"],
        }
    )
    tables = label_records(reports)
    labelled = {"mostly english", "english"}
    assert set(tables.labels["record_id"]) == labelled
    assert set(tables.evidence["record_id"]) == labelled
    assert tables.n_in_other_languages == 2
    assert _values(tables, "mostly english") == {"Sinus rhythm", "Left bundle branch block"}
    assert tables.unmatched.to_dict("records") == [
        {"statement": "kein infarkt", "reason": "other language", "count": 3},
        {"statement": "sinusrhythmus", "reason": "other language", "count": 1},
    ]


def test_what_an_exception_names_takes_away_as_much_as_it_is_certain() -> None:
    lines = ["Bifascicular block", "2:1 block"]
    reports = make_reports(
        {
            "alone": lines,
            "beside": [*lines, "LBBB", "Atrial flutter"],
            "beside possible ones": [*lines, "Possible LBBB", "Possible atrial flutter"],
        }
    )
    found = {
        record: (p["Right bundle branch block"], p["Atrioventricular block"])
        for record, p in probabilities(reports).items()
    }
    assert found == {"alone": (1.0, 0.7), "beside": (0.0, 0.0), "beside possible ones": (0.4, 0.4)}


def test_what_is_made_together_can_be_a_part() -> None:
    reports = make_reports({"a": ["Bifascicular block", "SVT"]})
    label = "Supraventricular tachycardia with aberrancy"
    assert probabilities(reports)["a"][label] == 0.7
    evidence = label_records(reports).evidence
    because = evidence[evidence["label"] == label].iloc[0]
    assert because["matched"] == "svt + bifascicular block"


def test_any_concept_can_be_a_label() -> None:
    vocabulary = LabelVocabulary(
        ("Left axis deviation", "Incomplete right bundle branch block"), ("mean", "mean")
    )
    reports = make_reports({"a": ["LAD", "IRBBB"], "b": ["Left axis deviation"]})
    labels = label_records(reports, label_set=LabelSet.of_concepts(vocabulary)).labels
    _, value, _ = label_matrix(labels, vocabulary)
    np.testing.assert_array_equal(value, [[1, 1], [1, 0]])


def test_wrong_input_is_refused_with_a_reason() -> None:
    reports = make_reports({"a": ["LBBB"]})
    with pytest.raises(ValueError, match=r"threshold is 1\.5"):
        label_records(reports, threshold=1.5)
    with pytest.raises(ValueError, match="Plugh"):
        LabelSet.of_concepts(LabelVocabulary(("Plugh",), ("mean",)))
    with pytest.raises(SchemaError, match="record_id"):
        label_records(pd.concat([reports, reports], ignore_index=True))
    with pytest.raises(SchemaError, match="coding is 'icd-10'"):
        label_records(make_reports({"a": ["I48"]}, coding="icd-10"))


def test_reports_of_many_blocks_get_the_labels_of_a_single_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reports = _every_statement()
    whole = label_records(reports)
    monkeypatch.setattr("ecg_assets.labels.labeler._BLOCK", 7)
    pd.testing.assert_frame_equal(label_records(reports).labels, whole.labels)


def test_label_matrix_takes_rows_in_any_order_but_only_complete_ones() -> None:
    labels = label_records(_every_statement()).labels
    ids, value, probability = label_matrix(labels, ECG_FM_LABELS)
    shuffled = labels.sample(frac=1, random_state=0)
    other_ids, other_value, other_probability = label_matrix(shuffled, ECG_FM_LABELS)
    order = [list(other_ids).index(record_id) for record_id in ids]
    np.testing.assert_array_equal(other_value[order], value)
    np.testing.assert_array_equal(other_probability[order], probability)
    assert value.dtype == np.uint8 and probability.dtype == np.float32
    for broken in (labels.iloc[1:], pd.concat([labels, labels.iloc[:1]])):
        with pytest.raises(SchemaError, match="each label once"):
            label_matrix(broken, ECG_FM_LABELS)
    with pytest.raises(SchemaError, match="Poor data quality"):
        label_matrix(labels, LabelVocabulary(ECG_FM_LABELS.names[1:], ("mean",) * 16))


def test_prevalence_counts_what_is_positive_and_what_is_uncertain() -> None:
    labels = label_records(
        make_reports({"a": ["LBBB"], "b": ["Possible LBBB"], "c": ["RBBB"]})
    ).labels
    row = label_prevalence(labels).set_index("label").loc["Left bundle branch block"]
    assert row.to_dict() == {"positives": 2, "share": pytest.approx(2 / 3), "uncertain": 1}
