"""ECG-JEPA against what its authors' own classes gave."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ecg_assets.errors import CheckpointError
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models.checkpoint import load_trained
from ecg_assets.models.checkpoint_folder import read_json
from ecg_assets.models.ecg_jepa.family import ECG_JEPA, EIGHT_LEADS
from ecg_assets.models.ecg_jepa.file import build_ecg_jepa
from ecg_assets.models.ecg_jepa.model import (
    EcgJepa,
    EcgJepaForClassification,
    ecg_jepa_config,
    position_table,
)
from ecg_assets.models.imported import import_checkpoint
from ecg_assets.models.load import load_checkpoint
from ecg_assets.preprocess import STANDARD_LEADS
from ecg_assets_tests.models.golden_published import (
    assert_same,
    families_that_recognize,
    filled_weights,
    golden_segments,
    golden_tensor,
    read_golden_json,
    require_same_training,
    stated_input,
)

FIVE = LabelVocabulary(("a", "b", "c", "d", "e"), ("mean",) * 5)


@pytest.fixture
def golden(reference_data: Path) -> Path:
    return reference_data / "ecg_jepa_golden"


@pytest.fixture
def encoder(golden: Path, tmp_path: Path) -> EcgJepa:
    """The authors' tiny encoder, imported and read back."""
    n_heads = read_golden_json(golden / "tiny_config.json")["num_heads"]
    folder = import_checkpoint(golden / "pretrained_tiny.pth", tmp_path / "a", n_heads=n_heads)
    model = load_checkpoint(folder)
    assert isinstance(model, EcgJepa)
    return model


@pytest.fixture
def classifier(golden: Path, tmp_path: Path) -> EcgJepaForClassification:
    """The authors' tiny classifier, imported and read back."""
    path = golden / "classifier_tiny_state_dict.pth"
    folder = import_checkpoint(path, tmp_path / "b", n_heads=4, vocabulary=FIVE)
    trained = load_trained(folder)
    assert trained.spec == ECG_JEPA.signal_spec(STANDARD_LEADS)
    assert trained.spec.leads == EIGHT_LEADS and trained.vocabulary == FIVE
    assert isinstance(trained.model, EcgJepaForClassification)
    return trained.model


@pytest.mark.reference
@torch.inference_mode()
def test_features_are_the_authors(golden: Path, encoder: EcgJepa) -> None:
    signal = golden_tensor(golden / "tiny_input.npy")
    output = encoder(signal)
    assert_same(output.pooled, golden / "tiny_pooled.npy")
    assert_same(output.last_hidden_state[:1], golden / "tiny_tokens.npy")


@pytest.mark.reference
@torch.inference_mode()
def test_logits_are_the_authors(golden: Path, classifier: EcgJepaForClassification) -> None:
    """Their batch norm before the last layer is not applied."""
    signal = golden_tensor(golden / "tiny_input.npy")
    assert_same(classifier(signal).logits, golden / "tiny_logits.npy")


@pytest.mark.reference
@pytest.mark.parametrize("leads", [(1,), (0, 1, 5)])
@torch.inference_mode()
def test_fewer_leads_keep_their_positions(
    leads: tuple[int, ...], golden: Path, encoder: EcgJepa
) -> None:
    signal = golden_tensor(golden / "tiny_input.npy")[:, list(leads)]
    pooled = encoder.encoder(signal, leads=leads).mean(dim=1)
    name = "_".join(map(str, leads))
    assert_same(pooled, golden / f"tiny_pooled_leads_{name}.npy")


@pytest.mark.reference
@torch.inference_mode()
def test_no_token_sees_a_patch_that_is_left_out(golden: Path, encoder: EcgJepa) -> None:
    kept = [patch for patch in range(50) if not 10 <= patch <= 21]
    found = encoder.encoder(golden_tensor(golden / "tiny_input.npy")[:1], patches=kept)
    assert found.shape[1] == 8 * 38
    assert_same(found, golden / "tiny_tokens_patches_10_to_21_hidden.npy")


@pytest.mark.reference
def test_positions_are_the_authors(golden: Path) -> None:
    tiny = np.load(golden / "sincos_pos_embed_tiny.npy")
    np.testing.assert_array_equal(position_table(8, 50, 32).numpy(), tiny)
    rows = np.load(golden / "sincos_pos_embed_published_rows_0_49_50_399.npy")
    found = position_table(8, 50, 768)[[0, 49, 50, 399]]
    np.testing.assert_array_equal(found.numpy(), rows)


@pytest.mark.reference
def test_its_input_is_the_authors(golden: Path) -> None:
    found = golden_segments(golden, ECG_JEPA.signal_spec(STANDARD_LEADS))
    assert found.shape == (2, 1, 8, 2500)
    expected = np.load(golden / "preprocess_linear_probe_output.npy")
    np.testing.assert_allclose(found[:, 0], expected, rtol=0, atol=1e-6)
    # Their fine-tuning filters; this is not what the published weights were pre-trained on.
    filtered = np.load(golden / "preprocess_finetune_output.npy")
    assert np.abs(found[:, 0] - filtered).max() > 0.1


@pytest.mark.reference
@torch.inference_mode()
def test_published_size_has_the_authors_names_and_features(golden: Path) -> None:
    recipe = read_golden_json(golden / "published_size_recipe.json")
    published = read_golden_json(golden / "state_dict_shapes.json")
    config = ecg_jepa_config("base", n_channels=8, n_labels=1)
    with torch.device("meta"):
        sized = EcgJepa(config).state_dict()
    found = {name: list(value.shape) for name, value in sized.items()}
    expected = {f"encoder.{name}": shape for name, shape in published["state_dict"].items()}
    assert found == expected
    assert sum(value.numel() for value in sized.values()) == published["params"]
    assert config.num_attention_heads == published["num_heads"]
    weights = filled_weights(published["state_dict"], recipe)
    weights["pos_embed"] = position_table(8, 50, 768)
    model = build_ecg_jepa({"encoder": weights, "epoch": 99}, Path("filled")).model
    pooled = model(stated_input(recipe)).pooled
    assert_same(pooled, golden / "published_size_pooled.npy", tolerance=1e-4)


@pytest.mark.reference
def test_three_steps_of_training_are_the_authors(
    golden: Path, classifier: EcgJepaForClassification
) -> None:
    signal = golden_tensor(golden / "tiny_input.npy")
    table = classifier.encoder.pos_embed.clone()
    require_same_training(classifier, signal, golden, lambda given: classifier(given).logits)
    assert classifier.encoder.pos_embed.equal(table)


@pytest.mark.reference
def test_the_import_says_what_it_assumed_and_left_out(golden: Path, tmp_path: Path) -> None:
    path = golden / "classifier_tiny_state_dict.pth"
    report = read_json(import_checkpoint(path, tmp_path / "a", n_heads=4) / "import_report.json")
    left = [entry["from"] for entry in report["dropped"]]
    assert left == ["fc.bn.running_mean", "fc.bn.running_var", "fc.bn.num_batches_tracked"]
    assert not report["assumed"]
    card = (tmp_path / "a" / "README.md").read_text()
    assert "for the weights no licence is stated" in card and "CODE-15" in card
    with pytest.raises(CheckpointError, match=r"32 wide.*import_checkpoint\(path, folder, n_heads"):
        load_checkpoint(path)


@pytest.mark.reference
def test_its_files_are_no_other_familys(golden: Path) -> None:
    for name in ("pretrained_tiny.pth", "classifier_tiny_state_dict.pth"):
        assert families_that_recognize(golden / name) == ["ecg-jepa"]


def _encoder_weights(**changes: Tensor) -> dict[str, Any]:
    torch.manual_seed(0)
    model = EcgJepa(ecg_jepa_config("tiny", n_channels=8, n_labels=1))
    weights = {name.removeprefix("encoder."): v for name, v in model.state_dict().items()}
    return {"encoder": {**weights, **changes}}


def test_a_published_width_tells_the_heads(tmp_path: Path) -> None:
    torch.save(_encoder_weights(), tmp_path / "a.pth")
    folder = import_checkpoint(tmp_path / "a.pth", tmp_path / "folder")
    assert read_json(folder / "import_report.json")["assumed"] == [
        "4 heads of attention, as in the published ECG-JEPA of this width"
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm.scale": torch.ones(3)}, "norm.scale"),
        ({"W_P.weight": torch.ones(3)}, "another shape"),
        ({"encoder_blocks.blocks.1.attn.qkv.weight": torch.ones(3, 3)}, "do not fit"),
    ],
)
def test_weights_of_another_model_are_refused(
    changes: dict[str, Tensor], message: str, tmp_path: Path
) -> None:
    torch.save(_encoder_weights(**changes), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("shape", [(2, 8, 2510), (2, 8, 2550), (2, 12, 2500), (8, 2500)])
def test_signals_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    model = EcgJepa(ecg_jepa_config("tiny", n_channels=8, n_labels=1))
    with pytest.raises(ValueError, match=r"Expected signals \[batch"):
        model(torch.zeros(shape))
    with pytest.raises(ValueError, match="without lengths"):
        model(torch.zeros(1, 8, 2500), torch.tensor([2000]))


def test_it_starts_as_the_authors_does() -> None:
    """Last layers of the n-th block are narrower by the root of 2 n."""
    torch.manual_seed(0)
    model = EcgJepa(ecg_jepa_config("tiny", n_channels=8, n_labels=1))
    blocks: Any = model.encoder.encoder_blocks.blocks
    for number, block in enumerate(blocks, start=1):
        assert block.attn.qkv.weight.std().item() == pytest.approx(0.02, rel=0.05)
        for last in (block.attn.proj, block.mlp.fc2):
            expected = 0.02 / math.sqrt(2 * number)
            assert last.weight.std().item() == pytest.approx(expected, rel=0.05)
            assert last.bias.abs().max() == 0
