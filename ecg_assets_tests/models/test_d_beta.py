"""D-BETA's path from a recording to its features against what its authors' own classes gave."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import wfdb

from ecg_assets.errors import CheckpointError
from ecg_assets.models.checkpoint_folder import PRETRAINING_WEIGHTS, read_json
from ecg_assets.models.d_beta.family import D_BETA
from ecg_assets.models.d_beta.file import build_d_beta, d_beta_names
from ecg_assets.models.d_beta.model import DBeta, DBetaForClassification, d_beta_config
from ecg_assets.models.fairseq_weights import modern_names
from ecg_assets.models.imported import import_checkpoint
from ecg_assets.models.load import imported_folder, load_checkpoint
from ecg_assets.preprocess.model_input import prepare
from ecg_assets_tests.models.golden_published import (
    assert_same,
    families_that_recognize,
    filled_weights,
    golden_tensor,
    read_golden_json,
    require_same_training,
    stated_input,
    without_dropout,
)


@pytest.fixture
def golden(reference_data: Path) -> Path:
    return reference_data / "d_beta_golden"


@pytest.fixture
def tiny_file(golden: Path, tmp_path: Path) -> Path:
    """The file beside its configuration, as its authors' repository has both."""
    folder = tmp_path / "published"
    folder.mkdir()
    shutil.copy(golden / "tiny_config.json", folder / "config.json")
    return Path(shutil.copy(golden / "tiny.pt", folder))


def _load(path: Path) -> DBeta:
    model = load_checkpoint(path)
    assert isinstance(model, DBeta)
    return model


def _classifier(golden: Path, path: Path) -> DBetaForClassification:
    encoder = _load(path)
    head = torch.load(golden / "tiny_linear.pth", weights_only=True)
    encoder.config.num_labels = len(head["bias"])
    model = DBetaForClassification(encoder.config)
    state = encoder.state_dict() | {f"head.{name}": value for name, value in head.items()}
    model.load_state_dict(state)
    return model.eval()


@pytest.mark.reference
@torch.inference_mode()
def test_each_stage_is_the_authors(golden: Path, tiny_file: Path) -> None:
    """The class token has no position, and is normalized with the others."""
    model = _load(tiny_file)
    encoder = model.encoder
    first = golden_tensor(golden / "tiny_input.npy")[:1]
    features = encoder.feature_extractor(first).transpose(1, 2)
    hidden, _ = encoder.feature_projection(features)
    hidden = hidden + encoder.encoder.pos_conv_embed(hidden)
    assert_same(hidden, golden / "tiny_embeddings.npy")
    alone = encoder.run_layers(hidden)
    assert_same(alone, golden / "tiny_encoder_without_class_token.npy")
    outputs = []
    encoder.output_projection.register_forward_pre_hook(lambda _, given: outputs.append(given[0]))
    model(first)
    assert_same(outputs[0], golden / "tiny_encoder_output.npy")
    assert outputs[0].shape[1] == alone.shape[1] + 1


@pytest.mark.reference
@torch.inference_mode()
def test_features_and_logits_are_the_authors(golden: Path, tiny_file: Path) -> None:
    signal = golden_tensor(golden / "tiny_input.npy")
    assert_same(_load(tiny_file)(signal).pooled, golden / "tiny_features.npy")
    model = _classifier(golden, tiny_file)
    assert_same(model.embed(signal), golden / "tiny_features.npy")
    assert_same(model(signal).logits, golden / "tiny_logits.npy")


@pytest.mark.reference
@torch.inference_mode()
def test_published_size_has_the_authors_features(golden: Path) -> None:
    recipe = read_golden_json(golden / "published_size_recipe.json")
    shapes = read_golden_json(golden / "state_dict_shapes.json")["state_dict"]
    model = build_d_beta({"model": filled_weights(shapes, recipe)}, Path("filled")).model
    pooled = model(stated_input(recipe)).pooled
    assert_same(pooled, golden / "published_size_features.npy", tolerance=1e-4)


@pytest.mark.reference
def test_published_size_has_the_authors_names(golden: Path) -> None:
    published = read_golden_json(golden / "state_dict_shapes.json")
    config = d_beta_config("base", n_channels=12, n_labels=1)
    with torch.device("meta"):
        model = DBeta(config)
        theirs = {name: torch.empty(shape) for name, shape in published["state_dict"].items()}
    names = d_beta_names(config)
    state = {names[name]: value.shape for name, value in modern_names(theirs).items()}
    assert state == {name: value.shape for name, value in model.state_dict().items()}
    assert len(names) == 148
    encoder = [n for theirs, n in names.items() if theirs.startswith("ecg_encoder.")]
    sizes = {name: value.numel() for name, value in model.state_dict().items()}
    assert sum(sizes.values()) == published["params"]
    assert sum(sizes[name] for name in encoder) == published["params_ecg_encoder"]


@pytest.mark.reference
def test_three_steps_of_training_are_the_authors(golden: Path, tiny_file: Path) -> None:
    model = _classifier(golden, tiny_file)
    without_dropout(model)
    signal = golden_tensor(golden / "tiny_input.npy")
    require_same_training(model, signal, golden, lambda signal: model(signal).logits)


@pytest.mark.reference
def test_signals_are_the_authors(golden: Path, reference_data: Path) -> None:
    spec = D_BETA.signal_spec(D_BETA.lead_sets[0])
    at_400_hz = np.load(golden / "preprocess_code_test_input_4096x12.npy").T[None]
    expected = np.load(golden / "preprocess_code_test_output.npy")
    found = prepare(at_400_hz.astype(np.float64), 400, spec)
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-5)
    name = read_golden_json(golden / "preprocess_records.json")["records"][0]
    record = wfdb.rdrecord(str(reference_data / "real_ecg" / "physionet2021" / name))
    found = prepare(record.p_signal.T[None], 500, spec)
    expected = np.load(golden / "preprocess_output_first_record_first_50_samples.npy")
    np.testing.assert_allclose(found[0, :, :50], expected, rtol=0, atol=1e-6)


@pytest.mark.reference
@torch.inference_mode()
def test_a_whole_published_file_becomes_an_encoder(
    golden: Path, tiny_file: Path, tmp_path: Path
) -> None:
    """What reads texts and what only pre-training uses is named in the report, and left behind."""
    others = {
        name: torch.ones(2)
        for name in (
            *("ecg_encoder.mask_emb", "language_encoder.shared.weight"),
            *("modality_type_embeddings.weight", "multi_modal_language_proj.weight"),
            *("multi_modal_ecg_layers.0.output.dense.bias", "multi_modal_ecg_pooler.dense.bias"),
            *("unimodal_language_pooler.dense.bias", "mlm_head.bias", "mim_head.bias"),
            "itm_head.fc.bias",
        )
    }
    content = torch.load(tiny_file, weights_only=True)
    torch.save({"model": {**others, **content["model"]}}, tiny_file)
    folder = imported_folder(tiny_file, tmp_path / "cache")
    report = read_json(folder / "import_report.json")
    assert {entry["from"] for entry in report["dropped"]} == set(others)
    assert {entry["from"] for entry in report["mapped"]} == {
        name.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        )
        for name in content["model"]
    }
    assert not (folder / PRETRAINING_WEIGHTS).exists()
    signal = golden_tensor(golden / "tiny_input.npy")
    assert_same(_load(folder)(signal).pooled, golden / "tiny_features.npy")
    assert (
        read_json(folder / "signal_spec.json") == D_BETA.signal_spec(D_BETA.lead_sets[0]).to_json()
    )
    assert "CC BY-NC 4.0: no commercial use" in (folder / "README.md").read_text()


@pytest.mark.reference
def test_another_configuration_beside_it_is_another_import(tiny_file: Path, tmp_path: Path) -> None:
    """No weight tells the number of heads; the features then differ."""
    before = imported_folder(tiny_file, tmp_path / "cache")
    config = tiny_file.with_name("config.json")
    config.write_text(config.read_text().replace('heads": 4', 'heads": 2'))
    after = imported_folder(tiny_file, tmp_path / "cache")
    heads = [read_json(one / "config.json")["num_attention_heads"] for one in (before, after)]
    assert heads == [4, 2]
    config.write_text(config.read_text().replace('layers": 2', 'layers": 3'))
    with pytest.raises(CheckpointError, match="belong to different models"):
        load_checkpoint(tiny_file)


@pytest.mark.reference
def test_its_file_is_no_other_familys_and_needs_its_heads(golden: Path) -> None:
    assert families_that_recognize(golden / "tiny.pt") == ["d-beta"]
    with pytest.raises(CheckpointError, match=r"Put the config\.json"):
        load_checkpoint(golden / "tiny.pt")


def _content() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model = DBeta(d_beta_config("tiny", n_channels=12, n_labels=1))
    state = model.state_dict()
    return {theirs: state[ours] for theirs, ours in d_beta_names(model.config).items()}


@torch.inference_mode()
def test_a_known_size_needs_no_configuration(tmp_path: Path) -> None:
    content = _content()
    torch.save({"model": content}, tmp_path / "a.pt")
    folder = import_checkpoint(tmp_path / "a.pt", tmp_path / "folder")
    report = read_json(folder / "import_report.json")
    assert report["assumed"][0].startswith(
        "4 attention heads and the strides (2, 2, 2, 2, 2, 2, 2)"
    )
    state = load_checkpoint(folder).state_dict()
    assert len(state) == len(content)
    names = d_beta_names(load_checkpoint(folder).config)
    assert all(state[names[name]].equal(value) for name, value in content.items())


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"unimodal_ecg_pooler.dense.bias": None}, r"missing unimodal_ecg_pooler\.dense\.bias"),
        ({"adapter.weight": torch.ones(3)}, r"missing none; unexpected adapter\.weight"),
        (
            {"ecg_encoder.feature_extractor.conv_layers.0.0.weight": None},
            r"expected ecg_encoder\.feature_extractor",
        ),
    ],
)
def test_a_weight_too_few_or_too_many_is_named(
    edit: dict[str, torch.Tensor | None], message: str, tmp_path: Path
) -> None:
    state = {name: value for name, value in {**_content(), **edit}.items() if value is not None}
    torch.save({"model": state}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "a.pt")


def test_signals_of_several_lengths_are_refused() -> None:
    model = DBetaForClassification(d_beta_config("tiny", n_channels=12, n_labels=2)).eval()
    with pytest.raises(ValueError, match="signals of one length"):
        model(torch.zeros(2, 12, 1280), lengths=torch.tensor([1280, 640]))
