"""The adapter to ECG-FM's labeler: its protocol on a stand-in, its numbers on the real one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecg_assets.errors import EcgAssetsError, SettingsError
from ecg_assets.labels import (
    ECG_FM_LABELS,
    UpstreamLabeler,
    find_label_differences,
    label_matrix,
    label_records,
    label_records_upstream,
    lines_of_differing_records,
    upstream,
)
from ecg_assets.labels.label_differences import LINES_TOGETHER
from ecg_assets_tests.labels.reports import make_reports
from ecg_assets_tests.labels.upstream_stand_in import write_stand_in

NEEDS_ECG_FM = pytest.mark.skipif(
    not (os.environ.get("ECG_FM_ROOT") and os.environ.get("ECG_FM_PYTHON")),
    reason="needs a clone of ECG-FM (ECG_FM_ROOT) and a Python with pandas 2 (ECG_FM_PYTHON)",
)


@pytest.fixture
def labeler(tmp_path: Path) -> UpstreamLabeler:
    return UpstreamLabeler(write_stand_in(tmp_path / "ECG-FM"), sys.executable)


def test_every_recording_gets_its_texts_labels(
    labeler: UpstreamLabeler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "TEXTS_PER_CALL", 2)
    reports = make_reports(
        {"a": ["No evidence of", "Infarct"], "b": [], "c": ["Sinus rhythm"], "d": ["flutter"]}
    )
    done: list[tuple[int, int]] = []
    labels = label_records_upstream(reports, labeler, progress=lambda *counts: done.append(counts))
    ids, value, probability = label_matrix(labels, ECG_FM_LABELS)
    names = ECG_FM_LABELS.names
    assert ids.tolist() == ["a", "b", "c", "d"]
    assert value[:, names.index("Infarction")].tolist() == [1, 0, 0, 0]
    assert value[:, names.index("Atrial flutter")].tolist() == [0, 0, 0, 1]
    assert probability.max(axis=1).tolist() == [1.0, 0.0, 0.0, 0.5]
    assert done[-1] == (4, 4)
    strict = label_records_upstream(reports, labeler, threshold=0.6)
    assert strict["value"].sum() == 1


def test_patterns_are_those_of_their_text(labeler: UpstreamLabeler) -> None:
    readings = labeler.read(["sinus rhythm", "infarct and flutter", "flutter"])
    assert [reading.patterns for reading in readings] == [[], ["infarct", "flutter"], ["flutter"]]


def test_failure_names_the_error_and_what_is_needed(labeler: UpstreamLabeler) -> None:
    with pytest.raises(EcgAssetsError, match=r"ValueError: it broke.*pandas"):
        labeler.read(["crash"])


def test_interpreter_that_is_none_is_a_wrong_setting(labeler: UpstreamLabeler) -> None:
    with pytest.raises(SettingsError, match="ECG_FM_PYTHON"):
        UpstreamLabeler(labeler.root, "/nowhere/python").read(["infarct"])


def test_folder_without_the_labeler_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ECG_FM_ROOT"):
        UpstreamLabeler(tmp_path, sys.executable)


def test_differences_name_the_statement_and_both_reasons(labeler: UpstreamLabeler) -> None:
    reports = make_reports(
        {
            "a": ["Sinus rhythm", "No evidence of infarct"],
            "b": ["No evidence of infarct"],
            "c": ["Old inferior infarct"],
            "d": ["Atrial fibrillation"],
            "e": ["RBBB", "Left anterior fascicular block"],
        }
    )
    ours = label_records(reports).labels
    theirs = label_records_upstream(reports, labeler)
    lines = lines_of_differing_records(reports, ours, theirs)
    readings = dict(zip(lines, labeler.read(lines), strict=True))
    found = find_label_differences(
        reports, ours, theirs, readings, threshold=0.5, upstream_threshold=0.0
    )
    rows = {(row["label"], row["statement"]): row for row in found.to_dict("records")}
    denied = rows["Infarction", "No evidence of infarct"]
    assert (denied["ours"], denied["upstream"], denied["records"]) == (0, 1, 2)
    assert denied["our_reason"] == "infarct: negated (0)"
    assert denied["upstream_reason"] == "infarct"
    assert rows["Atrial fibrillation", "Atrial fibrillation"]["records"] == 1
    assert rows["Bifascicular block", LINES_TOGETHER]["records"] == 1
    assert ("Infarction", "Old inferior infarct") not in rows


@pytest.mark.reference
@NEEDS_ECG_FM
@pytest.mark.parametrize("joint", [" ", "; "])
def test_real_labeler_gives_the_golden_labels(reference_data: Path, joint: str) -> None:
    folder = reference_data / "labeler_golden" / "wide"
    table = pd.read_csv(folder / "reports.csv", dtype=str, keep_default_na=False)
    cells = table.filter(regex=r"^report_\d+$").to_numpy().tolist()
    reports = make_reports(dict(zip(table["id"], cells, strict=True)))
    labeler = UpstreamLabeler(Path(os.environ["ECG_FM_ROOT"]), os.environ["ECG_FM_PYTHON"], joint)
    ids, value, probability = label_matrix(label_records_upstream(reports, labeler), ECG_FM_LABELS)
    golden = pd.read_csv(folder / "labels.csv", dtype={"id": str}).set_index("id").reindex(ids)
    for k, name in enumerate(ECG_FM_LABELS.names):
        np.testing.assert_array_equal(value[:, k], golden[f"hard: {name}"])
        np.testing.assert_allclose(probability[:, k], golden[f"soft: {name}"], rtol=0, atol=1e-6)


@pytest.mark.reference
@NEEDS_ECG_FM
def test_real_labeler_gives_all_golden_labels_and_patterns(reference_data: Path) -> None:
    folder = reference_data / "labeler_golden" / "wide"
    texts = pd.read_csv(folder / "labels.csv", dtype=str, keep_default_na=False)[["id", "text"]]
    labeler = UpstreamLabeler(Path(os.environ["ECG_FM_ROOT"]), os.environ["ECG_FM_PYTHON"])
    readings = dict(zip(texts["id"], labeler.read(texts["text"].tolist()), strict=True))
    every = pd.read_csv(folder / "labels_all.csv.gz", dtype={"id": str})
    patterns = pd.read_csv(folder / "patterns.csv.gz", dtype={"id": str}, keep_default_na=False)
    for name, of_text in every.groupby("id"):
        found = readings[str(name)].labels
        plain = {label: prob for label, prob in found.items() if " - " not in label}
        golden = of_text[~of_text["name"].str.contains(" - ")]
        expected = dict(zip(golden["name"], golden["prob"], strict=True))
        assert plain == pytest.approx(expected, rel=0, abs=1e-6)
    for name, of_text in patterns.groupby("id"):
        assert sorted(readings[str(name)].patterns) == sorted(of_text["pattern"])


@pytest.mark.reference
@NEEDS_ECG_FM
def test_real_labeler_gives_the_golden_labels_of_composed_reports(reference_data: Path) -> None:
    folder = reference_data / "labeler_golden"
    table = pd.read_csv(folder / "machine_measurements.csv", dtype=str, keep_default_na=False)
    cells = table.filter(regex=r"^report_\d+$").to_numpy().tolist()
    reports = make_reports(dict(zip(table["study_id"], cells, strict=True)))
    labeler = UpstreamLabeler(Path(os.environ["ECG_FM_ROOT"]), os.environ["ECG_FM_PYTHON"])
    ids, _, probability = label_matrix(label_records_upstream(reports, labeler), ECG_FM_LABELS)
    golden = pd.read_csv(folder / "upstream_labels.csv", dtype={"study_id": str})
    expected = golden.set_index("study_id").reindex(ids)[list(ECG_FM_LABELS.names)]
    np.testing.assert_allclose(probability, expected, rtol=0, atol=1e-6)
