"""The production folder: loads as a checkpoint, and its page's own lines give its scores."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import wfdb
from huggingface_hub import ModelCard
from sklearn.metrics import roc_curve

from ecg_assets.evaluation.production import export_production, main
from ecg_assets.evaluation.sets import EvaluationSet, Part, Relation
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.lineage import fingerprint_file
from ecg_assets.models import load_checkpoint, load_trained, predict_recording
from ecg_assets.models.checkpoint import save_trained
from ecg_assets.models.checkpoint_folder import VALIDATION_PREDICTIONS, WEIGHTS
from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.models.predictions import ValidationPredictions
from ecg_assets.models.probabilities import EXCLUSIVE
from ecg_assets.preprocess import SignalSpec, signal_spec_of_kind
from ecg_assets_tests.evaluation.report.report_material import evaluate_simulated
from ecg_assets_tests.evaluation.simulation import simulate_predictions
from ecg_assets_tests.models.golden_net1d import tiny_founder

LABELS = LabelVocabulary(("a|b", "b", "c"), ("mean", "max", "mean"))
N = 60
OPEN = {
    "filter": [{"kind": "butterworth", "order": 3, "high_hz": 40}],
    "normalization": {"kind": "min-max", "scope": "recording", "epsilon": 1e-8},
    "stride_s": 2.5,
}


def _validation() -> ValidationPredictions:
    """Label c has no positive in the validation split."""
    random = np.random.default_rng(0)
    target = random.integers(0, 2, (N, 3)).astype(np.uint8)
    target[:, 2] = 0
    score = np.clip(0.3 * target + 0.7 * random.random((N, 3)), 0, 1).astype(np.float32)
    names = np.array([f"secret_{i}" for i in range(N)])
    return ValidationPredictions(names, names, LABELS, target, score)


def _checkpoint(folder: Path, family: str) -> Path:
    folder.mkdir()
    torch.manual_seed(0)
    model: Any
    if family == "ecg-founder":
        leads = ("I", "II")
        model, spec = tiny_founder(2, 3), signal_spec_of_kind("ecg-founder", leads=leads)
        model.config.problem_type = EXCLUSIVE
    elif family == "of an open spec":
        model, spec = tiny_founder(2, 3), signal_spec_of_kind(OPEN, leads=("I", "II"))
    else:
        model, spec = (
            EcgFmForClassification(ecg_fm_config("tiny", n_channels=12, n_labels=3)),
            (SignalSpec()),
        )
        torch.nn.init.normal_(model.head.weight, std=2.0)
    save_trained(folder, model.eval(), spec, LABELS)
    pq.write_table(_validation().to_table(), folder / VALIDATION_PREDICTIONS)
    return folder


def _recording(folder: Path) -> tuple[Path, np.ndarray[Any, Any]]:
    """Write 11 s of leads II and I, with a gap, and give I and II in mV."""
    signal = np.random.default_rng(1).standard_normal((5500, 2)).cumsum(axis=0) / 20
    signal[700:720, 0] = np.nan
    wfdb.wrsamp(
        "r1", fs=500, units=["mV"] * 2, sig_name=["II", "I"], p_signal=signal, fmt=["16"] * 2,
        adc_gain=[200.0] * 2, baseline=[0] * 2, write_dir=str(folder),
    )  # fmt: skip
    stored = wfdb.rdrecord(str(folder / "r1")).p_signal
    return folder / "r1", stored[:, ::-1].T


@pytest.mark.filterwarnings("ignore:Recordings are longer")
@pytest.mark.parametrize("family", ["ecg_fm", "ecg-founder", "of an open spec"])
def test_the_page_alone_leads_from_a_recording_to_the_packages_scores(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "production"
    export_production(_checkpoint(tmp_path / "checkpoint", family), folder)
    path, signal_mv = _recording(tmp_path)
    trained = load_trained(folder)
    expected = predict_recording(trained, path)
    assert (load_checkpoint(folder).config.to_dict()) == trained.model.config.to_dict()
    page = (folder / "README.md").read_text(encoding="utf-8")
    program, _ = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(program, names)
    found = names["score"](signal_mv[: len(trained.spec.leads)])
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, abs=1e-4)
    assert len(set(expected.values())) == 3
    assert "| a\\|b | mean | 0." in page
    assert ("which are 1 in sum" in page) == (family == "ecg-founder")
    everything = b"".join(item.read_bytes() for item in folder.iterdir())
    assert b"secret" not in everything


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _checkpoint(tmp_path_factory.mktemp("production") / "checkpoint", "ecg_fm")


def test_readme_is_a_model_card_with_the_evaluations_of_these_weights_that_nobody_leaked_into(
    checkpoint: Path, tmp_path: Path
) -> None:
    weights = fingerprint_file(checkpoint / WEIGHTS)
    own = replace(
        evaluate_simulated(simulate_predictions(200), n_resamples=40), lineage={"weights": weights}
    )
    of_all = replace(
        own, evaluation_set=EvaluationSet("ptb-xl", Part.ALL), relation=Relation.EXTERNAL
    )
    leak = [{"is_leak": True}]
    leaking = replace(own, evaluation_set=EvaluationSet("seen", Part.ALL), seen_in_training=leak)
    other = replace(own, evaluation_set=EvaluationSet("other", Part.ALL), lineage={"weights": "0"})
    results = [own, of_all, leaking, other]
    export_production(checkpoint, tmp_path / "folder", with_onnx=False, results=results)
    card = ModelCard.load(tmp_path / "folder" / "README.md")
    assert "# checkpoint, for use" in card.text
    assert (card.data.library_name, card.data.license) == ("ecg-assets", None)
    assert card.data.tags == ["ecg", "electrocardiogram", "ecg_fm"]
    assert card.data.datasets is None  # this checkpoint does not say what it was trained on
    assert card.data.metrics == ["auroc", "auprc", "brier", "ece"]
    found = {
        (one.dataset_type, one.dataset_split, one.metric_type): one
        for one in card.data.eval_results
    }
    assert {key[:2] for key in found} == {("synthetic", "test"), ("ptb-xl", "all")}
    auroc = found["synthetic", "test", "auroc"]
    assert auroc.metric_value == own.macro["auroc"]
    assert auroc.metric_name.startswith("macro AUROC, 95 % interval over patients 0.")
    assert found["ptb-xl", "all", "ece"].dataset_name == "ptb-xl, all recordings (external)"


def test_thresholds_are_those_of_the_rule_on_the_validation_split(
    checkpoint: Path, tmp_path: Path
) -> None:
    stated = export_production(checkpoint, tmp_path / "folder", with_onnx=False)
    assert json.loads((tmp_path / "folder" / "thresholds.json").read_text()) == stated
    validation = _validation()
    rate, sensitivity, cuts = roc_curve(validation.target[:, 1], validation.score[:, 1])
    assert stated["thresholds"]["b"] == pytest.approx(cuts[np.argmax(sensitivity - rate)])
    assert stated["thresholds"]["c"] is None
    assert stated["undefined"] == {"c": "the validation split has one class only"}
    assert (stated["rule"], stated["n_records"]) == ("youden", N)
    sensitive = export_production(
        checkpoint, tmp_path / "sensitive", rule="fixed-sensitivity", with_onnx=False
    )
    assert sensitive["thresholds"]["b"] != stated["thresholds"]["b"]


def test_without_onnx_the_folder_has_what_the_rest_needs(checkpoint: Path, tmp_path: Path) -> None:
    said = main([str(checkpoint), str(tmp_path / "folder"), "--no-onnx"])
    found = sorted(path.name for path in (tmp_path / "folder").iterdir())
    assert found == [
        "README.md",
        "config.json",
        "label_vocabulary.json",
        "model.safetensors",
        "signal_spec.json",
        "thresholds.json",
    ]
    assert said.endswith(", ".join(found))
    page = (tmp_path / "folder" / "README.md").read_text(encoding="utf-8")
    assert "onnx" not in page
    weights = (tmp_path / "folder" / WEIGHTS).read_bytes()
    assert weights == (checkpoint / WEIGHTS).read_bytes()


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path / "nowhere"), str(tmp_path / "folder")])
    assert "No checkpoint folder at" in capsys.readouterr().err
