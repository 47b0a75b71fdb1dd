"""MERL's ResNet-18 against what its authors' own class gave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ecg_assets.errors import CheckpointError
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models.checkpoint import load_trained
from ecg_assets.models.checkpoint_folder import read_json
from ecg_assets.models.imported import import_checkpoint
from ecg_assets.models.load import imported_folder, load_checkpoint
from ecg_assets.models.merl_resnet18.family import LEADS, MERL_RESNET18
from ecg_assets.models.merl_resnet18.file import build_resnet18
from ecg_assets.models.merl_resnet18.model import (
    Resnet18,
    Resnet18Classifier,
    resnet18_config,
    resnet18_config_of,
)
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
TEN = LabelVocabulary(tuple("abcdefghij"), ("mean",) * 10)
ENCODER, CLASSIFIER = "res18_tiny_encoder.pth", "classifier_tiny.pth"


@pytest.fixture
def golden(reference_data: Path) -> Path:
    return reference_data / "merl_resnet18_golden"


@pytest.mark.reference
@torch.inference_mode()
def test_features_and_logits_are_the_authors(golden: Path) -> None:
    """Of an odd length too; there is no pooling after the first convolution."""
    model, signal = load_checkpoint(golden / CLASSIFIER), golden_tensor(golden / "tiny_input.npy")
    assert isinstance(model, Resnet18Classifier)
    hidden = model.tokens(signal).hidden
    assert hidden.shape == (2, 313, 64)
    feature_map = np.load(golden / "tiny_feature_map.npy")
    first = hidden[0].mT if feature_map.ndim == 2 else hidden[:1].mT
    assert_same(first, golden / "tiny_feature_map.npy")
    assert_same(model.embed(signal), golden / "tiny_pooled.npy")
    assert_same(model(signal).logits, golden / "tiny_logits.npy")
    odd = golden_tensor(golden / "tiny_input_1251.npy")
    assert_same(model(odd).logits, golden / "tiny_logits_1251.npy")


@pytest.mark.reference
@torch.inference_mode()
def test_an_encoder_file_has_the_features_and_not_its_untrained_outputs(
    golden: Path, tmp_path: Path
) -> None:
    model = load_checkpoint(golden / ENCODER)
    assert isinstance(model, Resnet18)
    signal = golden_tensor(golden / "tiny_input.npy")
    assert_same(model(signal).pooled, golden / "tiny_pooled.npy")
    folder = imported_folder(golden / ENCODER, tmp_path / "cache")
    again = load_checkpoint(folder)
    assert again(signal).pooled.equal(model(signal).pooled)
    dropped = read_json(folder / "import_report.json")["dropped"]
    assert [entry["from"] for entry in dropped] == ["linear.weight", "linear.bias"]
    card = (folder / "README.md").read_text()
    assert "MIT" in card and "MIMIC-IV-ECG" in card
    # Ten outputs that somebody did train are theirs who give the labels.
    trained = import_checkpoint(golden / ENCODER, tmp_path / "trained", vocabulary=TEN)
    assert load_trained(trained).vocabulary == TEN


@pytest.mark.reference
@pytest.mark.parametrize("kind", ["encoder_file", "classifier_5"])
def test_published_size_has_the_authors_names(kind: str, golden: Path) -> None:
    published = read_golden_json(golden / "state_dict_shapes.json")[kind]
    n_labels = published["state_dict"]["linear.bias"][0]
    model = Resnet18Classifier(resnet18_config("base", n_channels=12, n_labels=n_labels))
    found = {name: list(value.shape) for name, value in model.state_dict().items()}
    assert list(found.items()) == list(published["state_dict"].items())
    assert sum(value.numel() for value in model.parameters()) == published["params"]
    assert sum(value.numel() for value in model.encoder_parameters()) == 3_848_832


@pytest.mark.reference
@torch.inference_mode()
def test_published_size_has_the_authors_features_and_logits(golden: Path) -> None:
    recipe = read_golden_json(golden / "published_size_recipe.json")
    shapes = read_golden_json(golden / "state_dict_shapes.json")[recipe["shapes"]]["state_dict"]
    model = build_resnet18(filled_weights(shapes, recipe), Path("filled")).model
    assert isinstance(model, Resnet18Classifier)
    signal = stated_input(recipe)
    for output, name in ((model.embed(signal), "pooled"), (model(signal).logits, "logits")):
        assert_same(output, golden / f"published_size_{name}.npy", tolerance=1e-4)


@pytest.mark.reference
def test_three_steps_of_training_are_the_authors(golden: Path) -> None:
    model = load_checkpoint(golden / CLASSIFIER)
    signal = golden_tensor(golden / "tiny_input.npy")
    require_same_training(model, signal, golden, lambda given: model(given).logits)


@pytest.mark.reference
def test_signals_are_prepared_as_the_authors_do(golden: Path) -> None:
    """How short ones are filled up: `test_zeros_that_fill_up_a_short_recording_count_as_merl_s`."""
    spec = MERL_RESNET18.signal_spec(STANDARD_LEADS)
    assert spec.leads == LEADS and spec.leads[4:6] == ("aVF", "aVL")
    assert spec.padding == "zeros"
    found = golden_segments(golden, spec)[:, 0]
    np.testing.assert_allclose(found, np.load(golden / "preprocess_output.npy"), rtol=0, atol=1e-5)


@pytest.mark.reference
@torch.inference_mode()
def test_a_classifiers_file_becomes_a_checkpoint(golden: Path, tmp_path: Path) -> None:
    for name in (ENCODER, CLASSIFIER):
        assert families_that_recognize(golden / name) == ["merl-resnet18"]
    folder = import_checkpoint(golden / CLASSIFIER, tmp_path / "folder", vocabulary=FIVE)
    trained = load_trained(folder)
    assert trained.spec == MERL_RESNET18.signal_spec(STANDARD_LEADS)
    signal = golden_tensor(golden / "tiny_input.npy")
    assert trained.model(signal).logits.equal(load_checkpoint(golden / CLASSIFIER)(signal).logits)
    with pytest.raises(CheckpointError, match="10 labels"):
        import_checkpoint(golden / CLASSIFIER, tmp_path / "other", vocabulary=TEN)


def _state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model = Resnet18Classifier(resnet18_config("tiny", n_channels=12, n_labels=2))
    state: dict[str, torch.Tensor] = model.state_dict()
    return state


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("layer3.0.bn1.bias", "layer3"),
        ("layer4.0.conv1.weight", "not in the shapes of a ResNet-18"),
        ("bn1.running_var", "bn1"),
    ],
)
def test_a_lacking_weight_is_named(name: str, message: str, tmp_path: Path) -> None:
    state = _state()
    del state[name]
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "a.pth")


def test_a_resnet_of_pictures_is_nobodys(tmp_path: Path) -> None:
    """torchvision's has the same names of these, and convolutions over two dimensions."""
    state = _state()
    state["conv1.weight"] = state["conv1.weight"][..., None]
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="is no checkpoint of"):
        load_checkpoint(tmp_path / "a.pth")


def test_other_stages_channels_and_padding_are_refused() -> None:
    with pytest.raises(ValueError, match="each of 4 stages"):
        resnet18_config_of({"widths": (8, 16), "blocks": (1, 1)}, n_channels=1, n_labels=1)
    model = Resnet18Classifier(resnet18_config("tiny", n_channels=12, n_labels=2))
    with pytest.raises(ValueError, match=r"12 channels, sample\], found \[1, 3, 500\]"):
        model(torch.zeros(1, 3, 500))
    with pytest.raises(ValueError, match="without lengths"):
        model(torch.zeros(1, 12, 500), lengths=torch.tensor([400]))
