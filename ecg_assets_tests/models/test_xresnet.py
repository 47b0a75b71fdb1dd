"""xresnet1d101 against what its authors' own classes gave."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ecg_assets.errors import CheckpointError
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models.checkpoint import load_trained
from ecg_assets.models.imported import import_checkpoint
from ecg_assets.models.load import imported_folder, load_checkpoint
from ecg_assets.models.xresnet.family import XRESNET1D101
from ecg_assets.models.xresnet.file import build_xresnet
from ecg_assets.models.xresnet.model import Xresnet, xresnet_config
from ecg_assets.preprocess import STANDARD_LEADS, segment
from ecg_assets.preprocess.model_input import prepare
from ecg_assets.preprocess.signal_steps import Normalization
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

FIVE = LabelVocabulary(("a", "b", "c", "d", "e"), ("mean",) * 5)


@pytest.fixture
def golden(reference_data: Path) -> Path:
    return reference_data / "xresnet1d101_golden"


def _tiny(folder: Path) -> Xresnet:
    model = load_checkpoint(folder / "tiny.pth")
    assert isinstance(model, Xresnet)
    return model


@pytest.mark.reference
@torch.inference_mode()
def test_features_and_logits_are_the_authors(golden: Path) -> None:
    """Of an odd length too, whose last sample is pooled alone."""
    model, signal = _tiny(golden), golden_tensor(golden / "tiny_input.npy")
    hidden = model.tokens(signal).hidden
    feature_map = golden_tensor(golden / "tiny_feature_map.npy")
    assert_same(hidden.mT[: len(feature_map)], golden / "tiny_feature_map.npy")
    assert_same(model.pool(hidden), golden / "tiny_pooled.npy")
    assert_same(model(signal).logits, golden / "tiny_logits.npy")
    odd = golden_tensor(golden / "tiny_input_333.npy")
    assert_same(model(odd).logits, golden / "tiny_logits_333.npy")


@pytest.mark.reference
@torch.inference_mode()
def test_published_size_has_the_authors_names_and_logits(golden: Path) -> None:
    recipe = read_golden_json(golden / "published_size_recipe.json")
    published = read_golden_json(golden / "state_dict_shapes.json")
    shapes, norms = published["state_dict"], read_golden_json(golden / "batch_norm_modules.json")
    # The list has the first of the two names of a norm: as the second one it counts as no norm.
    state = filled_weights(shapes, recipe, norms="|".join(f"^{re.escape(n)}\\." for n in norms))
    for name in state:  # and the second one stays
        if ".convs." in name:
            state[name] = state[name.replace(".convs.", ".convpath.0.")]
    assert len(state) == 1226
    model = build_xresnet({"model": state, "opt": {}}, Path("filled")).model
    logits = model(stated_input(recipe)).logits
    assert_same(logits, golden / "published_size_logits.npy", tolerance=1e-4)
    named = Xresnet(xresnet_config("base", n_channels=12, n_labels=71))
    found = {name: value.shape for name, value in named.state_dict().items()}
    assert found == {name: value.shape for name, value in model.state_dict().items()}
    assert sum(value.numel() for value in named.parameters()) == published["params"]


@pytest.mark.reference
def test_three_steps_of_training_are_the_authors(golden: Path) -> None:
    model = _tiny(golden)
    without_dropout(model)
    signal = golden_tensor(golden / "tiny_input.npy")
    require_same_training(model, signal, golden, lambda given: model(given).logits, tolerance=1e-3)


@pytest.mark.reference
def test_windows_are_prepared_as_the_authors_do(golden: Path) -> None:
    facts = read_golden_json(golden / "preprocess_records.json")
    mean, deviation = (facts["mean"],), (facts["std"],)
    of_data = Normalization(kind="z-score", scope="dataset", mean=mean, deviation=deviation)
    spec = replace(XRESNET1D101.signal_spec(STANDARD_LEADS), normalization=of_data)
    stored = np.load(golden / "preprocess_input_1000x12.npy").swapaxes(1, 2).astype(np.float64)
    crops = segment(prepare(stored[:1], 100, spec), spec)
    assert crops.shape == (1, len(read_golden_json(golden / "crop_starts.json")), 12, 250)
    np.testing.assert_allclose(
        crops[0], np.load(golden / "preprocess_crops.npy"), rtol=0, atol=1e-5
    )


def test_one_scale_of_all_leads_changes_nothing_where_training_starts_anew() -> None:
    """So the family reads mV, and no dataset's mean and deviation are part of its signals."""
    torch.manual_seed(0)
    model = Xresnet(xresnet_config("tiny", n_channels=12, n_labels=2)).train()
    without_dropout(model)
    signal = torch.randn(8, 12, 250)
    expected = model(signal).logits
    torch.testing.assert_close(model(signal / 0.18).logits, expected, rtol=0, atol=1e-3)


@pytest.mark.reference
@torch.inference_mode()
def test_a_file_becomes_a_checkpoint_where_its_scale_is_given(golden: Path, tmp_path: Path) -> None:
    path = golden / "tiny.pth"
    assert families_that_recognize(path) == ["xresnet1d101"]
    of_data = Normalization(kind="z-score", scope="dataset", mean=(0.0,), deviation=(0.2,))
    spec = replace(XRESNET1D101.signal_spec(STANDARD_LEADS), normalization=of_data)
    folder = import_checkpoint(path, tmp_path / "folder", spec=spec, vocabulary=FIVE)
    trained = load_trained(folder)
    assert trained.spec == spec and trained.spec.aggregation == "max"
    signal = golden_tensor(golden / "tiny_input.npy")
    assert trained.model(signal).logits.equal(_tiny(golden)(signal).logits)
    card = (folder / "README.md").read_text()
    assert "GPL 3" in card and "PTB-XL" in card
    without = imported_folder(path, tmp_path / "cache")
    assert not (without / "signal_spec.json").exists()


def _content() -> dict[str, Any]:
    """A model's weights by the names that its authors' have, with each second name."""
    torch.manual_seed(0)
    state = Xresnet(xresnet_config("tiny", n_channels=12, n_labels=2)).state_dict()
    head = {"pooled_norm": "8.2", "hidden": "8.4", "hidden_norm": "8.6", "head": "8.8"}
    found: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        part, _, rest = name.partition(".")
        if part == "stages":
            number, _, rest = rest.partition(".")
            part = str(int(number) + 4)
        theirs = rest if part == "stem" else f"{head.get(part, part)}.{rest}"
        found[theirs] = value
        if ".convs." in theirs:
            found[theirs.replace(".convs.", ".convpath.0.")] = value
    return {"model": found, "opt": {}}


def test_two_values_of_one_weight_are_refused(tmp_path: Path) -> None:
    content = _content()
    torch.save(content, tmp_path / "a.pth")
    assert isinstance(load_checkpoint(tmp_path / "a.pth"), Xresnet)
    content["model"]["4.0.convpath.0.1.0.weight"] = torch.ones(16, 16, 5)
    torch.save(content, tmp_path / "b.pth")
    with pytest.raises(CheckpointError, match=r"4\.0\.convs\.1\.0\.weight are one weight"):
        load_checkpoint(tmp_path / "b.pth")


@pytest.mark.parametrize(
    ("name", "message"),
    [("8.6.bias", "hidden_norm"), ("4.0.idpath.0.0.weight", "idpath"), ("8.4.weight", "KeyError")],
)
def test_a_lacking_weight_is_named(name: str, message: str, tmp_path: Path) -> None:
    content = _content()
    del content["model"][name]
    content["model"].pop(name.replace(".convs.", ".convpath.0."), None)
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "a.pth")


def test_an_unknown_name_and_other_channels_are_refused(tmp_path: Path) -> None:
    content = _content()
    content["model"]["9.weight"] = torch.ones(1)
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"stages\.5\.weight"):
        load_checkpoint(tmp_path / "a.pth")
    model = Xresnet(xresnet_config("tiny", n_channels=12, n_labels=2))
    with pytest.raises(ValueError, match=r"12 channels, sample\], found \[1, 3, 250\]"):
        model(torch.zeros(1, 3, 250))
    with pytest.raises(ValueError, match="without lengths"):
        model(torch.zeros(1, 12, 250), lengths=torch.tensor([200]))
