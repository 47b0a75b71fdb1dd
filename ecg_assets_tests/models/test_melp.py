"""MELP's path from a recording to its features against what its authors' own classes gave.

melp_golden.json was made from the code of https://github.com/HKU-MedAI/MELP with random weights: it
holds how these are drawn, names and shapes, and outputs of a tiny model and of the published size.
The head of the training steps is not theirs.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ecg_assets.errors import CheckpointError
from ecg_assets.models.checkpoint_folder import PRETRAINING_WEIGHTS, read_json
from ecg_assets.models.load import imported_folder, load_checkpoint
from ecg_assets.models.melp.family import MELP
from ecg_assets.models.melp.file import build_melp, melp_names
from ecg_assets.models.melp.model import Melp, MelpForClassification, melp_config
from ecg_assets.preprocess.model_input import prepare
from ecg_assets_tests.models.golden_published import (
    families_that_recognize,
    filled_weights,
    without_dropout,
)

GOLDEN = json.loads(Path(__file__).with_name("melp_golden.json").read_text(encoding="utf-8"))
TINY, RECIPE = GOLDEN["tiny"], GOLDEN["recipe"]
ATTENTION = "ecg_encoder.attn_pool_contrast.attn."


def _weights(case: dict[str, Any]) -> dict[str, Tensor]:
    return filled_weights(case["shapes"], RECIPE)


def _signal(case: dict[str, Any]) -> Tensor:
    random = np.random.RandomState(RECIPE["input_seed"])
    return torch.from_numpy(random.standard_normal(case["input_shape"]).astype(np.float32))


def _assert_near(found: Tensor, expected: list[float], tolerance: float = 1e-5) -> None:
    limit = tolerance * np.abs(expected).max()
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(found.detach().flatten().numpy(), expected, rtol=0, atol=limit)


def _tiny() -> Melp:
    content = {"state_dict": _weights(TINY), "config": TINY["config"]}
    model: Melp = build_melp(content, Path("filled")).model
    return model


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The tiny model in the form of its authors' folder on the hub, in half precision as theirs."""
    folder = tmp_path / "published"
    folder.mkdir()
    weights = {name: value.bfloat16() for name, value in _weights(TINY).items()}
    weights["ecg_encoder.bn.num_batches_tracked"] = torch.tensor(7)
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(TINY["config"]))
    return folder


@torch.inference_mode()
def test_tokens_and_features_are_the_authors() -> None:
    output = _tiny()(_signal(TINY))
    assert list(output.last_hidden_state.shape) == TINY["encoder_shape"]
    _assert_near(output.last_hidden_state[:, -1], TINY["encoder_last_token"])
    _assert_near(output.pooled, TINY["features"])
    # What is compared with texts is a projection of the features, which nothing here needs.
    projection = _weights(TINY)["ecg_encoder.proj_contrast"]
    _assert_near(output.pooled @ projection, TINY["proj_ecg_emb"])


@torch.inference_mode()
def test_published_size_has_the_authors_features_names_and_parameters() -> None:
    case = GOLDEN["published"]
    model = build_melp({"state_dict": _weights(case)}, Path("filled")).model
    assert model.config.to_dict() == melp_config("small", n_channels=12, n_labels=2).to_dict()
    output = model(_signal(case))
    assert list(output.last_hidden_state.shape) == case["encoder_shape"]
    _assert_near(output.pooled, case["features"], tolerance=1e-4)
    names = melp_names(model.config)
    found = {name: list(value.shape) for name, value in model.state_dict().items()}
    assert {names[name]: case["shapes"][name] for name in names} == found
    others = {
        name: int(np.prod(shape)) for name, shape in case["shapes"].items() if name not in names
    }
    n_unused = sum(n for name, n in others.items() if ".bn." not in name)
    n_read = sum(parameter.numel() for parameter in model.parameters())
    assert n_read + n_unused == case["n_parameters"] == 65_593_857
    assert n_read == 62_553_216


def _classifier() -> MelpForClassification:
    encoder = _tiny()
    random = np.random.RandomState(43)
    weight = random.standard_normal((3, 32)) / np.sqrt(32)
    bias = 0.1 * random.standard_normal(3)
    encoder.config.num_labels = 3
    model = MelpForClassification(encoder.config)
    head = {"weight": torch.from_numpy(weight).float(), "bias": torch.from_numpy(bias).float()}
    state = encoder.state_dict() | {f"head.{name}": value for name, value in head.items()}
    model.load_state_dict(state)
    return model


def test_three_steps_of_training_are_the_authors() -> None:
    model, signal = _classifier().eval(), _signal(TINY)
    _assert_near(model(signal).logits, TINY["logits"])
    without_dropout(model)
    model.train()
    targets = torch.tensor([[1.0, 0, 1], [0, 1, 0]])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses, norms = [], []
    for _ in range(4):
        loss = nn.functional.binary_cross_entropy_with_logits(model(signal).logits, targets)
        losses.append(loss.item())
        if len(losses) < 4:
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            gradients = [one.grad for one in model.parameters() if one.grad is not None]
            assert len(gradients) == len(list(model.parameters()))
            norms.append(float(nn.utils.get_total_norm(gradients)))
            optimizer.step()
    np.testing.assert_allclose(losses, GOLDEN["train"]["losses"], rtol=1e-4)
    np.testing.assert_allclose(norms, GOLDEN["train"]["norms"], rtol=1e-4)
    _assert_near(model.eval()(signal).logits, GOLDEN["train"]["logits"], tolerance=1e-3)


@torch.inference_mode()
def test_a_folder_of_the_hub_becomes_an_encoder(published: Path, tmp_path: Path) -> None:
    folder = imported_folder(published, tmp_path / "cache")
    model = load_checkpoint(folder)
    assert isinstance(model, Melp)
    rounded = {name: value.bfloat16().float() for name, value in _weights(TINY).items()}
    content = {"state_dict": rounded, "config": TINY["config"]}
    expected = build_melp(content, Path("filled")).model(_signal(TINY)).pooled
    assert model(_signal(TINY)).pooled.equal(expected)
    assert load_checkpoint(published)(_signal(TINY)).pooled.equal(expected)
    report = read_json(folder / "import_report.json")
    told = {entry["from"] for entry in (*report["mapped"], *report["dropped"])}
    assert told == set(TINY["shapes"])
    assert not (folder / PRETRAINING_WEIGHTS).exists()
    assert report["assumed"] == [
        "4 attention heads and the strides (2, 2, 2, 2, 2, 2, 2), as the known size of the same "
        "shape has"
    ]
    spec = read_json(folder / "signal_spec.json")
    assert spec["leads"][4:6] == ["aVF", "aVL"]
    assert spec == MELP.signal_spec(MELP.lead_sets[0]).to_json()
    card = (folder / "README.md").read_text()
    assert "weights Apache 2.0" in card
    assert "MIMIC-IV-ECG" in card
    assert families_that_recognize(published / "model.safetensors") == ["melp-encoder"]


@torch.inference_mode()
def test_the_file_of_a_whole_training_is_read(tmp_path: Path) -> None:
    """It has the encoder under the same names, beside what reads and writes texts."""
    texts = {"lm_model.embeddings.weight": torch.ones(2), "proj_t.0.weight": torch.ones(2)}
    torch.save({"state_dict": {**texts, **_weights(TINY)}}, tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match="8 heads do not divide the pool") as error:
        weights = {**_weights(TINY), f"{ATTENTION[:-5]}query": torch.ones(5, 36)}
        build_melp({"state_dict": weights}, tmp_path / "a.ckpt")
    assert "a.ckpt" in str(error.value)
    folder = imported_folder(tmp_path / "a.ckpt", tmp_path / "cache")
    report = read_json(folder / "import_report.json")
    assert set(texts) < {entry["from"] for entry in report["dropped"]}
    assert report["assumed"][1] == "8 heads of the pooling, as MELP has"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({f"{ATTENTION}v_proj_weight": None}, r"missing ecg_encoder\.attn_pool_contrast\.attn\.v"),
        ({"ecg_encoder.adapter.weight": torch.ones(3)}, "missing none; unexpected ecg_encoder.ada"),
        (
            {"ecg_encoder.ecg_encoder.encoder.layers.1.fc1.weight": None},
            "does not tell its number of attention heads",
        ),
    ],
)
def test_a_weight_too_few_or_too_many_is_named(
    edit: dict[str, Tensor | None], message: str
) -> None:
    state = {k: value for k, value in {**_weights(TINY), **edit}.items() if value is not None}
    with pytest.raises(CheckpointError, match=message):
        build_melp({"state_dict": state, "config": TINY["config"]}, Path("a.ckpt"))


@torch.inference_mode()
def test_padding_is_left_out_of_the_queries_sight() -> None:
    model = MelpForClassification(melp_config("tiny", n_channels=12, n_labels=2)).eval()
    tokens, padded = model.tokens(_signal(TINY), torch.tensor([2560, 1280]))
    assert padded is not None
    assert padded.sum(dim=1).tolist() == [0, 10]
    found = model.encoder.pool_tokens(tokens, padded)
    alone = model.encoder.pool_tokens(tokens[1:, :10], None)
    torch.testing.assert_close(found[1:], alone, rtol=0, atol=1e-6)
    assert not torch.allclose(found[1:], model.encoder.pool_tokens(tokens[1:], None), atol=1e-4)


def test_signals_are_from_0_to_1_over_the_recording() -> None:
    """A short recording is filled up first, as MELP fills CPSC2018's."""
    rng = np.random.default_rng(0)
    block = rng.normal(size=(1, 12, 2500))
    whole = np.pad(block, ((0, 0), (0, 0), (0, 2500)))
    expected = (whole - whole.min()) / (whole.max() - whole.min() + 1e-8)
    spec = MELP.signal_spec(MELP.lead_sets[0])
    np.testing.assert_allclose(prepare(block, 500, spec), expected, rtol=0, atol=1e-6)


def test_norms_of_the_golden_file_are_named() -> None:
    """Weights that are drawn around 0 where they should be around 1 would hide a fault."""
    norm = re.search("/(.+)/", RECIPE["rules"][0])
    assert norm is not None
    names = [name for name in TINY["shapes"] if re.search(norm[1], name)]
    assert len(names) == 2 * (2 * 2 + 1 + 1 + 1 + 3 * 2)
