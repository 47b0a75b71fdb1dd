"""Another dataset as an evaluation set: labelled anew, and nothing made up about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ecg_assets.errors import LeakageError, SchemaError, SpecMismatch
from ecg_assets.evaluation import evaluate_checkpoint
from ecg_assets.evaluation.external.evaluate_sets import (
    build_external_set,
    explain_relation,
    find_unmapped,
)
from ecg_assets.evaluation.external.labels import (
    find_stored_labels,
    keep_names,
    label_external,
    widen_labels,
)
from ecg_assets.evaluation.sets import EvaluationSet, Part, Relation, choose_part, relate
from ecg_assets.labels import ECG_FM_LABEL_SET, ECG_FM_LABELS, LabelVocabulary, load_label_set
from ecg_assets.labels.label_set import label_facts
from ecg_assets.made_with import SOURCE
from ecg_assets.models.checkpoint_folder import CheckpointCard
from ecg_assets.models.predictions import Predictions, ValidationPredictions
from ecg_assets.models.seen_patients import SeenPatients, TrainingStage, hash_patients
from ecg_assets.preprocess import SignalSpec
from ecg_assets.sources.physionet2021 import SNOMED_CT
from ecg_assets.sources.ptb_xl import SCP_ECG
from ecg_assets.sources.schema import NO_LABEL, OWN_LABELS, REPORT_TEXT
from ecg_assets_tests.evaluation.external.stored_cohort import store_source
from ecg_assets_tests.labels.reports import make_reports

SCP_REPORTS = {"a": ["AFIB 0", "CRBBB 100"], "b": ["SR 0", "NORM 100"], "c": ["SBRAD 0"]}


def _card(folder: Path, source: str, spec: SignalSpec | None = None) -> CheckpointCard:
    """A checkpoint that was trained on patients of a dataset, whose first is called ``seen``."""
    if source:
        _seen(source).write(folder)
    return CheckpointCard(folder, spec or SignalSpec(), ECG_FM_LABELS, {})


def _seen(source: str, patients: Sequence[str] = ("seen",)) -> SeenPatients:
    if not source:
        return SeenPatients((TrainingStage("file.pt", "unknown"),), (np.empty(0, np.uint64),))
    stage = TrainingStage("model", "fine-tuning", source)
    return SeenPatients((stage,), (hash_patients(patients, stage),))


def _predictions(
    vocabulary: LabelVocabulary, n_records: int = 40, seed: int = 0
) -> ValidationPredictions:
    generator = np.random.default_rng(seed)
    shape = (n_records, len(vocabulary))
    return ValidationPredictions(
        np.array([f"r{i}" for i in range(n_records)]),
        np.array([f"p{i}" for i in range(n_records)]),
        vocabulary,
        (generator.random(shape) < 0.4).astype(np.uint8),
        generator.random(shape, dtype=np.float32),
    )


@pytest.mark.parametrize(
    ("source", "trained_on", "relation", "part"),
    [
        ("ptb-xl", "mimic-iv-ecg", Relation.EXTERNAL, Part.ALL),
        ("mimic-iv-ecg", "mimic-iv-ecg", Relation.OWN, Part.TEST),
        ("physionet-2021", "ptb-xl", Relation.SHARED, Part.ALL),
        ("ptb-xl", "physionet-2021", Relation.SHARED, Part.ALL),
        ("ptb-xl", "", Relation.UNKNOWN, Part.ALL),
    ],
)
def test_only_a_set_without_known_overlap_is_external(
    source: str, trained_on: str, relation: Relation, part: Part
) -> None:
    seen = _seen(trained_on)
    assert relate(seen, source) == relation
    assert choose_part(seen, source, gave_thresholds=False) == part
    assert bool(explain_relation(source, seen)) == (relation != Relation.EXTERNAL)


def test_a_set_that_an_earlier_training_read_is_not_external() -> None:
    """Fine-tuned on one dataset, on an encoder that saw another one's recordings."""
    stages = (
        TrainingStage("model", "fine-tuning", "mimic-iv-ecg"),
        TrainingStage("encoder", "pre-training", "ptb-xl"),
    )
    seen = SeenPatients(stages, (np.empty(0, np.uint64),) * 2)
    assert relate(seen, "physionet-2021") == Relation.SHARED
    assert "encoder was trained on ptb-xl" in explain_relation("physionet-2021", seen)


def test_labels_that_the_coding_lacks_are_left_out_and_named() -> None:
    found = label_external(make_reports(SCP_REPORTS, coding=SCP_ECG), ECG_FM_LABEL_SET)
    assert set(found.unmapped) == {"Poor data quality", "Ventricular tachycardia"}
    assert set(found.label_set.vocabulary.names) == set(ECG_FM_LABELS.names) - set(found.unmapped)
    positive = found.labels[found.labels["value"] == 1]
    assert set(zip(positive["record_id"], positive["label"], strict=True)) == {
        ("a", "Atrial fibrillation"),
        ("a", "Right bundle branch block"),
        ("b", "Sinus rhythm"),
        ("c", "Sinus rhythm"),
        ("c", "Bradycardia"),
    }


def test_own_label_is_taken_by_its_name_alone() -> None:
    reports = make_reports({"a": ["Atrial flutter", "AF"], "b": [NO_LABEL]}, coding=OWN_LABELS)
    found = label_external(reports, ECG_FM_LABEL_SET)
    assert found.label_set.vocabulary.names == ("Atrial flutter",)
    assert found.labels["value"].tolist() == [1, 0]
    assert len(found.unmapped) == len(ECG_FM_LABELS) - 1


@pytest.mark.parametrize("coding", [REPORT_TEXT, OWN_LABELS])
def test_folder_is_judged_by_the_coding_that_its_reports_have(tmp_path: Path, coding: str) -> None:
    stored = store_source(tmp_path, "folder", {"a": ["Sinus rhythm"], "b": ["AF"]}, coding)
    facts = {SOURCE: "folder", **label_facts(ECG_FM_LABEL_SET, 0.5)}
    unmapped = find_unmapped(stored, facts, ECG_FM_LABELS.names)
    is_text = coding == REPORT_TEXT
    assert len(unmapped) == (0 if is_text else len(ECG_FM_LABELS))
    assert find_stored_labels(stored) == (() if is_text else ("AF", "Sinus rhythm"))


def test_coding_that_expresses_no_label_is_refused() -> None:
    reports = make_reports({"a": ["AF"]}, coding=OWN_LABELS)
    with pytest.raises(SpecMismatch, match="own-labels can express none of 17 labels"):
        label_external(reports, ECG_FM_LABEL_SET)


def test_recordings_get_the_checkpoints_labels_and_spec(tmp_path: Path) -> None:
    stored = store_source(tmp_path, "ptb-xl", SCP_REPORTS, SCP_ECG)
    spec = SignalSpec(leads=("II",), segment_s=10.0)
    found = build_external_set(
        stored,
        _card(tmp_path, "mimic-iv-ecg", spec),
        ECG_FM_LABEL_SET,
    )
    assert found.manifest.spec == spec
    assert found.manifest.index["record_id"].tolist() == ["a", "b", "c"]
    column = found.manifest.vocabulary.names.index("Atrial fibrillation")
    assert found.manifest.targets[:, column].tolist() == [1, 0, 0]


def test_lead_that_the_shards_lack_is_refused(tmp_path: Path) -> None:
    stored = store_source(tmp_path, "ptb-xl", SCP_REPORTS, SCP_ECG)
    card = _card(tmp_path, "mimic-iv-ecg", SignalSpec(leads=("V1",)))
    with pytest.raises(SchemaError, match=r"stores the leads \['I', 'II'\]"):
        build_external_set(stored, card, ECG_FM_LABEL_SET)


def test_other_labels_than_the_checkpoints_are_refused(tmp_path: Path) -> None:
    stored = store_source(tmp_path, "ptb-xl", SCP_REPORTS, SCP_ECG)
    other = load_label_set("six-conditions")
    with pytest.raises(SpecMismatch, match="the current label set differs"):
        build_external_set(stored, _card(tmp_path, "x"), other)


def test_source_of_the_training_gives_its_test_split_unless_it_was_trained_on(
    tmp_path: Path,
) -> None:
    splits = {"a": "train", "b": "valid"}
    stored = store_source(tmp_path, "ptb-xl", SCP_REPORTS, SCP_ECG, splits=splits)
    card = _card(tmp_path, "ptb-xl")
    found = build_external_set(stored, card, ECG_FM_LABEL_SET)
    assert found.manifest.index["record_id"].tolist() == ["c"]
    assert found.evaluation_set.name == "ptb-xl, test split"
    assert [overlap.n_seen for overlap in found.overlaps] == [0]
    (patient,) = found.manifest.index["subject_id"]
    _seen("ptb-xl", [patient, "another"]).write(tmp_path)
    with pytest.raises(LeakageError, match="1 of 1 patients of the test split of ptb-xl were in"):
        build_external_set(stored, card, ECG_FM_LABEL_SET)


def test_unmapped_label_has_no_number_and_no_part_in_a_mean() -> None:
    validation = _predictions(ECG_FM_LABELS)
    unmapped = {"Infarction": "no code", "Sinus rhythm": "withheld"}
    mapped = keep_names(ECG_FM_LABELS, set(ECG_FM_LABELS.names) - set(unmapped))
    scored: Predictions = _predictions(mapped, seed=1)
    result = evaluate_checkpoint(
        validation,
        widen_labels(scored, ECG_FM_LABELS, unmapped),
        checkpoint="model",
        evaluation_set=EvaluationSet("ptb-xl", Part.ALL),
        signal_spec={},
        lineage={},
        n_resamples=20,
        unmapped=unmapped,
    )
    table = result.labels.set_index("label")
    assert result.undefined == unmapped or set(unmapped) <= set(result.undefined)
    assert table.loc[list(unmapped), ["n", "n_pos"]].to_numpy().sum() == 0
    assert table.loc[list(unmapped), ["auroc", "brier", "sensitivity"]].isna().all(axis=None)
    assert result.macro["brier"] == pytest.approx(table["brier"].mean())
    everything = np.square(scored.score.astype(float) - scored.target).mean()
    assert result.micro["brier"] == pytest.approx(everything)


def test_labels_must_be_predicted_or_unmapped() -> None:
    scored = _predictions(keep_names(ECG_FM_LABELS, {"Infarction"}))
    with pytest.raises(SpecMismatch, match="expected together"):
        widen_labels(scored, ECG_FM_LABELS, {"Sinus rhythm": "why"})


def test_reports_of_two_codings_are_refused() -> None:
    reports = make_reports({"a": ["AFIB"], "b": ["164889003"]}, coding=SCP_ECG)
    reports["coding"] = [SCP_ECG, SNOMED_CT]
    with pytest.raises(SchemaError, match="one"):
        label_external(reports, ECG_FM_LABEL_SET)
