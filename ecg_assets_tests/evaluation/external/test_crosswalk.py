"""The crosswalk says what the labeler does, code by code."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from ecg_assets.errors import SchemaError
from ecg_assets.evaluation.external.crosswalk import (
    Codes,
    crosswalk,
    crosswalk_sources,
    load_notes,
    unmapped_labels,
)
from ecg_assets.evaluation.external.labels import crosswalk_label_sets
from ecg_assets.labels import (
    ECG_FM_LABEL_SET,
    LabelRule,
    LabelSet,
    LabelVocabulary,
    label_records,
    load_label_set,
    shipped_label_sets,
)
from ecg_assets.labels.codings import codings, implied_by, own_concept
from ecg_assets.sources import datasets
from ecg_assets.sources.schema import OWN_LABELS, REPORT_TEXT
from ecg_assets_tests.labels.reports import load_any, make_reports

SCP_ECG, SNOMED_CT, CODE_15, AHA = "scp-ecg", "snomed-ct", "code-15", "aha"
CODED = (SCP_ECG, SNOMED_CT, CODE_15, AHA, REPORT_TEXT, "icd-10-cm")


def _positives(
    label_set: LabelSet, coding: str, reports: dict[str, list[str]]
) -> set[tuple[str, str]]:
    """What the labeler gives, as pairs of report and label."""
    found = label_records(make_reports(reports, coding=coding), label_set=label_set).labels
    found = found[found["value"] == 1]
    return set(zip(found["record_id"].astype(str), found["label"].astype(str), strict=True))


def _row(table: pd.DataFrame, label: str, code: str) -> dict[Any, Any]:
    """The one row of a label and code."""
    (row,) = table[(table["label"] == label) & (table["code"] == code)].to_dict("records")
    return row


@pytest.mark.parametrize("coding", CODED)
@pytest.mark.parametrize("name", shipped_label_sets())
def test_codes_of_a_row_give_the_label_as_it_says(name: str, coding: str) -> None:
    label_set = load_any(name)
    table = crosswalk(label_set, coding)
    coded = table[table["code"].notna()]
    found = _positives(label_set, coding, {c: c.split(" + ") for c in set(coded["code"])})
    for row in coded.itertuples():
        is_withheld = "withheld" in str(row.reason)
        assert ((row.code, row.label) in found) == (row.is_mapped or is_withheld), row


@pytest.mark.parametrize("coding", CODED)
@pytest.mark.parametrize("name", shipped_label_sets())
def test_no_other_code_gives_a_label(name: str, coding: str) -> None:
    label_set = load_any(name)
    table = crosswalk(label_set, coding)
    if label_set.study and label_set.study.coding != coding:  # which the labeler refuses
        assert not table["is_mapped"].any()
        return
    codes = Codes.of_coding(coding, (), label_set).concepts
    given = _positives(label_set, coding, {code: [code] for code in codes})
    assert given <= set(zip(table["code"], table["label"], strict=True))


@pytest.mark.parametrize("coding", CODED)
def test_label_without_a_code_is_given_by_none_even_all_together(coding: str) -> None:
    table = crosswalk(ECG_FM_LABEL_SET, coding)
    lacking = table[table["code"].isna()]
    found = _positives(ECG_FM_LABEL_SET, coding, {"all": list(Codes.of_coding(coding).concepts)})
    assert not {label for _, label in found} & set(lacking["label"])
    assert lacking["reason"].str.startswith("No ").all()
    assert not lacking["is_mapped"].any()


def test_every_label_has_a_row_and_a_reason_in_every_coding() -> None:
    for coding in codings():
        table = crosswalk(ECG_FM_LABEL_SET, coding)
        assert list(dict.fromkeys(table["label"])) == list(ECG_FM_LABEL_SET.vocabulary.names)
        assert table["reason"].str.len().gt(20).all()
        assert not table.duplicated(["label", "code"]).any()


def test_every_source_has_a_coding() -> None:
    assert {dataset.coding for dataset in datasets().values()} == set(codings())
    table = crosswalk_sources(ECG_FM_LABEL_SET)
    assert set(table["evaluation_source"]) == set(datasets())


def test_notes_name_codes_and_concepts_that_are_there() -> None:
    for coding in CODED:
        concepts, notes = Codes.of_coding(coding).concepts, load_notes(coding)
        reached = {implied for concept in concepts.values() for implied in implied_by(concept)}
        combined = {"Bifascicular block", "Supraventricular tachycardia with aberrancy"}
        assert set(notes.codes) <= set(concepts)
        assert {*notes.concepts, *notes.withheld} <= reached | combined


def test_what_each_coding_cannot_express() -> None:
    unmapped = {
        coding: set(unmapped_labels(crosswalk(ECG_FM_LABEL_SET, coding))) for coding in CODED
    }
    assert unmapped[REPORT_TEXT] == set()
    assert unmapped[SCP_ECG] == {"Poor data quality", "Ventricular tachycardia"}
    assert unmapped[SNOMED_CT] == {"Poor data quality"}
    mapped = set(ECG_FM_LABEL_SET.vocabulary.names) - unmapped[CODE_15]
    assert mapped == {
        "Tachycardia",
        "Atrial fibrillation",
        "Bradycardia",
        "Atrioventricular block",
        "1st degree atrioventricular block",
        "Right bundle branch block",
        "Left bundle branch block",
    }


def test_what_makes_a_myocardial_infarction_in_each_coding() -> None:
    label_set = load_label_set("myocardial-infarction")
    tables = {coding: crosswalk(label_set, coding) for coding in CODED}
    made_by = {c: set(table.loc[table["is_mapped"], "code"]) for c, table in tables.items()}
    assert made_by[SCP_ECG] == {
        *("IMI", "AMI", "LMI", "ILMI", "ASMI", "ALMI", "PMI", "IPLMI", "IPMI")
    }
    assert made_by[SNOMED_CT] == {"57054005", "54329005", "164865005", "164867002"}
    assert {"Infarction", "Inferior infarction"} < made_by[REPORT_TEXT]
    assert unmapped_labels(tables[CODE_15]) == {
        "MI": "No CODE-15 column names Infarction, or a finding that implies it."
    }
    same = crosswalk_label_sets(label_set, ECG_FM_LABEL_SET)
    assert same["data_label"].tolist() == ["Infarction"]


def test_withheld_label_says_why() -> None:
    reason = unmapped_labels(crosswalk(ECG_FM_LABEL_SET, CODE_15))["Sinus rhythm"]
    assert "no column names a sinus rhythm of normal rate" in reason


def test_code_below_the_threshold_is_listed_but_not_mapped() -> None:
    table = crosswalk(ECG_FM_LABEL_SET, SCP_ECG, threshold=0.8)
    row = _row(table, "1st degree atrioventricular block", "LPR")
    assert not row["is_mapped"]
    assert "probability 0.7). That is below the label threshold of 0.8." in row["reason"]


def test_code_of_a_finding_that_the_label_excludes_is_not_mapped() -> None:
    table = crosswalk(load_label_set("six-conditions"), SNOMED_CT)
    row = _row(table, "NORM", "427084000")
    assert not row["is_mapped"]
    assert "excludes Tachycardia" in row["reason"]
    assert _row(table, "NORM", "426783006")["is_mapped"]


def test_sinus_rhythm_leads_to_norm_only_where_no_code_is_of_normal_recordings() -> None:
    table = crosswalk(load_label_set("six-conditions"), SCP_ECG)
    assert set(table.loc[table["label"] == "NORM", "code"]) == {"NORM"}


def test_one_code_that_makes_another_finding_says_so() -> None:
    table = crosswalk(ECG_FM_LABEL_SET, REPORT_TEXT)
    row = _row(table, "Right bundle branch block", "Bifascicular block")
    assert row["is_mapped"]
    assert "names the concept Bifascicular block, which makes Right bundle" in row["reason"]


def test_own_columns_are_read_as_no_concept() -> None:
    table = crosswalk(ECG_FM_LABEL_SET, OWN_LABELS, own_labels=["Atrial fibrillation"])
    assert not table["is_mapped"].any()
    rule = LabelRule((own_concept("AF"), "Atrial fibrillation"))
    label_set = LabelSet(LabelVocabulary(("AFIB",), ("mean",)), (rule,))
    row = crosswalk(label_set, OWN_LABELS, own_labels=["AF"]).iloc[0]
    assert row["is_mapped"]
    assert row["reason"] == "Column AF names the concept own:AF."


def test_unknown_coding_is_refused() -> None:
    with pytest.raises(SchemaError, match="coding is 'icd-10'; expected one of report-text"):
        crosswalk(ECG_FM_LABEL_SET, "icd-10")


def test_label_sets_are_matched_by_concept_and_not_by_half() -> None:
    table = crosswalk_label_sets(ECG_FM_LABEL_SET, load_label_set("six-conditions"))
    pairs = table[table["is_mapped"]].set_index("label")["data_label"].to_dict()
    assert pairs == {
        "Atrial fibrillation": "AFIB",
        "Atrial flutter": "AFLT",
        "1st degree atrioventricular block": "1dAVb",
        "Right bundle branch block": "RBBB",
        "Left bundle branch block": "LBBB",
    }
    reasons = dict(zip(table["label"], table["reason"], strict=True))
    assert "1dAVb of the data would imply" in reasons["Atrioventricular block"]


def test_own_label_of_the_same_name_is_the_same() -> None:
    data = LabelSet.of_own_labels(["Atrial flutter", "AFIB"])
    table = crosswalk_label_sets(ECG_FM_LABEL_SET, data).set_index("label")
    assert list(table.index[table["is_mapped"]]) == ["Atrial flutter"]
    assert table.loc["Atrial flutter", "concept"] == "own:Atrial flutter"
