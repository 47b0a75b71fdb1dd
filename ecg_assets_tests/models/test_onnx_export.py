"""An exported model in onnxruntime against the checkpoint in torch."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch

from ecg_assets.errors import CheckpointError, SettingsError
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.lineage import fingerprint_file
from ecg_assets.models import export_onnx
from ecg_assets.models.checkpoint import save_trained
from ecg_assets.models.checkpoint_folder import WEIGHTS
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.models.onnx_export import run_onnx
from ecg_assets.models.probabilities import EXCLUSIVE
from ecg_assets.preprocess import SignalSpec, signal_spec_of_kind
from ecg_assets_tests.models.golden_ecg_lfm import tiny_lfm
from ecg_assets_tests.models.golden_net1d import tiny_founder
from ecg_assets_tests.models.toy_recordings import SPEC

VOCABULARY = LabelVocabulary(("Größe", "b", "c"), ("mean", "max", "mean"))


def _save(folder: Path, family: str) -> tuple[EcgClassifier, SignalSpec]:
    if family == "ecg-founder":
        founder, spec = tiny_founder(n_labels=3), signal_spec_of_kind("ecg-founder")
        founder.config.problem_type = EXCLUSIVE
        save_trained(folder, founder, spec, VOCABULARY)
        return founder, spec
    if family == "ecg-lfm":
        lfm = tiny_lfm(n_channels=12, n_labels=3)
        save_trained(folder, lfm, SPEC, VOCABULARY)
        return lfm, SPEC
    torch.manual_seed(0)
    config = ecg_fm_config("tiny", n_channels=12, n_labels=3)
    config.positional_convolution = "fft"  # ONNX has the direct form whatever is asked for
    model = EcgFmForClassification(config).eval()
    torch.nn.init.normal_(model.head.weight, std=2.0)
    save_trained(folder, model, SPEC, VOCABULARY)
    return model, SPEC


@pytest.mark.parametrize("family", ["ecg_fm", "ecg-founder", "ecg-lfm"])
def test_onnxruntime_gives_the_probabilities_of_torch_for_any_batch(
    family: str, tmp_path: Path
) -> None:
    folder, path = tmp_path / "checkpoint", tmp_path / "model.onnx"
    folder.mkdir()
    model, spec = _save(folder, family)
    export_onnx(folder, path)
    for n_segments in (1, 2, 5):
        signal = np.random.default_rng(n_segments).standard_normal(
            (n_segments, model.config.n_channels, spec.segment_samples), np.float32
        )
        with torch.inference_mode():
            logits = model(torch.from_numpy(signal)).logits
        softmax, sigmoid = logits.softmax(dim=1).numpy(), logits.sigmoid().numpy()
        expected = softmax if family == "ecg-founder" else sigmoid
        found = run_onnx(path, signal)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert np.ptp(expected) > 0.1
    file = onnx.load(path)
    onnx.checker.check_model(file, full_check=True)
    stored = {item.key: item.value for item in file.metadata_props}
    assert SignalSpec.from_json(json.loads(stored["signal_spec"])) == spec
    assert LabelVocabulary.from_json(json.loads(stored["label_vocabulary"])) == VOCABULARY
    assert stored["output"] == ("softmax" if family == "ecg-founder" else "sigmoid")
    assert stored["weights"] == fingerprint_file(folder / WEIGHTS)
    # No paths of the machine that wrote it.
    assert b".py" not in path.read_bytes()
    assert [item.name for item in tmp_path.iterdir() if item.name.startswith("model")] == [
        "model.onnx"
    ]


def test_a_file_whose_outputs_are_wrong_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    _save(folder, "ecg_fm")
    graph = SimpleNamespace(all_nodes=list)
    program = SimpleNamespace(
        model=SimpleNamespace(graph=graph, metadata_props={}),
        save=lambda path, **_: path.write_bytes(b"wrong"),
    )
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: program)
    monkeypatch.setattr("ecg_assets.models.onnx_export.run_onnx", lambda *_: np.float32(np.nan))
    with pytest.raises(CheckpointError, match="differ from the model's by nan"):
        export_onnx(folder, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_without_the_packages_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(SettingsError, match=r"onnxscript is.*pip install 'ecg-assets\[onnx\]'"):
        export_onnx(tmp_path, tmp_path / "model.onnx")
