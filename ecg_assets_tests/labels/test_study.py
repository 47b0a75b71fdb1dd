"""Label sets that are lists of codes, with a study's own rules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ecg_assets.errors import SettingsError, SpecMismatch
from ecg_assets.evaluation.external.crosswalk import crosswalk
from ecg_assets.evaluation.external.labels import label_external
from ecg_assets.known import NOT_MEASURED
from ecg_assets.labels import label_matrix, label_records, load_label_set
from ecg_assets.labels.label_set import (
    find_study,
    fingerprint_label_set,
    label_facts,
    label_set_of,
)
from ecg_assets.labels.study import Published, shipped_studies
from ecg_assets.labels.study_counts import compare_with_study, main
from ecg_assets.made_with import LABEL_STUDY, known_facts
from ecg_assets.sources.code_15 import LABEL_COLUMNS
from ecg_assets.sources.physionet2021 import SNOMED_CT
from ecg_assets.sources.ptb_xl import SCP_ECG
from ecg_assets.sources.schema import NO_LABEL, OWN_LABELS, measured_line
from ecg_assets_tests.labels.reports import load_any, make_reports

REPORTS = {
    "likely": ["ISCAL 80", "SR 0"],
    "unknown": ["ISCAN 0", "ISC_ 0", "AFIB 0"],
    "unlikely": ["ISC_ 15"],
    "other": ["SR 0"],
    "unread": ["XYZ 100"],
    "empty": None,
}
"""Ischemia: eight codes, which are one concept."""


def _write(folder: Path, text: str, name: str = "study.yaml") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def _study(folder: Path, likelihood: str, unlabelled: str) -> str:
    return _write(
        folder,
        f"coding: scp-ecg\nlikelihood: {likelihood}\nunlabelled: {unlabelled}\n"
        "labels:\n  ISC_:\n  ISCA: [ISCAL, ISCAN]\n",
    )


def _label(path: str, threshold: float = 0.5) -> dict[str, list[int]]:
    label_set = load_label_set(path)
    labels = label_records(
        make_reports(REPORTS, coding=SCP_ECG), label_set=label_set, threshold=threshold
    ).labels
    ids, values, _ = label_matrix(labels, label_set.vocabulary)
    return dict(zip(map(str, ids), values.tolist(), strict=True))


@pytest.mark.parametrize(
    ("likelihood", "expected"),
    [
        ("any", {"likely": [0, 1], "unknown": [1, 1], "unlikely": [1, 0]}),
        ("15", {"likely": [0, 1], "unlikely": [1, 0]}),
        ("80", {"likely": [0, 1]}),
    ],
)
@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_the_study_says_which_likelihoods_count(
    likelihood: str, expected: dict[str, list[int]], threshold: float, tmp_path: Path
) -> None:
    assert _label(_study(tmp_path, likelihood, "drop"), threshold) == expected
    kept = _label(_study(tmp_path, likelihood, "keep"), threshold)
    absent = {name: [0, 0] for name in ("likely", "unknown", "unlikely", "other")}
    assert kept == {**absent, **expected}


def test_evidence_says_what_did_not_count(tmp_path: Path) -> None:
    label_set = load_label_set(_study(tmp_path, "80", "keep"))
    evidence = label_records(make_reports(REPORTS, coding=SCP_ECG), label_set=label_set).evidence
    columns = ["record_id", "line", "rule", "probability"]
    assert evidence[columns].astype(object).to_numpy().tolist() == [
        ["likely", "ISCAL 80", "scp-ecg code", 1.0],
        ["unknown", "ISCAN 0", "scp-ecg code", 0.0],
        ["unknown", "ISC_ 0", "scp-ecg code", 0.0],
        ["unlikely", "ISC_ 15", "scp-ecg code", 0.0],
    ]


@pytest.mark.parametrize("name", shipped_studies())
def test_a_study_travels_with_its_labels(name: str) -> None:
    label_set = load_any(name)
    assert label_set.study is not None
    reports = make_reports({}, coding=label_set.study.coding)
    facts = known_facts(label_records(reports, label_set=label_set).labels)
    assert facts[LABEL_STUDY] == label_set.study.model_dump()
    assert label_set_of(json.loads(json.dumps(facts))) == label_set


def test_labels_of_concepts_say_nothing_of_a_study() -> None:
    assert LABEL_STUDY not in label_facts(load_label_set("six-conditions"), 0.5)
    assert fingerprint_label_set("six-conditions") == "six-conditions"


def test_two_codes_of_the_challenge_are_one_class() -> None:
    label_set = load_label_set("physionet-2021-scored")
    codes = {"a": ["733534002"], "b": ["164909002", "426783006"], "c": ["17338001"], "d": ["1"]}
    labels = label_records(make_reports(codes, coding=SNOMED_CT), label_set=label_set).labels
    positive = labels[labels["value"] == 1]
    assert list(zip(positive["record_id"], positive["label"], strict=True)) == [
        *(("a", "CLBBB"), ("b", "CLBBB"), ("b", "NSR"), ("c", "PVC")),
    ]
    assert set(labels["record_id"]) == {"a", "b", "c"}


def test_class_of_the_challenge_is_merged_as_its_weights_are() -> None:
    rules = load_label_set("physionet-2021-scored").rules
    codes = [concept.split(":")[2] for rule in rules for concept in rule.includes]
    assert (len(rules), len(codes), len(set(codes))) == (26, 30, 30)
    merged = {frozenset(c.split(":")[2] for c in r.includes) for r in rules if len(r.includes) > 1}
    assert merged == {
        frozenset({"733534002", "164909002"}),
        frozenset({"713427006", "59118001"}),
        frozenset({"284470004", "63593006"}),
        frozenset({"427172004", "17338001"}),
    }


def test_exam_of_code_15_without_abnormality_is_a_negative_of_all() -> None:
    label_set = load_label_set("code-15-six")
    assert label_set.vocabulary.names == LABEL_COLUMNS[:6]
    reports = make_reports({"a": ["AF", "RBBB"], "b": [NO_LABEL], "c": ["normal_ecg"]}, "code-15")
    labels = label_records(reports, label_set=label_set).labels
    assert labels.groupby("record_id", observed=True)["value"].sum().tolist() == [2, 0, 0]


def test_own_labels_can_be_a_study(tmp_path: Path) -> None:
    text = "coding: own-labels\nunlabelled: drop\nlabels: {Any AF: [AF, AFL]}"
    label_set = load_label_set(_write(tmp_path, text), own_labels=("AF", "AFL", "RBBB"))
    reports = make_reports({"a": ["AFL"], "b": ["RBBB"], "c": [NO_LABEL]}, OWN_LABELS)
    assert set(label_records(reports, label_set=label_set).labels["record_id"]) == {"a"}
    external = label_external(reports, label_set)
    assert set(external.labels["record_id"]) == {"a"}


def test_what_a_file_does_not_say_is_as_in_the_one_that_it_is_like(tmp_path: Path) -> None:
    _write(tmp_path, "like: ptb-xl-rhythm-drop\naggregation: max\n", "base.yaml")
    path = _write(tmp_path, "like: base.yaml\nunlabelled: keep\n")
    label_set, base = load_label_set(path), load_label_set("ptb-xl-rhythm-drop")
    assert label_set.rules == base.rules
    assert set(label_set.vocabulary.aggregation) == {"max"}
    assert label_set.study is not None
    assert label_set.study.changed(unlabelled="drop") == base.study
    before = fingerprint_label_set(path)
    _write(tmp_path, "like: ptb-xl-rhythm-drop\naggregation: mean\n", "base.yaml")
    assert fingerprint_label_set(path) != before


_HEAD = "coding: scp-ecg\nunlabelled: keep\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("coding: scp-ecg\nlabels: {NORM: }", "unlabelled is missing"),
        (f"{_HEAD}labels: {{AMI: [AMI, ASM]}}", r"scp-ecg lacks: \{'AMI': \['ASM'\]\}.*scp_ecg"),
        (f"{_HEAD}labels: {{AMI: {{code: AMI}}}}", "label 'AMI'.*no field of"),
        (f"{_HEAD}labels: {{}}", "both `labels` and `every_code`, or neither"),
        (f"{_HEAD}labels: {{NORM: }}\nevery_code: {{}}", "both `labels` and `every_code`"),
        (f"{_HEAD}every_code: {{least_records: 0}}", "least_records is 0"),
        (f"{_HEAD}every_code: {{alike: {{A: [XYZ]}}}}", "codes that scp-ecg lacks"),
        (f"{_HEAD}ancestors: true\nevery_code: {{}}", "which scp-ecg has not"),
        (f"{_HEAD}labels: {{AMI: []}}", r"label 'AMI': codes is"),
        (f"{_HEAD}likelihood: 120\nlabels: {{AMI: }}", "likelihood is 120"),
        (f"{_HEAD}labels: {{AMI: {{codes: AMI, aggregation: sum}}}}", "aggregation"),
        ("coding: report-text\nunlabelled: keep\nlabels: {AF: }", "one that has codes"),
        ("coding: scp\nunlabelled: keep\nlabels: {AF: }", "expected one of report-text"),
        ("like: study.yaml", "back to the file itself"),
        ("like: ../study.yaml", "expected one of chagas, code-15-six"),
    ],
)
def test_file_that_cannot_be_meant_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"(?s){message}"):
        load_label_set(_write(tmp_path, text))


def test_reports_of_another_coding_are_refused() -> None:
    label_set = load_label_set("ptb-xl-super-drop")
    with pytest.raises(SettingsError, match=r"codes of scp-ecg, but .* snomed-ct"):
        label_records(make_reports({"a": ["426783006"]}, SNOMED_CT), label_set=label_set)
    with pytest.raises(SpecMismatch, match="can express none of 5 labels"):
        label_external(make_reports({"a": ["426783006"]}, SNOMED_CT), label_set)


def test_own_columns_of_the_names_stand_for_a_studys_labels() -> None:
    label_set = load_label_set("ptb-xl-super-drop")
    external = label_external(make_reports({"a": ["NORM"], "b": ["MI"]}, OWN_LABELS), label_set)
    assert external.label_set.vocabulary.names == ("MI", "NORM")
    assert set(external.unmapped) == {"CD", "HYP", "STTC"}


def test_crosswalk_names_each_code() -> None:
    table = crosswalk(load_label_set("ptb-xl-super-drop"), SCP_ECG).query("label == 'HYP'")
    assert set(table["code"]) == {"LAO/LAE", "LVH", "RAO/RAE", "RVH", "SEHYP"}
    assert table["is_mapped"].all()
    other = crosswalk(load_label_set("ptb-xl-super-drop"), "code-15")
    assert not other["is_mapped"].any()


def test_coding_without_concepts_serves_studies(tmp_path: Path) -> None:
    from ecg_assets.labels.codings import read_coding

    path = tmp_path / "icd.yaml"
    path.write_text("codes: {I21: , I48: Atrial fibrillation}\n", encoding="utf-8")
    coding = read_coding("icd-10", path)
    assert coding.read("I21").mentions[0].concept == "code:icd-10:I21"
    assert coding.read("I48").mentions[0].concept == "Atrial fibrillation"
    assert coding.read_code("I48").mentions[0].concept == "code:icd-10:I48"


def test_label_that_nobody_looked_for_is_no_positive_of_a_study(tmp_path: Path) -> None:
    path = _write(tmp_path, "coding: own-labels\nunlabelled: keep\nlabels: {AF: , LBBB: }\n")
    lines = {"a": ["AF"], "b": [NO_LABEL], "c": ["LBBB", measured_line("AF", None)]}
    reports = make_reports(lines, coding=OWN_LABELS)
    label_set = load_label_set(path, own_labels=("AF", "LBBB"))
    published = Published(
        source="folder",
        dataset_records=3,
        reference="a table",
        records={"all": 3},
        positives={"AF": {"all": 1}},
    )
    table = compare_with_study(label_records(reports, label_set=label_set).labels, published)
    assert table["found"].tolist() == [3, 1]


def test_label_of_a_study_is_unknown_where_what_measures_it_is_empty(tmp_path: Path) -> None:
    text = "coding: own-labels\nunlabelled: keep\nlabels:\n  PH:\n    codes: PH\n"
    path = _write(tmp_path, f"{text}    measured_by: 'own:PASP [mmHg]'\n  AF:\n")
    label_set = load_label_set(path, own_labels=("PH", "AF"))
    pasp = measured_line("PASP [mmHg]", 40.0)
    lines = {"a": ["PH"], "b": [NO_LABEL, pasp], "c": ["AF"]}
    reports = make_reports(lines, coding=OWN_LABELS)
    tables = label_records(reports, label_set=label_set)
    values = label_matrix(tables.labels, label_set.vocabulary)[1]
    assert values.tolist() == [[1, 0], [0, 0], [NOT_MEASURED, 1]]
    assert label_set_of(json.loads(json.dumps(label_facts(label_set, 0.5)))) == label_set


def test_code_that_nobody_looked_for_leaves_its_labels_open() -> None:
    lines = {"a": ["AF", measured_line("normal_ecg", None)], "b": ["normal_ecg"], "c": [NO_LABEL]}
    reports = make_reports(lines, "code-15")
    label_set = load_label_set("six-conditions")
    tables = label_records(reports, label_set=label_set)
    values = label_matrix(tables.labels, label_set.vocabulary)[1]
    assert values[:, label_set.vocabulary.names.index("NORM")].tolist() == [NOT_MEASURED, 1, 0]
    assert values[:, label_set.vocabulary.names.index("AFIB")].tolist() == [1, 0, 0]
    assert tables.unmatched.empty


def test_shipped_study_of_own_labels_is_known_before_the_data_are() -> None:
    label_set = load_label_set("echonext-11-measured")
    assert len(label_set.vocabulary) == 11
    with pytest.raises(SettingsError, match=r"own labels are \['own:AF'\]"):
        load_label_set("echonext-11-measured", own_labels=("AF",))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch", "{}"], "set it to one of"),
        (["ptb-xl", "{}/nowhere"], "does not exist"),
        (["synthetic", "{}"], "No study here published counts of synthetic"),
    ],
)
def test_what_cannot_be_counted_is_said_in_a_sentence(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([argument.format(tmp_path) for argument in arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "change", ["likelihood: 50", "unlabelled: keep", "labels: {NORM: , MI: [IMI, AMI]}"]
)
def test_counts_of_other_rules_or_labels_are_not_those_that_were_published(
    change: str, tmp_path: Path
) -> None:
    changed = find_study(_write(tmp_path, f"like: ptb-xl-super-drop\n{change}\n"))
    same = find_study(_write(tmp_path, "like: ptb-xl-super-drop\naggregation: max\n", "same.yaml"))
    assert changed and changed.published is None
    assert same and same.published
