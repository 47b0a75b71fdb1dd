"""HuBERT-ECG against what its authors' own classes gave, and against transformers' HuBERT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import HubertConfig, HubertModel

from ecg_assets.errors import CheckpointError, UnsafeCheckpoint
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models.checkpoint import load_trained
from ecg_assets.models.checkpoint_folder import read_json
from ecg_assets.models.hubert_ecg.family import HUBERT_ECG, SIZES
from ecg_assets.models.hubert_ecg.file import build_hubert_ecg
from ecg_assets.models.hubert_ecg.model import (
    HubertEcg,
    HubertEcgConfig,
    HubertEcgForClassification,
    hubert_ecg_config,
)
from ecg_assets.models.imported import import_checkpoint
from ecg_assets.models.load import imported_folder, load_checkpoint
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
    without_dropout,
)

FIVE = LabelVocabulary(("a", "b", "c", "d", "e"), ("mean",) * 5)
PRETRAINED = (
    "pretrained_tiny.pt",
    "pretrained_tiny_config_object.pt",
    "hub_tiny",
    "hub_tiny/model.safetensors",
)


@pytest.fixture
def golden(reference_data: Path) -> Path:
    return reference_data / "hubert_ecg_golden"


def _input(golden: Path) -> torch.Tensor:
    return golden_tensor(golden / "tiny_input.npy")[:, None]


@pytest.mark.reference
@pytest.mark.parametrize("name", PRETRAINED)
@torch.inference_mode()
def test_each_form_of_file_gives_the_authors_features(name: str, golden: Path) -> None:
    model = load_checkpoint(golden / name)
    assert isinstance(model, HubertEcg)
    output = model(_input(golden))
    assert_same(output.last_hidden_state, golden / "tiny_last_hidden_state.npy")
    assert_same(output.pooled, golden / "tiny_pooled.npy")


@pytest.mark.reference
@torch.inference_mode()
def test_each_stage_is_the_authors(golden: Path) -> None:
    model = load_checkpoint(golden / "pretrained_tiny.pt")
    assert isinstance(model, HubertEcg)
    encoder = model.encoder
    inputs, outputs = [], []
    layer = encoder.encoder.layers[0]
    layer.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    layer.register_forward_hook(lambda _, __, found: outputs.append(found))
    first = _input(golden)[:1]
    features = encoder.feature_extractor(first).transpose(1, 2)
    assert features.shape[1] == 93
    encoder(first)
    assert_same(features, golden / "tiny_conv_features.npy")
    assert_same(inputs[0], golden / "tiny_layer0_input.npy")
    assert_same(outputs[0], golden / "tiny_layer0_output.npy")


@pytest.mark.reference
@torch.inference_mode()
def test_logits_are_the_authors_also_of_padded_signals(golden: Path) -> None:
    """Their mask, wherever it is 0, counts as padding at the end."""
    model, signal = load_checkpoint(golden / "finetuned_tiny.pt"), _input(golden)
    assert isinstance(model, HubertEcgForClassification)
    assert_same(model(signal).logits, golden / "tiny_logits.npy")
    lengths = golden_tensor(golden / "tiny_attention_mask.npy").sum(dim=-1)
    assert lengths.tolist() == [6000, 4800, 6000]
    padded = model(signal, lengths=lengths).logits
    assert_same(padded, golden / "tiny_logits_with_attention_mask.npy")


@pytest.mark.reference
@torch.inference_mode()
def test_what_pre_training_alone_uses_is_kept_and_gives_the_authors_similarities(
    golden: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    folder = import_checkpoint(golden / "pretrained_tiny.pt", tmp_path / "folder")
    kept = load_file(folder / "fairseq_pretraining.safetensors")
    assert len(kept) == 7 and "masked_spec_embed" in kept
    model = load_checkpoint(folder)
    assert isinstance(model, HubertEcg)
    hidden = model(_input(golden)[:1]).last_hidden_state
    for book, n_codes in enumerate((10, 12)):
        projected = torch.nn.functional.linear(
            hidden, kept[f"final_proj.{book}.weight"], kept[f"final_proj.{book}.bias"]
        )
        codes = kept[f"label_embedding.{book}.weight"]
        assert codes.shape[0] == n_codes
        logits = torch.cosine_similarity(projected[:, :, None], codes, dim=-1) / 0.1
        assert_same(logits, golden / f"tiny_pretraining_logits_{book}.npy")


@torch.inference_mode()
def test_it_is_transformers_hubert_to_the_last_bit() -> None:
    torch.manual_seed(0)
    shape = {**SIZES["tiny"], "mask_time_prob": 0.0, "mask_feature_prob": 0.0}
    theirs = HubertModel(HubertConfig(**shape)).eval()
    state = {f"encoder.{name}": value for name, value in theirs.state_dict().items()}
    ours = HubertEcg(hubert_ecg_config("tiny", n_channels=1, n_labels=1)).eval()
    ours.load_state_dict(state)
    signal = torch.randn(2, 6000)
    expected = theirs(signal).last_hidden_state
    assert ours(signal[:, None]).last_hidden_state.equal(expected)
    attended = torch.arange(6000)[None] < torch.tensor([[6000], [4000]])
    expected = theirs(signal, attention_mask=attended.long()).last_hidden_state
    assert ours(signal[:, None], attended.sum(-1)).last_hidden_state.equal(expected)


@pytest.mark.reference
def test_its_input_is_the_authors(golden: Path) -> None:
    spec = HUBERT_ECG.signal_spec(STANDARD_LEADS)
    found = golden_segments(golden, spec)
    assert found.shape == (2, 2, 1, 6000)
    expected = np.load(golden / "preprocess_output.npy")  # of the first 5 s
    np.testing.assert_allclose(found[:, 0, 0], expected, rtol=0, atol=1e-6)


@pytest.mark.reference
@pytest.mark.parametrize("size", ["small", "base"])
@torch.inference_mode()
def test_published_size_has_the_authors_features(size: str, golden: Path) -> None:
    recipe = read_golden_json(golden / "published_size_recipe.json")
    shapes = read_golden_json(golden / "state_dict_shapes.json")[size]["state_dict"]
    config = hubert_ecg_config(size, n_channels=1, n_labels=1).to_dict()
    content = {"model_state_dict": filled_weights(shapes, recipe), "model_config": config}
    model = build_hubert_ecg(content, Path("filled")).model
    pooled = model(stated_input(recipe)[:, None]).pooled
    assert_same(pooled, golden / f"published_size_{size}_pooled.npy", tolerance=1e-4)


@pytest.mark.reference
@pytest.mark.parametrize("size", ["small", "base", "large"])
def test_published_size_has_the_authors_names(size: str, golden: Path) -> None:
    published = read_golden_json(golden / "state_dict_shapes.json")[size]
    config = hubert_ecg_config(size, n_channels=1, n_labels=1)
    with torch.device("meta"):
        model = HubertEcg(config)
    found = {name: list(value.shape) for name, value in model.state_dict().items()}
    theirs = dict(published["state_dict"])
    mask = theirs.pop("masked_spec_embed")
    heads = [name for name in theirs if name.startswith(("final_proj", "label_embedding"))]
    assert heads
    encoder = {f"encoder.{name}": shape for name, shape in theirs.items() if name not in heads}
    assert found == encoder
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    assert n_parameters + mask[0] == published["params_encoder"]
    assert config.num_attention_heads == published["attention_heads"]


@pytest.mark.reference
def test_three_steps_of_training_are_the_authors(golden: Path) -> None:
    model = load_checkpoint(golden / "finetuned_tiny.pt")
    without_dropout(model)
    require_same_training(model, _input(golden), golden, lambda signal: model(signal).logits)


@pytest.mark.reference
@torch.inference_mode()
def test_a_fine_tuned_file_becomes_a_checkpoint(golden: Path, tmp_path: Path) -> None:
    path = golden / "finetuned_tiny.pt"
    folder = import_checkpoint(path, tmp_path / "folder", vocabulary=FIVE)
    trained = load_trained(folder)
    assert trained.spec == HUBERT_ECG.signal_spec(trained.spec.leads)
    assert len(trained.spec.leads) == 12 and trained.spec.n_channels == 1
    assert trained.vocabulary == FIVE
    signal = _input(golden)
    assert trained.model(signal).logits.equal(load_checkpoint(path)(signal).logits)
    card = (folder / "README.md").read_text()
    assert "CC BY-NC 4.0: no commercial use" in card and "PTB-XL" in card
    report = read_json(folder / "import_report.json")
    assert [entry["from"] for entry in report["dropped"]] == ["hubert_ecg.masked_spec_embed"]


@pytest.mark.reference
def test_a_folder_of_the_hub_is_imported_once_and_with_its_configuration(
    golden: Path, tmp_path: Path
) -> None:
    folder = imported_folder(golden / "hub_tiny", tmp_path / "cache")
    config = read_json(folder / "config.json")
    assert config["model_type"] == "hubert-ecg" and config["num_attention_heads"] == 4
    stated = read_golden_json(golden / "tiny_config.json")
    shape = [name for name in SIZES["tiny"] if name in stated]
    assert len(shape) == 9
    assert {name: config[name] for name in shape} == {name: stated[name] for name in shape}
    assert imported_folder(golden / "hub_tiny", tmp_path / "cache") == folder
    assert imported_folder(folder, tmp_path / "cache") == folder
    report = read_json(folder / "import_report.json")
    names = {entry["from"] for entry in report["mapped"]}
    assert "encoder.pos_conv_embed.conv.weight_g" in names


@pytest.mark.reference
def test_its_files_are_no_other_familys(golden: Path) -> None:
    for name in ("finetuned_tiny.pt", *PRETRAINED[:2], PRETRAINED[3]):
        assert families_that_recognize(golden / name) == ["hubert-ecg"]


class HuBERTECGConfig:
    """Stands for the authors' class: of its object nothing but attributes is read."""

    def __init__(self, **values: object) -> None:
        vars(self).update(values)

    def __setstate__(self, state: dict[str, object]) -> None:
        raise AssertionError("code of the file was run")


def _content(**config: object) -> dict[str, object]:
    torch.manual_seed(0)
    model = HubertEcg(hubert_ecg_config("tiny", n_channels=1, n_labels=1))
    weights = {name.removeprefix("encoder."): v for name, v in model.state_dict().items()}
    return {"model_state_dict": weights, "model_config": {**model.config.to_dict(), **config}}


def test_a_configuration_of_another_class_is_refused(tmp_path: Path) -> None:
    content = _content()
    torch.save({**content, "model_config": HuBERTECGConfig(hidden_size=64)}, tmp_path / "a.pt")
    with pytest.raises(UnsafeCheckpoint, match=r"test_hubert_ecg\.HuBERTECGConfig"):
        load_checkpoint(tmp_path / "a.pt")


def test_weights_without_a_configuration_are_refused(tmp_path: Path) -> None:
    content = _content()
    torch.save({**content, "model_config": {}}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="no weight tells the number of heads"):
        load_checkpoint(tmp_path / "a.pt")
    save_file(content["model_state_dict"], tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"beside its config\.json"):
        load_checkpoint(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_attention_heads": 5}, "divisible"),
        ({"hidden_size": "wide"}, "configuration"),
        ({"num_hidden_layers": 3}, "do not fit"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    torch.save(_content(**change), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "a.pt")


def test_every_weight_but_the_mask_is_trained() -> None:
    model = HubertEcgForClassification(hubert_ecg_config("tiny", n_channels=1, n_labels=2)).train()
    assert isinstance(model.config, HubertEcgConfig)
    model(torch.randn(2, 1, 6000)).logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert not any("masked" in name for name, _ in model.named_parameters())
