from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ecg_assets.errors import CheckpointError
from ecg_assets.evaluation import render_report
from ecg_assets.evaluation.report.document import FACTS, describe_checkpoint
from ecg_assets.labels import LabelVocabulary
from ecg_assets.models.checkpoint_folder import (
    CONFIG,
    IMPORT_REPORT,
    LABEL_VOCABULARY,
    RUN,
    SIGNAL_SPEC,
    WEIGHTS,
)
from ecg_assets.preprocess import SignalSpec
from ecg_assets_tests.evaluation.report.report_material import evaluate_simulated, make_document
from ecg_assets_tests.evaluation.simulation import simulate_predictions

RUN_RECORD: dict[str, Any] = {
    "request": {
        "preset": "tiny",
        "recipe": {"epochs": 12, "learning_rate": 0.004, "freeze_convolutions": False},
        "inputs": {"pretrained": "f" * 64},
        "precision": "fp32",
    },
    "trained_on": {"source": "synthetic", "split_rule": "hash of patient, seed 1, 80/10/10"},
    "seed": 1,
    "best_epoch": 11,
    "epochs_trained": 12,
    "n_parameters": 104865,
    "n_trained_parameters": 104865,
    "trained_weights": {
        "encoder": {
            "n_tensors": 40,
            "of_tensors": 40,
            "n_parameters": 103565,
            "of_parameters": 103565,
        },
        "head": {"n_tensors": 2, "of_tensors": 2, "n_parameters": 1300, "of_parameters": 1301},
    },
    "splits": {"train": {"n_records": 5980, "n_patients": 250}},
    "labels": {"label 0": {"n_positive_train": 3}},
}
IMPORTED = {"source": {"name": "finetuned_17.pt", "fingerprint": "9" * 64}, "assumed": ["5 s"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    vocabulary = LabelVocabulary(("label 0",), ("mean",))
    (tmp_path / WEIGHTS).write_bytes(b"weights")
    files = {SIGNAL_SPEC: SignalSpec().to_json(), LABEL_VOCABULARY: vocabulary.to_json()}
    for name, value in {CONFIG: {}, **files}.items():
        (tmp_path / name).write_text(json.dumps(value))
    return tmp_path


def _card(facts: dict[str, Any]) -> str:
    predictions = simulate_predictions(40)
    document = make_document(predictions, evaluate_simulated(predictions, n_resamples=0))
    return render_report({**document, "model_card": facts}, {})


def test_training_is_told_from_its_record(folder: Path) -> None:
    (folder / RUN).write_text(json.dumps(RUN_RECORD))
    facts = describe_checkpoint(folder)
    assert set(facts) == set(FACTS)
    assert facts["kind"] == "trained here"
    html = _card(facts)
    for part in (">5,980<", ">0.004<", "freeze convolutions no", "f" * 64, "80/10/10"):
        assert part in html
    assert "was not trained here" not in html
    shown = re.sub("<[^>]+>", "", html)
    assert "encoder, trained103,565 of 103,565 parameters" in shown
    assert "head, trained1,300 of 1,301 parameters" in shown


def test_a_random_encoder_is_said_to_be_one(folder: Path) -> None:
    request = {**RUN_RECORD["request"], "recipe": {"random_encoder": True}, "inputs": {}}
    (folder / RUN).write_text(json.dumps({**RUN_RECORD, "request": request}))
    html = _card(describe_checkpoint(folder))
    assert "on a random encoder that was not trained" in html


@pytest.mark.parametrize(
    "value", ["all", {"encoder": {}}, {**RUN_RECORD["trained_weights"], "head": {"n_tensors": "2"}}]
)
def test_counts_that_are_none_are_refused(folder: Path, value: object) -> None:
    (folder / RUN).write_text(json.dumps({**RUN_RECORD, "trained_weights": value}))
    with pytest.raises(CheckpointError, match="trained_weights"):
        describe_checkpoint(folder)


def test_import_names_its_file_and_what_was_assumed(folder: Path) -> None:
    (folder / IMPORT_REPORT).write_text(json.dumps(IMPORTED))
    facts = describe_checkpoint(folder)
    assert facts["kind"] == "imported"
    html = _card(facts)
    for part in ("finetuned_17.pt", "5 s", "was not trained here", "unknown; so is what it saw"):
        assert part in html


def test_folder_without_a_record_is_unknown(folder: Path) -> None:
    facts = describe_checkpoint(folder)
    assert facts["kind"] == "unknown"
    assert facts["recipe"] is None
    assert "unknown: the folder does not say" in _card(facts)
