"""CLEF against what its authors' own classes gave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import wfdb

from ecg_assets.errors import CheckpointError
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models.checkpoint import load_trained
from ecg_assets.models.checkpoint_folder import read_json
from ecg_assets.models.clef.family import CLEF
from ecg_assets.models.clef.model import Clef, ClefForClassification, clef_config
from ecg_assets.models.ecg_founder.net1d import net1d_config
from ecg_assets.models.imported import import_checkpoint
from ecg_assets.models.load import imported_folder, load_checkpoint
from ecg_assets.preprocess.model_input import prepare
from ecg_assets_tests.models.golden_net1d import fill_as_stated
from ecg_assets_tests.models.golden_published import (
    assert_same,
    families_that_recognize,
    golden_tensor,
    read_golden_json,
    require_same_training,
    stated_input,
)

FIVE = LabelVocabulary(("a", "b", "c", "d", "e"), ("mean",) * 5)


@pytest.fixture
def golden(reference_data: Path) -> Path:
    return reference_data / "clef_golden"


def _write_finetuned(golden: Path, path: Path) -> Path:
    """Write the tiny model and its head as the authors' fine-tuning names them."""
    encoder = torch.load(golden / "pretrained_tiny.ckpt", weights_only=True)["state_dict"]
    head = torch.load(golden / "tiny_dense.pth", weights_only=True)
    state = {name.replace("backbone.", "model.", 1): value for name, value in encoder.items()}
    state |= {name.replace("dense.", "projection."): value for name, value in head.items()}
    torch.save({"state_dict": state, "epoch": 3}, path)
    return path


@pytest.mark.reference
@torch.inference_mode()
def test_features_are_the_authors(golden: Path) -> None:
    model = load_checkpoint(golden / "pretrained_tiny.ckpt")
    assert isinstance(model, Clef)
    output = model(golden_tensor(golden / "tiny_input.npy"))
    assert_same(output.pooled, golden / "tiny_pooled.npy")
    torch.testing.assert_close(output.last_hidden_state.mean(dim=1), output.pooled)


@pytest.mark.reference
def test_the_architecture_is_read_off_the_weights(golden: Path) -> None:
    """Groups are of the output's width, which shows where the middle has another one."""
    stated = read_golden_json(golden / "tiny_config.json")
    config = load_checkpoint(golden / "pretrained_tiny.ckpt").config
    for name in ("base_filters", "filter_list", "m_blocks_list", "kernel_size", "ratio"):
        assert np.asarray(getattr(config, name)).tolist() == np.asarray(stated[name]).tolist()
    assert config.groups_width == stated["groups_width"] * stated["ratio"] == 4
    assert config.n_channels == 1


@pytest.mark.reference
@torch.inference_mode()
def test_a_file_becomes_a_checkpoint_that_says_what_it_reads(golden: Path, tmp_path: Path) -> None:
    signal = golden_tensor(golden / "tiny_input.npy")
    path = _write_finetuned(golden, tmp_path / "a.ckpt")
    folder = import_checkpoint(path, tmp_path / "folder", vocabulary=FIVE)
    trained = load_trained(folder)
    assert isinstance(trained.model, ClefForClassification)
    assert trained.vocabulary == FIVE
    assert trained.spec == CLEF.signal_spec(("I",))
    assert_same(trained.model(signal).logits, golden / "tiny_logits.npy")
    assert trained.model(signal).logits.equal(load_checkpoint(path)(signal).logits)
    card = (folder / "README.md").read_text()
    assert "MIMIC-IV-ECG" in card
    assert "Clear BSD" in card
    encoder = imported_folder(golden / "pretrained_tiny.ckpt", tmp_path / "cache")
    assert_same(load_checkpoint(encoder)(signal).pooled, golden / "tiny_pooled.npy")
    assert read_json(encoder / "import_report.json")["kind"] == "pre-trained"


@pytest.mark.reference
@pytest.mark.parametrize("size", ["small", "medium", "large"])
def test_published_size_has_the_authors_names(size: str, golden: Path) -> None:
    published = read_golden_json(golden / "state_dict_shapes.json")[size]
    with torch.device("meta"):
        model = Clef(clef_config(size, n_channels=1, n_labels=1))
    found = [(name, list(value.shape)) for name, value in model.state_dict().items()]
    assert found == list(published["state_dict"].items())
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    assert n_parameters == published["params_without_dense"]
    assert model.config.hidden_size == published["feature_dim"]
    groups_width = published["config"]["groups_width"] * published["config"]["ratio"]
    assert model.config.groups_width == groups_width


@pytest.mark.reference
@pytest.mark.parametrize("size", ["small", "medium"])
@torch.inference_mode()
def test_published_size_has_the_authors_features(size: str, golden: Path) -> None:
    recipe = read_golden_json(golden / "published_size_recipe.json")
    model = Clef(clef_config(size, n_channels=1, n_labels=1)).eval()
    fill_as_stated(model, recipe["weight_seed"])
    pooled = model(stated_input(recipe)).pooled
    assert_same(pooled, golden / f"published_size_{size}_pooled.npy", tolerance=1e-4)


def test_the_middle_size_is_ecg_founder_with_one_lead() -> None:
    ours = clef_config("medium", n_channels=1, n_labels=150).to_dict()
    theirs = net1d_config("base", n_channels=1, n_labels=150).to_dict()
    assert {name for name in ours if ours[name] != theirs[name]} == {"model_type"}


@pytest.mark.reference
def test_three_steps_of_training_are_the_authors(golden: Path, tmp_path: Path) -> None:
    model = load_checkpoint(_write_finetuned(golden, tmp_path / "a.ckpt"))
    signal = golden_tensor(golden / "tiny_input.npy")
    require_same_training(model, signal, golden, lambda signal: model(signal).logits)


@pytest.mark.reference
def test_signals_are_the_authors(golden: Path, reference_data: Path) -> None:
    records = read_golden_json(golden / "preprocess_records.json")
    for row, lead in enumerate(records["leads_of_the_output_rows"]):
        spec = CLEF.signal_spec((lead,))
        for number, name in enumerate(records["records"]):
            path = reference_data / "real_ecg" / "physionet2021" / name
            record = wfdb.rdrecord(str(path))
            block = record.p_signal.T[[record.sig_name.index(lead)]]
            expected = np.load(golden / "preprocess_output.npy")[number, row]
            found = prepare(block, 500, spec)
            np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-5)


@pytest.mark.reference
def test_its_files_are_no_other_familys(golden: Path, tmp_path: Path) -> None:
    for path in (golden / "pretrained_tiny.ckpt", _write_finetuned(golden, tmp_path / "a.ckpt")):
        assert families_that_recognize(path) == ["clef"]


def _state(prefix: str = "backbone.") -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model = Clef(clef_config("tiny", n_channels=1, n_labels=1))
    return {f"{prefix}{name}": value for name, value in model.state_dict().items()}


@pytest.mark.parametrize(
    "others",
    [
        {"queue": torch.ones(128, 4), "queue_ptr": torch.zeros(1), **_state("backbone_k.")},
        {"predictor.0.weight": torch.ones(3, 3), **_state("backbone_target.")},
    ],
    ids=["MoCo", "BYOL"],
)
def test_the_other_copy_of_an_encoder_is_dropped_by_name(
    others: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    state = _state()
    torch.save({"state_dict": {**others, **state}}, tmp_path / "a.ckpt")
    folder = import_checkpoint(tmp_path / "a.ckpt", tmp_path / "folder")
    report = read_json(folder / "import_report.json")
    assert {entry["from"] for entry in report["dropped"]} == set(others)
    found = load_checkpoint(folder).state_dict()
    assert all(found[name.removeprefix("backbone.")].equal(state[name]) for name in state)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"backbone.stage_list.5.block_list.0.se_fc2.bias": None}, "Missing key.*se_fc2.bias"),
        ({"backbone.adapter.weight": torch.ones(3)}, "Unexpected key.*adapter"),
        ({"backbone.stage_list.0.block_list.0.conv3.conv.weight": None}, "shapes of a Net1D"),
    ],
)
def test_a_weight_too_few_or_too_many_is_named(
    edit: dict[str, torch.Tensor | None], message: str, tmp_path: Path
) -> None:
    state = {name: value for name, value in {**_state(), **edit}.items() if value is not None}
    torch.save({"state_dict": state}, tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match=f"(?s){message}"):
        load_checkpoint(tmp_path / "a.ckpt")
