"""Real MIMIC-IV-ECG statements: how many are read, and where ECG-FM's labeler says otherwise."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ecg_assets.labels import ECG_FM_LABELS, label_records, label_reports, read_line
from ecg_assets.labels.codings import find_coding
from ecg_assets.labels.concepts import load_knowledge
from ecg_assets.labels.lexicon import Kind, load_lexicon
from ecg_assets.labels.words import split_statements
from ecg_assets_tests.labels.reports import make_reports, probabilities

pytestmark = pytest.mark.reference

Errors = tuple[tuple[str, str, str], ...]

UPSTREAM_ERRORS: Errors = (
    ("", r"\bno (evidence|atrial|pacem)|^not |not (seen|present)", "reads no denial"),
    ("", r"^history|confirmed by", "reads no history; what follows a confirmation is lost"),
    ("Tachycardia", r"fib|flut|^AF ", "has a tachycardia in every fibrillation and flutter"),
    ("Tachycardia", r"\bAT\b|^Pat$|^Mat ", "takes the word 'at' for atrial tachycardia"),
    ("Accessory pathway conduction", r"fib|flut|^AF ", "takes re-entry for an accessory pathway"),
    ("Accessory pathway conduction", r"parkinson|pre-exc|accessory p", "misses it"),
    ("Supraventricular tachycardia with aberrancy", r"fib|flut", "has AF among the SVT"),
    ("Supraventricular tachycardia with aberrancy", r"sinus|^tachyc|^wide", "sinus is no SVT"),
    ("Bradycardia", r"slow (ventricular|sinus)|ventricular escape rhythm", "misses a slow rate"),
    ("Bradycardia", r"idioventricular", "a paroxysmal one is a run"),
    ("Bradycardia", r"complete a-?v block|block, complete|^CHB$", "the rate is not told"),
    ("Sinus rhythm", r"^sinus pause$|^SA block$", "what pauses is sinus rhythm"),
    ("Atrial fibrillation", r"^when compared.*has replaced", "reads no finding after a comparison"),
    ("Atrioventricular block", r"flutter with 2:1 block", "not all of flutter is conducted"),
    ("Right bundle branch block", r"incomplete|IRBBB", "an incomplete one is another finding"),
    ("Right bundle branch block", r"fascicular block$|aberrancy", "bifascicular; aberrant beats"),
    ("Left bundle branch block", r"incomplete|ILBBB|morphology", "an incomplete one is another"),
    ("Bifascicular block", r"incomplete|IRBBB", "an incomplete block is no part of it"),
    ("Bifascicular block", r"^bifascicular|^trifascicular|hemiblock", "misses its own name"),
    ("Atrioventricular block", r"s-?a block|sino-atrial", "a sinoatrial block is none"),
    ("Atrioventricular block", r"bundle|bifascicular", "takes every block for it"),
    ("Atrioventricular block", r"variable conduction|wenckebach|\bPR\b", "words that differ"),
    ("1st degree atrioventricular block", r"\bPR\b", "misses a long PR interval"),
    ("Electronic pacemaker", r"fusion|wandering|pacer detection|status post", "not electronic"),
    ("Sinus rhythm", r"sinus or ectopic", "misses one of two alternatives"),
    ("Premature ventricular contraction", r"couplet|trigeminy|ectopy", "misses the kind of PVC"),
    ("Poor data quality", r"quality|artefact|noise|lead|interspace|technical", "misses some words"),
    ("Poor data quality", r"^repeat ECG$", "a repeat says nothing of this recording"),
    ("Infarction", r"^STEMI$|^NSTEMI$|^heart attack$", "misses some words"),
    ("Ventricular tachycardia", r"^NSVT$", "misses the abbreviation"),
)
"""Label (all if empty), statements, and why ECG-FM's labeler is wrong there: judged one by one."""

REPORT_ERRORS = (
    *UPSTREAM_ERRORS,
    ("Poor data quality", r"artifact", "misses what spoils the recording"),
    ("Tachycardia", r"fast sinus", "misses a fast rate"),
    ("Supraventricular tachycardia with aberrancy", r"tachycardia", "an incomplete block is none"),
    ("Bradycardia", r"risk of developing", "takes a risk for a finding"),
    ("Accessory pathway conduction", r"delta wave", "misses it"),
    ("Atrioventricular block", r"sa exit block|intraventricul|skänkelblock", "another block"),
    ("Premature ventricular contraction", r"ventricular salvos", "a salvo is of such beats"),
    ("Left bundle branch block", r"configuration", "beats of that shape are no such block"),
    ("Infarction", r"\binfarcts\b|infarc\.$", "misses the plural, and a word that was cut"),
    ("Bradycardia", r"slow regular|rate is slow", "misses a slow rate"),
    ("Atrioventricular block", r"sinusrhythmus|sinusbradykardie|arytmi", "reads other languages"),
    ("Atrioventricular block", r"intraventrikulärer block|bifaszikulärer block", "another block"),
)
"""The same for whole reports, of composed lines and of PTB-XL."""

OF_COMPOSED = (
    ("Tachycardia", r"rate greater than 100", "misses a fast rate"),
    ("Atrioventricular block", r"flutter with 2:1 a-v cond", "not all of flutter is conducted"),
    ("Sinus rhythm", r"^sinoatrial block$", "what pauses is sinus rhythm"),
)
OF_REPAIRED = (("", r"without knowing", "what is not known of the patient denies what follows"),)
OF_VOCABULARY = (
    ("Poor data quality", r"none available|normal ecg$", "what is left is not said to be poor"),
    ("Poor data quality", r"^analysis error$|^please repeat$", "says nothing of the recording"),
    ("Poor data quality", r"^reversed$", "a word alone"),
    ("Tachycardia", r"(rapid|uncontrolled) ventricular r", "misses a fast rate"),
    ("Atrioventricular block", r"^block$|^2:1$", "a word alone, which may be of another finding"),
    ("Electronic pacemaker", r"^demand$|^atrioventricular sequential$", "a word alone"),
    ("Sinus rhythm", r"^sinus block$", "what pauses is sinus rhythm"),
    ("Bradycardia", r"complete atrioventricular|block, complete", "the rate is not told"),
    ("", r"detection suspended due to external noise", "a detector that is off; the noise is told"),
)
"""The same for composed reports, for a labeler without two defects, for upstream's vocabulary."""

SAME_FINDINGS = (
    *("3rd degree atrioventricular block", "Accelerated idioventricular rhythm", "Artifact"),
    *("Cerebrovascular accident", "Digitalis effect", "Fascicular block", "Fusion complex"),
    *("Incomplete left bundle branch block", "Incomplete right bundle branch block"),
    *("Indeterminate axis", "Intraventricular conduction delay", "Junctional rhythm"),
    *("Lead reversal", "Lead sequence error", "Left anterior fascicular block"),
    *("Left axis deviation", "Left posterior fascicular block", "Missing lead", "Pericarditis"),
    *("Poor R wave progression", "Prolonged QT interval", "Pulmonary disease", "QRS changes"),
    *("RSR' pattern", "Rapid ventricular response", "Right axis deviation", "ST depression"),
    *("Short PR interval", "Sinus arrhythmia", "Sinus bradycardia", "Sinus tachycardia"),
    *("Tall R wave", "Undetermined rhythm", "Wandering atrial pacemaker"),
)
"""What upstream and this vocabulary call by one name and mean alike, beside the 17 labels."""


def _single_statements(reference_data: Path) -> pd.DataFrame:
    """Statements that stand alone in a report: `record_id`, `statement`, upstream's labels."""
    folder = reference_data / "labeler_golden" / "wide"
    reports = pd.read_csv(folder / "reports.csv", dtype=str, keep_default_na=False)
    labels = pd.read_csv(folder / "labels.csv", dtype={"id": str})
    single = reports[reports["kind"].str.startswith("single_")]
    return single.merge(labels, on="id", validate="one_to_one").rename(
        columns={"id": "record_id", "report_0": "statement"}
    )


def test_statements_are_read(reference_data: Path) -> None:
    path = reference_data / "labeler_golden" / "wide" / "statements.csv"
    real = pd.read_csv(path, keep_default_na=False).query("source == 'public_real_mimic'")
    weight = pd.to_numeric(real["published_count"])
    is_read = pd.Series([not read_line(s).unread for s in real["statement"]], real.index)
    assert is_read.all(), list(real["statement"][~is_read])
    # Stricter: not one word is left over.
    unknown = pd.Series([_unknown_words(s) for s in real["statement"]], real.index)
    assert weight[unknown == 0].sum() >= 0.999 * weight.sum()


def _unknown_words(line: str) -> int:
    spans = [s for part in split_statements(line) for s in load_lexicon().find_spans(part)]
    return sum(span.kind is Kind.UNKNOWN for span in spans)


def test_labels_differ_from_upstreams_only_where_upstream_is_wrong(reference_data: Path) -> None:
    single = _single_statements(reference_data)
    lines = dict(zip(single["record_id"], [[s] for s in single["statement"]], strict=True))
    ours = probabilities(make_reports(lines))
    unexplained, used = [], set()
    for row in single.to_dict("records"):
        found = ours.get(str(row["record_id"]), dict.fromkeys(ECG_FM_LABELS.names, 0.0))
        for label in ECG_FM_LABELS.names:
            is_same = (found[label] >= 0.5) == bool(row[f"hard: {label}"])
            if not is_same:
                errors = _judged_errors(label, str(row["statement"]))
                used.update(errors)
                if not errors:
                    unexplained.append((label, row["statement"], found[label]))
    assert unexplained == []
    assert used == set(UPSTREAM_ERRORS)


def _judged_errors(
    label: str, text: str, errors: Errors = UPSTREAM_ERRORS
) -> list[tuple[str, str, str]]:
    return [
        error
        for error in errors
        if error[0] in ("", label) and re.search(error[1], text, re.IGNORECASE | re.MULTILINE)
    ]


def test_whole_reports_differ_from_upstream_only_where_it_is_wrong(reference_data: Path) -> None:
    folder = reference_data / "labeler_golden" / "wide"
    table = pd.read_csv(folder / "reports.csv", dtype=str, keep_default_na=False)
    lines = _lines(table[~table["kind"].str.startswith("single_")], "id")
    golden = pd.read_csv(folder / "labels.csv", dtype={"id": str}).set_index("id")
    golden = golden.filter(like="hard: ").rename(columns=lambda name: name.removeprefix("hard: "))
    assert len(lines) > 2500
    unexplained, used = _compare(lines, golden, REPORT_ERRORS)
    assert unexplained == []
    assert set(REPORT_ERRORS) - set(UPSTREAM_ERRORS) <= used


def test_composed_reports_differ_from_upstream_only_where_it_is_wrong(reference_data: Path) -> None:
    folder = reference_data / "labeler_golden"
    table = pd.read_csv(folder / "machine_measurements.csv", dtype=str, keep_default_na=False)
    golden = pd.read_csv(folder / "upstream_labels.csv", dtype={"study_id": str})
    unexplained, used = _compare(
        _lines(table, "study_id"), golden.set_index("study_id"), (*REPORT_ERRORS, *OF_COMPOSED)
    )
    assert unexplained == []
    assert set(OF_COMPOSED) <= used


def test_labels_of_a_repaired_labeler_differ_only_where_they_are_wrong(
    reference_data: Path,
) -> None:
    """Upstream with its two defects taken out: descriptors attach, denied findings go."""
    folder = reference_data / "labeler_golden" / "wide"
    table = pd.read_csv(folder / "reports.csv", dtype=str, keep_default_na=False)
    golden = pd.read_csv(folder / "labels_intended.csv.gz", dtype={"id": str}).set_index("id")
    unexplained, used = _compare(_lines(table, "id"), golden, (*REPORT_ERRORS, *OF_REPAIRED))
    assert unexplained == []
    assert set(OF_REPAIRED) <= used


def _lines(table: pd.DataFrame, key: str) -> dict[str, list[str]]:
    """Lines of each report, in the columns ``report_0`` and so on."""
    cells = table.filter(regex=r"^report_\d+$").to_numpy().tolist()
    return dict(zip(table[key], cells, strict=True))


def _compare(
    lines: dict[str, list[str]], golden: pd.DataFrame, errors: Errors
) -> tuple[list[tuple[object, ...]], set[tuple[str, str, str]]]:
    """Find the labels that differ from the golden ones for no reason, and the reasons that count.

    Theirs are positive where their probability is above 0, as the published ones.
    """
    ours = probabilities(make_reports(lines))
    unexplained: list[tuple[object, ...]] = []
    used = set()
    for name, theirs in golden.loc[list(lines)].iterrows():
        found = ours.get(str(name), dict.fromkeys(ECG_FM_LABELS.names, 0.0))
        for label in ECG_FM_LABELS.names:
            if (found[label] >= 0.5) != (theirs[label] > 0):
                reasons = _judged_errors(label, "\n".join(lines[str(name)]), errors)
                used.update(reasons)
                if not reasons:
                    unexplained.append((label, lines[str(name)], found[label]))
    return unexplained, used


def test_what_upstream_claims_whole_is_read(reference_data: Path) -> None:
    folder = reference_data / "labeler_golden" / "wide"
    stages = pd.read_csv(folder / "stages.csv.gz", dtype=str, keep_default_na=False)
    table = pd.read_csv(folder / "reports.csv", dtype=str, keep_default_na=False)
    claimed = set(stages["id"][~stages["unmatched_space"].str.contains("[a-z]")])
    lines = _lines(table[table["id"].isin(claimed)], "id")
    assert len(lines) > 2000
    unread = {line for report in lines.values() for line in report if read_line(line).unread}
    assert unread == {"Normal", "Pat"}  # a word alone, which says nothing of what it is about


def test_findings_beside_the_labels_are_found_where_upstream_finds_them(
    reference_data: Path,
) -> None:
    folder = reference_data / "labeler_golden" / "wide"
    every = pd.read_csv(folder / "labels_all.csv.gz", dtype={"id": str})
    theirs = every[every["name"].isin(SAME_FINDINGS)].groupby("id")["name"].agg(set)
    single = _single_statements(reference_data).set_index("record_id")["statement"]
    implied = load_knowledge().implied
    n_compared = 0
    for name, expected in theirs[theirs.index.isin(single.index)].items():
        mentions = read_line(single[str(name)]).mentions
        found = {concept for m in mentions for concept in implied[m.concept]}
        assert expected <= found, single[str(name)]
        n_compared += len(expected)
    assert n_compared > 450


def test_statements_of_upstreams_vocabulary_have_its_labels_but_where_it_is_wrong(
    reference_data: Path,
) -> None:
    patterns, entities = (
        _read_config(reference_data, name) for name in ("entity_pat", "entity_tem")
    )
    above = {entity["name"]: entity.get("sup", []) for entity in entities}
    assert set(ECG_FM_LABELS.names) <= set(above)
    lines = {pattern["pattern"]: [pattern["pattern"]] for pattern in patterns}
    # Upstream's reading of reports uses these patterns and those of other lists.
    matched = pd.read_csv(
        reference_data / "labeler_golden" / "wide" / "patterns.csv.gz", keep_default_na=False
    )
    assert set(matched["pattern"][matched["type"] == "e"]) <= set(lines)
    theirs = pd.DataFrame(0, list(lines), list(ECG_FM_LABELS.names))
    for pattern in patterns:
        for entity in pattern["entities"]:
            named = [name for name in _with_above(entity["tem"], above) if name in theirs]
            theirs.loc[pattern["pattern"], named] = 1
    unexplained, used = _compare(lines, theirs, (*REPORT_ERRORS, *OF_VOCABULARY))
    assert unexplained == []
    assert set(OF_VOCABULARY) <= used


def test_hedges_and_connectives_of_upstreams_grammar_keep_what_they_speak_of(
    reference_data: Path,
) -> None:
    certainties = _read_config(reference_data, "uncertainty_map")
    lines = []
    for pattern in _read_config(reference_data, "desc_pat"):
        meant = {one["tem"] for one in pattern["descriptors"]}.union(
            *(one["descriptors"] for one in pattern["descriptors"])
        )
        if meant & set(certainties):
            comes_before = pattern["before_after"] == "b"
            words = (
                [pattern["pattern"], "infarct"] if comes_before else ["infarct", pattern["pattern"]]
            )
            lines.append(" ".join(words))
    assert len(lines) == 25
    found = label_reports([[line] for line in lines], probabilities=True)["Infarction"]
    assert (found >= 0.5).all()
    both = [
        [f"atrial fibrillation {connective['pattern']} infarct"]
        for connective in _read_config(reference_data, "connective")
    ]
    assert (label_reports(both)[["Atrial fibrillation", "Infarction"]] == 1).all(axis=None)
    ours = load_knowledge().uncertainty
    assert ours["probable"] == certainties["Probable"]
    assert ours["to be ruled out"] == certainties["Rule out"]
    # Each grade of doubt has its own probability here.
    assert (ours["possible"], certainties["Possible"]) == (0.6, 0.5)


def test_what_upstream_puts_together_is_put_together(reference_data: Path) -> None:
    implied = load_knowledge().implied
    n_compared = 0
    for rule in _read_config(reference_data, "attached_desc_tem"):
        name = rule["resulting_entity"]
        if name in implied and "spike" not in rule["entity"]:  # nobody writes "atrial spike"
            mentions = read_line(f"{rule['descriptor']} {rule['entity']}").mentions
            assert name in {concept for m in mentions for concept in implied[m.concept]}
            n_compared += 1
    assert n_compared == 5
    differing = []
    for rule in _read_config(reference_data, "compound_tem"):
        parts = [part["tem"] for part in rule["including"]]
        if rule["entity"] in ECG_FM_LABELS.names and not label_reports([parts])[rule["entity"]][0]:
            differing.append(parts)
    # Nothing says that such a tachycardia is supraventricular.
    kinds = ("Bundle branch block", "Aberrant ventricular conduction")
    assert differing == [[kind, "Tachycardia"] for kind in kinds]


def _read_config(reference_data: Path, name: str) -> Any:
    path = reference_data / "ecg_fm_labeler_config" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def _with_above(name: str, above: dict[str, list[str]]) -> set[str]:
    return {name}.union(*(_with_above(one, above) for one in above[name]))


def test_every_positive_of_whole_reports_has_its_evidence(reference_data: Path) -> None:
    path = reference_data / "labeler_golden" / "machine_measurements.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    lines = _lines(table, "study_id")
    reports = make_reports(lines)
    tables = label_records(reports)
    assert tables.unmatched.empty
    key = ["record_id", "label"]
    positive = tables.labels[tables.labels["value"] == 1].astype(dict.fromkeys(key, "object"))
    enough = tables.evidence[tables.evidence["probability"] >= 0.5].astype(
        dict.fromkeys(key, "object")
    )
    told = set(enough[key].itertuples(index=False, name=None))
    assert len(positive) > 2000
    assert told == set(positive[key].itertuples(index=False, name=None))
    for row in enough.head(2000).to_dict("records"):
        assert lines[row["record_id"]][row["line_index"]] == row["line"]


def test_codes_of_real_recordings_are_known(reference_data: Path) -> None:
    headers = sorted((reference_data / "real_ecg" / "physionet2021").rglob("*.hea"))
    text = "\n".join(path.read_text() for path in headers)
    codes = set(re.findall(r"\d{6,}", "\n".join(re.findall(r"#\s?Dx:.*", text))))
    assert len(codes) > 10
    assert codes <= set(find_coding("snomed-ct").codes)
