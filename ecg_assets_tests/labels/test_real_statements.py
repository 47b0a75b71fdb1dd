"""Real MIMIC-IV-ECG statements: how many are read, and where ECG-FM's labeler says otherwise."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from ecg_assets.labels import ECG_FM_LABELS, label_records, read_line
from ecg_assets.labels.lexicon import Kind, load_lexicon
from ecg_assets.labels.snomed_ct import load_codes
from ecg_assets.labels.words import split_statements
from ecg_assets_tests.labels.reports import make_reports, probabilities

pytestmark = pytest.mark.reference

UPSTREAM_ERRORS = (
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
    ("Bradycardia", r"^(third|3rd) degree", "has it for 'complete' alone"),
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
    ("Tachycardia", r"\beat\b", "has a tachycardia for the three letters"),
    ("Tachycardia", r"fast sinus", "misses a fast rate"),
    ("Supraventricular tachycardia with aberrancy", r"tachycardia", "an incomplete block is none"),
    ("Bradycardia", r"risk of developing", "takes a risk for a finding"),
    ("Accessory pathway conduction", r"delta wave", "misses it"),
    ("Atrioventricular block", r"sa exit block|intraventricul|skänkelblock", "another block"),
    ("Premature ventricular contraction", r"ventricular salvos", "a salvo is of such beats"),
    ("1st degree atrioventricular block", r"a-v block i\b", "misses the Roman number"),
    ("Left bundle branch block", r"configuration", "beats of that shape are no such block"),
    ("Infarction", r"\binfarcts\b", "misses the plural"),
    ("Atrioventricular block", r"intraventrikulärer block|bifaszikulärer block", "another block"),
)
"""The same for whole reports, of composed lines and of PTB-XL."""


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
    label: str, text: str, errors: tuple[tuple[str, str, str], ...] = UPSTREAM_ERRORS
) -> list[tuple[str, str, str]]:
    return [
        error
        for error in errors
        if error[0] in ("", label) and re.search(error[1], text, re.IGNORECASE | re.MULTILINE)
    ]


def test_whole_reports_differ_from_upstream_only_where_it_is_wrong(reference_data: Path) -> None:
    folder = reference_data / "labeler_golden" / "wide"
    table = pd.read_csv(folder / "reports.csv", dtype=str, keep_default_na=False)
    table = table[~table["kind"].str.startswith("single_")]
    cells = table.filter(regex=r"^report_\d+$").to_numpy().tolist()
    lines = dict(zip(table["id"], cells, strict=True))
    golden = pd.read_csv(folder / "labels.csv", dtype={"id": str}).set_index("id")
    ours = probabilities(make_reports(lines))
    unexplained, n_compared, used = [], 0, set()
    for name, hard in golden.loc[table["id"]].filter(like="hard: ").iterrows():
        found = ours.get(str(name), dict.fromkeys(ECG_FM_LABELS.names, 0.0))
        for label in ECG_FM_LABELS.names:
            n_compared += 1
            if (found[label] >= 0.5) != bool(hard[f"hard: {label}"]):
                errors = _judged_errors(label, "\n".join(lines[str(name)]), REPORT_ERRORS)
                used.update(errors)
                if not errors:
                    unexplained.append((label, lines[str(name)], found[label]))
    assert unexplained == []
    assert set(REPORT_ERRORS) - set(UPSTREAM_ERRORS) <= used
    assert n_compared > 17 * 2500


def test_every_positive_of_whole_reports_has_its_evidence(reference_data: Path) -> None:
    path = reference_data / "labeler_golden" / "machine_measurements.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    cells = table.filter(regex=r"^report_\d+$").to_numpy().tolist()
    reports = make_reports(dict(zip(table["study_id"], cells, strict=True)))
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
    lines = dict(zip(table["study_id"], cells, strict=True))
    for row in enough.head(2000).to_dict("records"):
        assert lines[row["record_id"]][row["line_index"]] == row["line"]


def test_codes_of_real_recordings_are_known(reference_data: Path) -> None:
    headers = sorted((reference_data / "real_ecg" / "physionet2021").rglob("*.hea"))
    text = "\n".join(path.read_text() for path in headers)
    codes = set(re.findall(r"\d{6,}", "\n".join(re.findall(r"#\s?Dx:.*", text))))
    assert len(codes) > 10
    assert codes <= set(load_codes())
