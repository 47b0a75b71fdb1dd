"""S4 and ECG-CPC against what their authors' own classes gave, and against a plain recursion."""

from __future__ import annotations

import collections
import sys
import types
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecg_assets.errors import CheckpointError, SettingsError, UnsafeCheckpoint
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models.checkpoint import load_trained
from ecg_assets.models.checkpoint_folder import read_json
from ecg_assets.models.imported import import_checkpoint
from ecg_assets.models.load import imported_folder, load_checkpoint
from ecg_assets.models.s4.family import ECG_CPC, S4
from ecg_assets.models.s4.file import build_ecg_cpc, build_s4
from ecg_assets.models.s4.layers import Kernel, hippo_transition, unit_circle
from ecg_assets.models.s4.model import (
    EcgCpc,
    EcgCpcClassifier,
    S4Classifier,
    ecg_cpc_config,
    s4_config,
    s4_config_of,
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
    without_dropout,
)

FIVE = LabelVocabulary(("a", "b", "c", "d", "e"), ("mean",) * 5)


@pytest.fixture
def of_s4(reference_data: Path) -> Path:
    return reference_data / "s4_golden"


@pytest.fixture
def of_cpc(reference_data: Path) -> Path:
    return reference_data / "ecg_cpc_golden"


def _s4(folder: Path) -> S4Classifier:
    model = load_checkpoint(folder / "tiny.ckpt")
    assert isinstance(model, S4Classifier)
    return model


def _cpc(folder: Path) -> EcgCpc:
    model = load_checkpoint(folder / "pretrained_tiny.ckpt")
    assert isinstance(model, EcgCpc)
    return model


def _kernel(layer: torch.nn.Module) -> Kernel:
    kernel = layer.get_submodule("kernel.kernel")
    assert isinstance(kernel, Kernel)
    return kernel


def _cpc_with_head(folder: Path) -> EcgCpcClassifier:
    encoder = _cpc(folder)
    encoder.config.num_labels = 5
    model = EcgCpcClassifier(encoder.config).eval()
    linear = torch.load(folder / "tiny_heads.pth", weights_only=True)["linear"]
    head = {f"head.{name}": value for name, value in linear.items()}
    model.load_state_dict({**encoder.state_dict(), **head})
    return model


# S4


@pytest.mark.reference
@torch.inference_mode()
def test_each_stage_of_s4_is_the_authors(of_s4: Path) -> None:
    model, signal = _s4(of_s4), golden_tensor(of_s4 / "tiny_input.npy")
    kept: list[Tensor] = []
    model.norms[0].register_forward_hook(lambda _, __, found: kept.append(found))
    assert_same(model.encoder(signal[:1]), of_s4 / "tiny_after_encoder.npy")
    assert_same(model.embed(signal), of_s4 / "tiny_pooled.npy")
    assert_same(kept[0][:1], of_s4 / "tiny_after_layer_0.npy")
    kernels = torch.stack([_kernel(layer)(250) for layer in model.s4_layers])
    assert_same(kernels, of_s4 / "tiny_kernels_length_250.npy")


@pytest.mark.reference
@torch.inference_mode()
def test_logits_are_the_authors_also_of_shorter_and_longer_signals(of_s4: Path) -> None:
    """A kernel of 200 samples is cut from one of 250; for 400 it is doubled to 500."""
    model, signal = _s4(of_s4), golden_tensor(of_s4 / "tiny_input.npy")
    assert_same(model(signal).logits, of_s4 / "tiny_logits.npy")
    first = of_s4 / "tiny_logits_first_200_samples.npy"
    assert_same(model(signal[..., :200]).logits, first)
    longer = golden_tensor(of_s4 / "tiny_input_400.npy")
    assert_same(model(longer).logits, of_s4 / "tiny_logits_400.npy")
    # Nothing was written into the weights on the way.
    assert_same(model(signal).logits, of_s4 / "tiny_logits.npy")


@pytest.mark.reference
@torch.inference_mode()
def test_weights_that_the_authors_doubled_are_read_at_their_length(of_s4: Path) -> None:
    """C alone was rewritten by the longer input; what it is right for is another length."""
    config = s4_config_of(
        {"hidden_size": 24, "n_layers": 4, "n_states": 8, "kernel_length": 500},
        n_channels=12,
        n_labels=5,
    )
    model = S4Classifier(config).eval()
    doubled = torch.load(of_s4 / "tiny_C_after_400.pth", weights_only=True)
    points = {n: v for n, v in model.state_dict().items() if n.endswith((".omega", ".z"))}
    model.load_state_dict({**_s4(of_s4).state_dict(), **points, **doubled})
    assert_same(
        model(golden_tensor(of_s4 / "tiny_input_400.npy")).logits, of_s4 / "tiny_logits_400.npy"
    )


@pytest.mark.reference
def test_transition_is_the_authors_up_to_the_phase_of_each_state(of_s4: Path) -> None:
    stated = read_golden_json(of_s4 / "transition_constants.json")
    w, p, b = hippo_transition(8)
    expected = {n: np.array(stated[n]["first_channel"]) @ [1, 1j] for n in ("w", "P", "Q", "B")}
    np.testing.assert_allclose(w, expected["w"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(b * p.conj(), expected["B"] * expected["Q"], rtol=1e-5)
    np.testing.assert_allclose(abs(p), abs(expected["P"]), rtol=1e-5)
    np.testing.assert_allclose(expected["Q"], expected["P"].conj(), rtol=0, atol=0)
    omega, z = unit_circle(250)
    for name, found in (("omega", omega), ("z", z)):
        first = torch.view_as_real(found[:3]).numpy()
        np.testing.assert_allclose(first, stated[f"{name}_first_3"], rtol=0, atol=1e-6)


def _constants(shapes: dict[str, list[int]], folder: Path, length: int) -> dict[str, Tensor]:
    """What published_size_recipe.json leaves as constructed, by the files that state it."""
    stated = read_golden_json(folder / "transition_constants.json")
    points = dict(zip(("omega", "z"), map(torch.view_as_real, unit_circle(length)), strict=True))
    found: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        kind = name.rpartition(".")[2]
        if kind == "log_dt":
            found[name] = torch.linspace(np.log(0.001), np.log(0.1), *shape)
        elif kind in points:
            found[name] = points[kind]
        elif kind in stated:
            found[name] = torch.tensor(stated[kind]["first_channel"]).expand(shape).clone()
    return found


@pytest.mark.reference
@torch.inference_mode()
def test_published_size_of_s4_has_the_authors_names_and_outputs(of_s4: Path) -> None:
    recipe = read_golden_json(of_s4 / "published_size_recipe.json")
    published = read_golden_json(of_s4 / "state_dict_shapes.json")
    shapes = published["state_dict"]
    state = filled_weights(shapes, recipe) | _constants(shapes, of_s4, 250)
    model = build_s4({"state_dict": state}, Path("filled")).model
    named = S4Classifier(s4_config("base", n_channels=12, n_labels=71))
    found = {name: list(value.shape) for name, value in named.state_dict().items()}
    assert set(found) == set(shapes) and all(found[name] == shapes[name] for name in shapes)
    trained = [name for name, value in named.named_parameters() if value.requires_grad]
    assert set(trained) == set(published["trainable"])
    assert sum(value.numel() for value in named.parameters()) == published["params"]
    signal = stated_input(recipe)
    for output, name in ((model.embed(signal), "pooled"), (model(signal).logits, "logits")):
        assert_same(output, of_s4 / f"published_size_{name}.npy", tolerance=1e-4)


@pytest.mark.reference
def test_three_steps_of_training_s4_are_the_authors(of_s4: Path) -> None:
    model = without_dropout(_s4(of_s4))
    signal = golden_tensor(of_s4 / "tiny_input.npy")
    require_same_training(model, signal, of_s4, lambda given: model(given).logits)


@pytest.mark.reference
@torch.inference_mode()
def test_a_file_of_s4_becomes_a_checkpoint(of_s4: Path, tmp_path: Path) -> None:
    path = of_s4 / "tiny.ckpt"
    assert families_that_recognize(path) == ["s4"]
    assert families_that_recognize(of_s4 / "tiny_C_after_400.pth") == []
    folder = import_checkpoint(path, tmp_path / "folder", vocabulary=FIVE)
    trained = load_trained(folder)
    assert trained.spec == S4.signal_spec(STANDARD_LEADS) and trained.spec.segment_samples == 250
    signal = golden_tensor(of_s4 / "tiny_input.npy")
    assert trained.model(signal).logits.equal(load_checkpoint(path)(signal).logits)
    assert trained.model.config.kernel_length == 250
    card = (folder / "README.md").read_text()
    assert "Apache 2.0" in card and "4 S4 layers of width 24" in card


@pytest.mark.reference
@pytest.mark.parametrize("family", [S4, ECG_CPC], ids=["s4", "ecg-cpc"])
def test_signals_are_prepared_as_the_authors_do(family: Any, reference_data: Path) -> None:
    folder = reference_data / f"{family.name.replace('-', '_')}_golden"
    segments = golden_segments(folder, family.signal_spec(STANDARD_LEADS))
    assert segments.shape[:3] == (2, 4, 12)
    expected = np.load(folder / "preprocess_output.npy")
    found = segments.swapaxes(1, 2).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


# The kernel, without golden files.


def _recursion(kernel: Kernel, n_samples: int) -> NDArray[np.float64]:
    """Impulse response of the system itself, sample by sample, in double precision."""
    w, p, q, b, c = (
        getattr(kernel, name).detach().double().numpy() @ [1, 1j]
        for name in ("w", "P", "Q", "B", "C")
    )
    step = kernel.log_dt.double().exp().numpy()
    response = np.empty((len(c), len(w), n_samples))
    for feature in range(len(w)):
        both = [
            np.concatenate([one, one.conj()]) for one in (w[feature], p[0, feature], q[0, feature])
        ]
        a = np.diag(both[0]) - np.outer(both[1], both[2])
        half, eye = step[feature] / 2 * a, np.eye(len(a))
        advance = np.linalg.solve(eye - half, eye + half)
        state = np.linalg.solve(eye - half, np.concatenate([b[0, feature], b[0, feature].conj()]))
        state = state * step[feature]
        sinks = np.concatenate([c[:, feature], c[:, feature].conj()], axis=1)
        sinks = sinks @ np.linalg.inv(eye - np.linalg.matrix_power(advance, kernel.length))
        for sample in range(n_samples):
            response[:, feature, sample] = (sinks @ state).real
            state = advance @ state
    return response


@pytest.mark.parametrize("length", [64, 65], ids=["even", "odd"])
@torch.inference_mode()
def test_a_random_kernel_is_the_impulse_response_of_its_system(length: int) -> None:
    """At its length, below, and doubled twice."""
    torch.manual_seed(0)
    kernel = Kernel(5, 8, length, 2)
    expected = _recursion(kernel, 200)
    for n_samples in (length, 30, 200):
        found = kernel(n_samples).numpy()
        limit = 1e-4 * np.abs(expected).max()
        np.testing.assert_allclose(found, expected[..., :n_samples], rtol=0, atol=limit)
    assert np.abs(expected[..., 100:]).max() > 0.01 * np.abs(expected).max()


def test_a_system_of_one_direction_sees_no_future_and_one_of_two_does() -> None:
    torch.manual_seed(0)
    cpc = EcgCpcClassifier(ecg_cpc_config("tiny", n_channels=2, n_labels=1)).eval()
    s4 = S4Classifier(s4_config("tiny", n_channels=2, n_labels=1)).eval()
    signal = torch.randn(1, 2, 600)
    changed = signal.clone()
    changed[..., 400:] += 1
    with torch.inference_mode():
        one, other = (cpc.tokens(given).hidden for given in (signal, changed))
        torch.testing.assert_close(one[:, :199], other[:, :199], rtol=0, atol=1e-5)
        assert not torch.allclose(one[:, 210:], other[:, 210:], atol=1e-3)
        one, other = (s4.tokens(given).hidden for given in (signal, changed))
        assert not torch.allclose(one[:, :200], other[:, :200], atol=1e-3)


def test_padded_signals_and_other_channels_are_refused() -> None:
    model = S4Classifier(s4_config("tiny", n_channels=2, n_labels=1))
    with pytest.raises(ValueError, match="without lengths"):
        model(torch.zeros(1, 2, 250), lengths=torch.tensor([200]))
    with pytest.raises(ValueError, match=r"2 channels, sample\], found \[1, 3, 250\]"):
        model(torch.zeros(1, 3, 250))


def test_dropout_leaves_out_whole_features() -> None:
    torch.manual_seed(0)
    layer = S4Classifier(s4_config("tiny", n_channels=1, n_labels=1)).train().s4_layers[0]
    found = layer(torch.randn(4, 32, 250)) == 0
    assert found.any() and (found.all(dim=-1) | ~found.any(dim=-1)).all()


def test_segments_that_are_longer_than_the_kernel_are_not_exported() -> None:
    """In ONNX there are no complex numbers: the kernel is stored as it is."""
    model = S4Classifier(s4_config("tiny", n_channels=1, n_labels=5)).eval()
    torch.export.export(model, (torch.zeros(1, 1, 250),))
    with pytest.raises(SettingsError, match=r"250 samples.*they have 500"):
        torch.export.export(model, (torch.zeros(1, 1, 500),))


# ECG-CPC


@pytest.mark.reference
@torch.inference_mode()
def test_each_stage_of_ecg_cpc_is_the_authors(of_cpc: Path) -> None:
    model, signal = _cpc(of_cpc), golden_tensor(of_cpc / "tiny_input.npy")
    encoder = model.ts_encoder
    assert_same(encoder.encoder(signal)[:1].mT, of_cpc / "tiny_encoder_tokens.npy")
    layers = encoder.predictor.predictor.s4_layers
    kernels = torch.stack([_kernel(layer)(300) for layer in layers])
    expected = of_cpc / "tiny_kernels_length_300.npy"
    assert_same(kernels.reshape(np.load(expected).shape), expected)
    output = model(signal)
    assert_same(output.last_hidden_state[:1], of_cpc / "tiny_predictor_tokens.npy")
    assert_same(output.pooled, of_cpc / "tiny_pooled.npy")
    shorter = model(signal[..., :480]).pooled
    assert_same(shorter, of_cpc / "tiny_pooled_first_480_samples.npy")


@pytest.mark.reference
@torch.inference_mode()
def test_logits_of_ecg_cpc_are_the_authors_of_either_pooling(of_cpc: Path) -> None:
    signal = golden_tensor(of_cpc / "tiny_input.npy")
    model = _cpc_with_head(of_cpc)
    assert_same(model(signal).logits, of_cpc / "tiny_logits_linear.npy")
    heads = torch.load(of_cpc / "tiny_heads.pth", weights_only=True)
    config = model.config
    config.attention_pool_heads = heads["attention_pool_heads"]
    pooling = EcgCpcClassifier(config).eval()
    state = {
        "attention_pool." + name.removeprefix("head.").removesuffix(".weight"): value
        for name, value in heads["attention_pool"].items()
    }
    head = {"head.weight": state.pop("attention_pool.c_proj"), "head.bias": torch.zeros(5)}
    pooling.load_state_dict({**model.state_dict(), **state, **head})
    assert_same(pooling(signal).logits, of_cpc / "tiny_logits_attention_pool.npy")


@pytest.mark.reference
@torch.inference_mode()
def test_published_size_of_ecg_cpc_has_the_authors_names_and_features(
    of_cpc: Path, of_s4: Path
) -> None:
    recipe = read_golden_json(of_cpc / "published_size_recipe.json")
    published = read_golden_json(of_cpc / "state_dict_shapes.json")
    shapes = published["state_dict"]
    state = filled_weights(shapes, recipe) | _constants(shapes, of_s4, 300)
    model = build_ecg_cpc({"state_dict": state}, Path("filled")).model
    assert_same(
        model(stated_input(recipe)).pooled, of_cpc / "published_size_pooled.npy", tolerance=1e-4
    )
    named = EcgCpc(ecg_cpc_config("base", n_channels=12, n_labels=1))
    found = {name: list(value.shape) for name, value in named.state_dict().items()}
    loss = {name: shape for name, shape in shapes.items() if "head_ssl" in name}
    assert found | loss == shapes and len(loss) == 1
    trained = {name for name, value in named.named_parameters() if value.requires_grad}
    assert trained | set(loss) == set(published["trainable"])
    n_parameters = sum(value.numel() for value in named.parameters())
    assert n_parameters + published["params_head_ssl"] == published["params"]


@pytest.mark.reference
def test_three_steps_of_training_ecg_cpc_are_the_authors(of_cpc: Path) -> None:
    model = without_dropout(_cpc_with_head(of_cpc))
    signal = golden_tensor(of_cpc / "tiny_input.npy")
    require_same_training(model, signal, of_cpc, lambda given: model(given).logits)


@pytest.mark.reference
@torch.inference_mode()
def test_a_file_of_ecg_cpc_becomes_an_encoder_to_start_from(of_cpc: Path, tmp_path: Path) -> None:
    path = of_cpc / "pretrained_tiny.ckpt"
    assert families_that_recognize(path) == ["ecg-cpc"]
    assert families_that_recognize(of_cpc / "tiny_heads.pth") == []
    folder = imported_folder(path, tmp_path / "cache")
    model, signal = load_checkpoint(folder), golden_tensor(of_cpc / "tiny_input.npy")
    assert isinstance(model, EcgCpc)
    assert model(signal).pooled.equal(_cpc(of_cpc)(signal).pooled)
    (dropped,) = read_json(folder / "import_report.json")["dropped"]
    assert dropped["from"] == "ts_encoder.head_ssl.proj.0.weight"
    card = (folder / "README.md").read_text()
    assert "Harvard-Emory" in card and "figshare" in card


@pytest.mark.reference
@torch.inference_mode()
def test_the_loss_reads_the_tokens_that_the_kept_projection_gives(
    of_cpc: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    folder = import_checkpoint(of_cpc / "pretrained_tiny.ckpt", tmp_path / "folder")
    (weight,) = load_file(folder / "fairseq_pretraining.safetensors").values()
    tokens = _cpc(of_cpc)(golden_tensor(of_cpc / "tiny_input.npy")).last_hidden_state
    assert_same(tokens[:1] @ weight.T, of_cpc / "tiny_head_ssl_tokens.npy")


def _cpc_content(**others: object) -> dict[str, object]:
    torch.manual_seed(0)
    model = EcgCpc(ecg_cpc_config("tiny", n_channels=12, n_labels=1))
    return {"epoch": 1, "state_dict": model.state_dict(), **others}


def test_a_kernel_of_ten_seconds_is_read_off_the_points(tmp_path: Path) -> None:
    """As pre-training has it; an odd length too, which their number leaves open."""
    for length in (1200, 1201):
        config = ecg_cpc_config("tiny", n_channels=12, n_labels=1)
        config.kernel_length = length
        torch.save({"state_dict": EcgCpc(config).state_dict()}, tmp_path / "a.ckpt")
        found = load_checkpoint(tmp_path / "a.ckpt")
        assert found.config.kernel_length == length
        assert found.ts_encoder.predictor.predictor.s4_layers[0].kernel.kernel.z.shape == (601, 2)


@pytest.fixture
def omega_conf(monkeypatch: pytest.MonkeyPatch) -> dict[str, type]:
    """Classes under the names that OmegaConf has; it is not installed."""
    places = {"dictconfig": "DictConfig", "base": "ContainerMetadata", "nodes": "AnyNode"}
    monkeypatch.setitem(sys.modules, "omegaconf", types.ModuleType("omegaconf"))
    found = {}
    for place, name in places.items():
        module = types.ModuleType(f"omegaconf.{place}")
        found[name] = type(name, (), {"__module__": module.__name__})
        setattr(module, name, found[name])
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return found


def _settings(classes: dict[str, type], **values: object) -> object:
    """A DictConfig as pickle takes it apart."""

    def make(name: str, **attributes: object) -> object:
        one = classes[name]()
        vars(one).update(attributes)
        return one

    about = make(
        "ContainerMetadata",
        ref_type=typing.Any,
        object_type=dict,
        key_type=str,
        resolver_cache=collections.defaultdict(dict),
    )
    nodes = {name: make("AnyNode", _val=value, _metadata=about) for name, value in values.items()}
    return make("DictConfig", _metadata=about, _parent=None, _content=nodes)


def test_settings_as_lightning_stores_them_are_read_and_nothing_of_them_is_run(
    omega_conf: dict[str, type], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = _cpc_content(
        hyper_parameters=_settings(omega_conf, lr=1e-3), hparams_type=omega_conf["DictConfig"]
    )
    torch.save(content, tmp_path / "a.ckpt")
    for name in [name for name in sys.modules if name.startswith("omegaconf")]:
        monkeypatch.delitem(sys.modules, name)
    assert isinstance(load_checkpoint(tmp_path / "a.ckpt"), EcgCpc)


def test_other_objects_among_the_settings_are_refused(
    omega_conf: dict[str, type], tmp_path: Path
) -> None:
    settings = _settings(omega_conf, backbone=torch.nn.Linear(1, 1))
    torch.save(_cpc_content(hyper_parameters=settings), tmp_path / "a.ckpt")
    with pytest.raises(UnsafeCheckpoint, match=r"torch\.nn\.modules\.linear\.Linear"):
        load_checkpoint(tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    ("ending", "message"),
    [(".omega", "omega"), ("layers.1.1.running_mean", "running_mean"), ("norms.0.bias", "norms")],
)
def test_a_lacking_weight_of_ecg_cpc_is_named(ending: str, message: str, tmp_path: Path) -> None:
    content = _cpc_content()
    state: Any = content["state_dict"]
    torch.save(
        {"state_dict": {n: v for n, v in state.items() if not n.endswith(ending)}}, tmp_path / "a"
    )
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "a")
