"""ECG-LFM against the outputs and the names of its authors' program."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ecg_assets.models import load_checkpoint
from ecg_assets.models.checkpoint_folder import PRETRAINING_WEIGHTS
from ecg_assets.models.ecg_lfm.config import ecg_lfm_config
from ecg_assets.models.ecg_lfm.file import import_ecg_lfm, map_ecg_lfm_weights
from ecg_assets.models.ecg_lfm.model import EcgLfm, EcgLfmForClassification
from ecg_assets_tests.models.golden_ecg_lfm import golden_lfm

pytestmark = pytest.mark.reference

LENGTHS = (2500, 1250, 617)
CONTRASTIVE_LAYER = 2
PRETRAINING = ("mask_emb", "quantizer.", "project_q.", "final_proj.", "mlm_proj.")


@pytest.fixture(scope="module")
def golden(reference_data: Path) -> Path:
    return golden_lfm(reference_data)


@torch.inference_mode()
@pytest.mark.parametrize("n_samples", LENGTHS)
def test_features_and_layers_are_ecg_lfms(n_samples: int, golden: Path) -> None:
    model = load_checkpoint(golden / "pretrained_tiny.pt")
    assert isinstance(model, EcgLfm)
    expected = np.load(golden / "encoder.npz")
    signals = torch.from_numpy(expected[f"x_{n_samples}"])
    encoder = model.encoder
    features = encoder.feature_extractor(signals).transpose(1, 2)
    projected, normalized = encoder.feature_projection(features)
    layers = encoder.contextualize_layers(projected)
    found = {
        "features": normalized,
        "contrastive_layer": layers[CONTRASTIVE_LAYER - 1],
        "encoder_out": layers[-1],
    }
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[f"{name}_{n_samples}"], rtol=0, atol=1e-5)
    output = model(signals)
    assert output.last_hidden_state.equal(layers[-1])
    torch.testing.assert_close(output.pooled, layers[-1].mean(dim=1))


@torch.inference_mode()
@pytest.mark.parametrize("n_samples", LENGTHS)
def test_logits_are_ecg_lfms(n_samples: int, golden: Path) -> None:
    model = load_checkpoint(golden / "finetuned_tiny.pt")
    signals = torch.from_numpy(np.load(golden / "encoder.npz")[f"x_{n_samples}"])
    expected = np.load(golden / "classifier.npz")[f"logits_{n_samples}"]
    np.testing.assert_allclose(model(signals).logits, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["pretrained", "finetuned"])
def test_every_weight_of_a_file_is_mapped_or_dropped_with_a_reason(
    kind: str, golden: Path, tmp_path: Path
) -> None:
    names = "tiny_config.json" if kind == "pretrained" else "finetuned_state_dict.json"
    expected = json.loads((golden / names).read_text())
    expected = expected.get("state_dict", expected)
    folder = import_ecg_lfm(golden / f"{kind}_tiny.pt", tmp_path / kind)
    report = json.loads((folder / "import_report.json").read_text())
    assert {e["from"]: e["shape"] for e in report["mapped"] + report["dropped"]} == expected
    of_pretraining = {name for name in expected if name.startswith(PRETRAINING)}
    by_reason = {
        reason: {e["from"] for e in report["dropped"] if e["reason"] == reason}
        for reason in ("only pre-training uses it", "ECG-LFM carries it and never uses it")
    }
    kept, unused = by_reason.values()
    assert kept == of_pretraining
    assert len(unused) == 8
    assert all("pos_conv" in name or "encoder.layer_norm" in name for name in unused)
    assert (folder / PRETRAINING_WEIGHTS).is_file() == (kind == "pretrained")
    # The pre-trained file brings its settings, the other one has no more than weights.
    assert len(report["assumed"]) == (kind == "finetuned")


def test_the_published_size_has_the_published_names_shapes_and_parameters(golden: Path) -> None:
    published = json.loads((golden / "state_dict_shapes_published.json").read_text())
    with torch.device("meta"):
        model = EcgLfmForClassification(ecg_lfm_config("base", n_channels=12, n_labels=1))
        state = {name: torch.empty(shape) for name, shape in published["state_dict"].items()}
    mapped = map_ecg_lfm_weights(state, model.config, finetuned=False, where="published")
    n_sorted = len(mapped.names) + len(mapped.dropped) + len(mapped.unused)
    assert n_sorted == len(state) == 920
    own = {name: value.shape for name, value in model.encoder.state_dict(prefix="encoder.").items()}
    assert {name: value.shape for name, value in mapped.weights.items()} == own
    n_dropped, n_unused = (
        sum(value.numel() for value in weights.values())
        for weights in (mapped.dropped, mapped.unused)
    )
    n_encoder = sum(value.numel() for value in model.encoder.parameters())
    assert n_unused == 16_781_568
    assert n_encoder + n_dropped + n_unused == published["params"] == 626_812_672
