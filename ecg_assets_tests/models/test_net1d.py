from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from ecg_assets.models.ecg_founder.net1d import (
    EcgFounder,
    Net1DConfig,
    SameConv,
    net1d_config,
    net1d_config_of,
)
from ecg_assets.models.families import FAMILIES, family_of
from ecg_assets.models.load import load_checkpoint
from ecg_assets.training.engine.training import checkpoint_activations
from ecg_assets_tests.models.golden_net1d import (
    fill_as_stated,
    golden_config,
    golden_folder,
    read_json,
    tiny_founder,
)

LEADS = {"12_lead": 12, "1_lead": 1}
KINDS = pytest.mark.parametrize("kind", list(LEADS))


@pytest.mark.reference
@KINDS
@torch.inference_mode()
def test_logits_are_those_of_the_original(kind: str, reference_data: Path) -> None:
    folder = golden_folder(reference_data)
    model = load_checkpoint(folder / f"{kind}_tiny.pth")
    found = model(torch.from_numpy(np.load(folder / f"{kind}_input.npy"))).logits.numpy()
    np.testing.assert_allclose(found, np.load(folder / f"{kind}_logits.npy"), rtol=0, atol=1e-5)


@pytest.mark.reference
@KINDS
@pytest.mark.parametrize("length", [5000, 4999, 2500, 1251, 333])
@torch.inference_mode()
def test_traps_are_avoided_at_even_and_odd_lengths(
    kind: str, length: int, reference_data: Path
) -> None:
    """Batch norms that never run, pooling over zeros, paddings, the first activation."""
    folder = golden_folder(reference_data)
    golden = np.load(folder / f"trap_{kind}.npz")
    model = load_checkpoint(folder / f"trap_{kind}.pth")
    assert isinstance(model, EcgFounder)
    signal = torch.from_numpy(golden[f"x_{length}"])
    for found, name in ((model(signal).logits, "logits"), (model.embed(signal), "features")):
        expected = golden[f"{name}_{length}"]
        np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-5)


@pytest.mark.reference
@KINDS
def test_the_architecture_is_read_from_the_weights(kind: str, reference_data: Path) -> None:
    folder = golden_folder(reference_data)
    shape = read_json(folder / "tiny_config.json")
    found = load_checkpoint(folder / f"{kind}_tiny.pth")
    assert isinstance(found, EcgFounder)
    names = shape.keys() & vars(Net1DConfig()).keys()
    assert len(names) == 7
    stated = {name: np.asarray(shape[name]).tolist() for name in names}
    assert {name: np.asarray(getattr(found.config, name)).tolist() for name in names} == stated
    assert found.config.n_channels == LEADS[kind]
    assert found.config.num_labels == shape["n_classes"]


@pytest.mark.reference
@torch.inference_mode()
def test_the_published_weights_give_the_published_logits(reference_data: Path) -> None:
    folder = golden_folder(reference_data)
    check = read_json(folder / "published_weights_check.json")
    path = folder / check["file"].split()[0]
    if not path.is_file():
        pytest.skip(f"needs the published weights as {path}")
    model = load_checkpoint(path)
    assert isinstance(model, EcgFounder)
    signal = torch.linspace(-1, 1, 60_000).reshape(1, 12, 5000)
    found = model.eval()(signal).logits[0, :10].numpy()
    expected = check["first_10_logits"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=check["tolerance"])


@pytest.mark.reference
@KINDS
@torch.inference_mode()
def test_published_size_has_the_names_the_parameters_and_the_outputs(
    kind: str, reference_data: Path
) -> None:
    folder = golden_folder(reference_data)
    model = EcgFounder(net1d_config("base", n_channels=LEADS[kind], n_labels=150)).eval()
    published = read_json(folder / "state_dict_shapes.json")[kind]
    found = {name: list(value.shape) for name, value in model.state_dict().items()}
    assert list(found.items()) == list(published["state_dict"].items())
    assert sum(value.numel() for value in model.parameters()) == published["params"]
    case = read_json(folder / "published_size_recipe.json")["cases"][kind]
    fill_as_stated(model, case["weight_seed"])
    random = np.random.RandomState(case["input_seed"])
    signal = torch.from_numpy(random.standard_normal(case["input_shape"]).astype(np.float32))
    golden = np.load(folder / f"published_size_{kind}.npz")
    features = model.embed(signal)
    np.testing.assert_allclose(features.numpy(), golden["features"], rtol=0, atol=1e-5)
    logits = model.classify(features).numpy()
    np.testing.assert_allclose(logits, golden["logits"], rtol=0, atol=1e-5)


def test_published_size_trains_all_but_the_batch_norms() -> None:
    with torch.device("meta"):
        model = EcgFounder(net1d_config("base", n_channels=12, n_labels=150))
    assert len(model.state_dict()) == 509
    sizes = {p.requires_grad: 0 for p in model.parameters()}
    for parameter in model.parameters():
        sizes[parameter.requires_grad] += parameter.numel()
    assert sizes == {True: 30_752_646, False: 66_368}
    assert sum(parameter.numel() for parameter in model.dense.parameters()) == 153_750


@pytest.mark.reference
@pytest.mark.parametrize(
    ("case", "rate", "decay", "clip"),
    [
        ("full_ce", 1e-3, 1e-4, 1.0),
        ("linear_probe_ce", 1e-3, 1e-4, 1.0),
        ("full_bce", 1e-4, 1e-5, None),
    ],
)
def test_five_steps_of_training_are_those_of_the_original(
    case: str, rate: float, decay: float, clip: float | None, reference_data: Path
) -> None:
    folder = golden_folder(reference_data)
    golden = np.load(folder / "finetune.npz")
    shape = read_json(folder / "more_cases.json")["config"]
    model = EcgFounder(golden_config(shape, n_channels=12, n_labels=6))
    state = dict(load_checkpoint(folder / "trap_12_lead.pth").state_dict())
    state |= {f"dense.{k}": torch.from_numpy(golden[f"dense_{k}"]) for k in ("weight", "bias")}
    model.load_state_dict(state)
    labels = torch.from_numpy(golden["y_multi"])
    if case != "full_bce":
        model.config.problem_type = "single_label_classification"
        labels = functional.one_hot(torch.from_numpy(golden["y"]), 6)
    if case == "linear_probe_ce":
        for parameter in model.encoder_parameters():
            parameter.requires_grad_(False)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=rate, weight_decay=decay)
    inputs = {"input_values": torch.from_numpy(golden["x"]), "labels": labels}
    losses, norms = [], []
    for _ in range(5):
        optimizer.zero_grad()
        loss = model(**inputs, pos_weight=torch.ones(6)).loss
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(trained, clip or float("inf"))))
        optimizer.step()
        losses.append(loss.item())
    np.testing.assert_allclose(losses, golden[f"{case}_losses"], rtol=1e-5)
    np.testing.assert_allclose(norms, golden[f"{case}_grad_norms"], rtol=1e-5)
    with torch.inference_mode():
        after = model.eval()(inputs["input_values"]).logits.numpy()
    np.testing.assert_allclose(after, golden[f"{case}_logits_after"], rtol=0, atol=1e-5)


@pytest.mark.reference
@torch.inference_mode()
def test_real_weights_give_the_recorded_logits(reference_data: Path) -> None:
    """For whoever has the published file; it is not among the reference data."""
    path = reference_data / "12_lead_ECGFounder.pth"
    if not path.is_file():
        pytest.skip(f"no published weights at {path}")
    known = read_json(golden_folder(reference_data) / "published_weights_check.json")
    signal = torch.linspace(-1, 1, 60_000).reshape(1, 12, 5000)
    found = load_checkpoint(path)(signal).logits[0, :10]
    np.testing.assert_allclose(
        found.numpy(), known["first_10_logits"], rtol=0, atol=known["tolerance"]
    )


@pytest.mark.parametrize(("length", "kernel", "stride"), [(11, 16, 2), (10, 16, 2), (7, 1, 1)])
def test_a_convolution_has_an_output_for_each_stride(length: int, kernel: int, stride: int) -> None:
    conv = SameConv(1, 1, kernel, stride)
    assert conv(torch.randn(2, 1, length)).shape == (2, 1, -(-length // stride))


def test_batch_norms_stay_as_they_are_in_training() -> None:
    model = tiny_founder().train()
    before = {k: v.clone() for k, v in model.state_dict().items() if "bn" in k}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    model(torch.randn(4, 1, 300), labels=torch.ones(4, 2), pos_weight=torch.ones(2)).loss.backward()
    optimizer.step()
    assert len(before) == 5 * (1 + 3 * 6)
    assert all(value.equal(model.state_dict()[name]) for name, value in before.items())


@pytest.mark.parametrize(
    ("shape", "message"), [((2, 3, 300), "12 channels"), ((12, 300), "12 channels")]
)
def test_other_channels_are_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_founder(n_channels=12)(torch.zeros(shape))


def test_padded_signals_are_refused() -> None:
    with pytest.raises(ValueError, match="signals of one length"):
        tiny_founder()(torch.zeros(2, 1, 300), lengths=torch.tensor([300, 200]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_channels": 0}, "n_channels is 0"),
        ({"filter_list": (16, 32)}, "an entry for each stage"),
    ],
)
def test_impossible_shapes_are_refused(change: dict[str, Any], message: str) -> None:
    values = {"base_filters": 16, "filter_list": (16, 32, 64), "m_blocks_list": (1, 1, 1)}
    n_channels = change.pop("n_channels", 1)
    with pytest.raises(ValueError, match=message):
        net1d_config_of({**values, **change}, n_channels=n_channels, n_labels=2)
    with pytest.raises(ValueError, match="size is 'huge'"):
        net1d_config("huge", n_channels=1, n_labels=2)


@pytest.mark.parametrize("name", list(FAMILIES))
@torch.inference_mode()
def test_each_family_keeps_the_interface(name: str) -> None:
    """Features of `hidden_size` lead to the logits; the head's weights are the rest."""
    family = FAMILIES[name]
    for size in family.sizes:
        assert family.build_config(size, n_channels=12, n_labels=3).num_labels == 3
    config = family.build_config("tiny", n_channels=1, n_labels=3)
    assert config.model_type == name
    model = family.classifier_class(config).eval()
    assert family_of(model) is family
    # Some read whole patches of so many samples.
    signal = torch.randn(2, 1, family.signal_spec(("I",)).segment_samples)
    features = model.embed(signal)
    assert features.shape == (2, config.hidden_size)
    assert model.classify(features).equal(model(signal).logits)
    n_head = sum(model.state_dict()[part].numel() for part in model.head_parameters())
    n_encoder = sum(parameter.numel() for parameter in model.encoder_parameters())
    assert n_head == 3 * (config.hidden_size + 1)
    assert n_encoder + n_head == sum(parameter.numel() for parameter in model.parameters())


def test_recomputed_activations_give_the_same_gradients() -> None:
    kept = tiny_founder(n_channels=2).train()
    recomputed = copy.deepcopy(kept)
    checkpoint_activations(recomputed)
    calls: list[bool] = []
    layer = recomputed.get_submodule("stage_list.1.block_list.0.se_fc2")
    layer.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    signal = torch.randn(3, 2, 500, generator=torch.Generator().manual_seed(1))
    for model in (kept, recomputed):
        model(signal).logits.square().sum().backward()
    assert len(calls) == 2
    expected = dict(kept.named_parameters())
    for name, value in recomputed.named_parameters():
        assert (value.grad is None) == (expected[name].grad is None), name
        if value.grad is not None:
            torch.testing.assert_close(value.grad, expected[name].grad, rtol=0, atol=1e-6)
