"""ST-MEM against what its authors' own classes gave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ecg_assets.errors import CheckpointError
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models.checkpoint import load_trained
from ecg_assets.models.checkpoint_folder import read_json
from ecg_assets.models.imported import import_checkpoint
from ecg_assets.models.load import load_checkpoint
from ecg_assets.models.st_mem.family import ST_MEM
from ecg_assets.models.st_mem.file import build_st_mem
from ecg_assets.models.st_mem.model import StMem, StMemForClassification, st_mem_config
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
    return reference_data / "st_mem_golden"


@pytest.fixture
def encoder(golden: Path, tmp_path: Path) -> StMem:
    """The authors' tiny encoder, imported and read back."""
    n_heads = read_golden_json(golden / "tiny_config.json")["heads"]
    path = golden / "pretrained_tiny_encoder.pth"
    folder = import_checkpoint(path, tmp_path / "a", n_heads=n_heads)
    model = load_checkpoint(folder)
    assert isinstance(model, StMem)
    return model


@pytest.fixture
def classifier(golden: Path, tmp_path: Path) -> StMemForClassification:
    """The authors' tiny classifier, imported and read back; its recordings are short."""
    spec = ST_MEM.signal_spec(STANDARD_LEADS, segment_s=1.8)
    folder = import_checkpoint(
        golden / "finetuned_tiny.pth", tmp_path / "b", n_heads=3, vocabulary=FIVE, spec=spec
    )
    trained = load_trained(folder)
    assert trained.spec == spec and trained.vocabulary == FIVE
    assert isinstance(trained.model, StMemForClassification)
    return trained.model


@pytest.mark.reference
@torch.inference_mode()
def test_features_are_the_authors(golden: Path, encoder: StMem) -> None:
    signal = golden_tensor(golden / "tiny_input.npy")
    patches = encoder.encoder.embed_patches(signal[:1])
    assert_same(
        patches.reshape(golden_tensor(golden / "tiny_patch_embedding.npy").shape),
        golden / "tiny_patch_embedding.npy",
    )
    assert_same(encoder(signal).pooled, golden / "tiny_pooled.npy")


@pytest.mark.reference
@torch.inference_mode()
def test_a_short_signal_ends_at_the_last_position(golden: Path, encoder: StMem) -> None:
    signal = golden_tensor(golden / "tiny_input.npy")[:, :, :300]
    assert_same(encoder(signal).pooled, golden / "tiny_pooled_first_300_samples.npy")


@pytest.mark.reference
@torch.inference_mode()
def test_logits_are_the_authors(golden: Path, classifier: StMemForClassification) -> None:
    signal = golden_tensor(golden / "tiny_input.npy")
    assert_same(classifier(signal).logits, golden / "tiny_logits.npy")


@pytest.mark.reference
@torch.inference_mode()
def test_one_lead_is_refused_where_the_authors_take_separators_for_patches(
    golden: Path, encoder: StMem
) -> None:
    """There the lead stands in for all twelve, and 11 pairs of separators count in the mean."""
    signal = golden_tensor(golden / "tiny_input.npy")
    for n_leads in (1, 6):
        with pytest.raises(ValueError, match="12 channels"):
            encoder(signal[:, :n_leads])
    patches = encoder.encoder.embed_patches(signal[:, :1].repeat(1, 12, 1))
    tokens = encoder.encoder.contextualize(patches).flatten(1, 2)
    theirs = encoder.encoder.pool(tokens[:, 1:-1])
    assert_same(theirs, golden / "tiny_pooled_one_lead_broadcast.npy")


@pytest.mark.reference
@torch.inference_mode()
def test_published_size_has_the_authors_names_and_features(golden: Path) -> None:
    recipe = read_golden_json(golden / "published_size_recipe.json")
    published = read_golden_json(golden / "state_dict_shapes.json")
    config = st_mem_config("base", n_channels=12, n_labels=1)
    with torch.device("meta"):
        sized = StMem(config)
    found = {name: list(value.shape) for name, value in sized.state_dict().items()}
    expected = {f"encoder.{name}": shape for name, shape in published["state_dict"].items()}
    assert found == expected
    assert sum(value.numel() for value in sized.parameters()) == published["params"]
    weights = filled_weights(published["state_dict"], recipe)
    model = build_st_mem({"model": weights}, Path("filled")).model
    stated = published["config"]
    assert model.config.num_attention_heads == stated["heads"]
    assert model.config.head_size == stated["dim_head"]
    pooled = model(stated_input(recipe)).pooled
    assert_same(pooled, golden / "published_size_pooled.npy", tolerance=1e-4)


@pytest.mark.reference
def test_three_steps_of_training_are_the_authors(
    golden: Path, classifier: StMemForClassification
) -> None:
    signal = golden_tensor(golden / "tiny_input.npy")
    require_same_training(classifier, signal, golden, lambda given: classifier(given).logits)


@pytest.mark.reference
@torch.inference_mode()
def test_the_file_of_the_whole_pre_training_gives_the_encoder(
    golden: Path, tmp_path: Path, encoder: StMem
) -> None:
    stored = torch.load(golden / "pretrained_tiny_encoder.pth", weights_only=True)["model"]
    whole = {f"encoder.{name}": value for name, value in stored.items()}
    torch.save({"model": {**whole, "decoder.head.weight": torch.ones(2)}}, tmp_path / "whole.pth")
    folder = import_checkpoint(tmp_path / "whole.pth", tmp_path / "folder", n_heads=3)
    assert set(load_file(folder / "fairseq_pretraining.safetensors")) == {"decoder.head.weight"}
    signal = golden_tensor(golden / "tiny_input.npy")
    assert load_checkpoint(folder)(signal).pooled.equal(encoder(signal).pooled)


@pytest.mark.reference
def test_the_import_says_what_it_assumed(golden: Path, tmp_path: Path) -> None:
    path = golden / "pretrained_tiny_encoder.pth"
    with pytest.raises(CheckpointError, match=r"48 wide.*import_checkpoint\(path, folder, n_heads"):
        load_checkpoint(path)
    folder = import_checkpoint(path, tmp_path / "a", n_heads=3)
    assert not read_json(folder / "import_report.json")["assumed"]
    card = (folder / "README.md").read_text()
    assert "CC BY-NC 4.0: no commercial use" in card and "CODE-15" in card


@pytest.mark.reference
def test_its_files_are_no_other_familys(golden: Path) -> None:
    for name in ("pretrained_tiny_encoder.pth", "finetuned_tiny.pth"):
        assert families_that_recognize(golden / name) == ["st-mem"]


def _weights(**changes: Tensor) -> dict[str, Any]:
    torch.manual_seed(0)
    model = StMem(st_mem_config("tiny", n_channels=12, n_labels=1))
    weights = {name.removeprefix("encoder."): v for name, v in model.state_dict().items()}
    return {"model": {**weights, **changes}}


def test_a_published_width_tells_the_heads(tmp_path: Path) -> None:
    torch.save(_weights(), tmp_path / "a.pth")
    folder = import_checkpoint(tmp_path / "a.pth", tmp_path / "folder")
    assert read_json(folder / "import_report.json")["assumed"] == [
        "4 heads of attention, as in the published ST-MEM of this width"
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm.scale": torch.ones(3)}, "norm.scale"),
        ({"to_patch_embedding.2.weight": torch.ones(3)}, "another shape"),
        ({"block1.attn.fn.to_qkv.weight": torch.ones(3, 3)}, "do not fit"),
        ({"block0.attn.fn.to_qkv.weight": torch.ones(9, 3)}, "those of 4 heads"),
    ],
)
def test_weights_of_another_model_are_refused(
    changes: dict[str, Tensor], message: str, tmp_path: Path
) -> None:
    torch.save(_weights(**changes), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("shape", [(2, 12, 2251), (2, 12, 2325), (12, 2250)])
def test_signals_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    model = StMem(st_mem_config("tiny", n_channels=12, n_labels=1))
    with pytest.raises(ValueError, match=r"Expected signals \[batch"):
        model(torch.zeros(shape))
    with pytest.raises(ValueError, match="without lengths"):
        model(torch.zeros(1, 12, 2250), torch.tensor([2000]))


@pytest.mark.reference
def test_its_input_is_the_authors_and_a_recording_has_three_crops(golden: Path) -> None:
    found = golden_segments(golden, ST_MEM.signal_spec(STANDARD_LEADS))
    assert found.shape == (2, 3, 12, 2250)
    expected = np.load(golden / "preprocess_eval_output.npy")
    np.testing.assert_allclose(found[:1], expected, rtol=0, atol=1e-6)
    middle = np.load(golden / "preprocess_eval_output_second_record_middle_crop.npy")
    np.testing.assert_allclose(found[1, 1], middle, rtol=0, atol=1e-6)
