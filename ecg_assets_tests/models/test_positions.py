"""The positional convolution by FFT against the direct one, which is transformers' own."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2PositionalConvEmbedding

from ecg_assets.models.ecg_fm.config import EcgFmConfig, ecg_fm_config, ecg_fm_config_of
from ecg_assets.models.ecg_fm.family import SIZES
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.models.ecg_fm.positions import PositionalConvolution
from ecg_assets.models.ecg_fm.pretraining import EcgFmForPreTraining
from ecg_assets.models.pretraining.objective import Objective
from ecg_assets.training.engine.trainer_arguments import deterministic

PUBLISHED = {"hidden_size": 768, "groups": 16, "kernel": 128}
SMALL = {"hidden_size": 32, "groups": 4, "kernel": 128}


def _convolution(
    form: str, *, hidden_size: int, groups: int, kernel: int
) -> tuple[PositionalConvolution, EcgFmConfig]:
    torch.manual_seed(0)
    shape = {
        **SIZES["tiny"],
        "hidden_size": hidden_size,
        "num_conv_pos_embeddings": kernel,
        "num_conv_pos_embedding_groups": groups,
    }
    config = ecg_fm_config_of(shape, n_channels=1)
    config.positional_convolution = form
    built = Wav2Vec2PositionalConvEmbedding(config)
    for weight in built.parameters():  # no two taps weigh the same
        torch.nn.init.uniform_(weight, 0.5, 1.5)
        weight.data *= torch.randn(weight.shape).sign()
    return PositionalConvolution(built, config), config


def _tokens(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


def _outputs_and_gradients(module: torch.nn.Module, tokens: Tensor) -> dict[str, Tensor]:
    module.zero_grad()
    tokens = tokens.clone().requires_grad_()
    found = module(tokens)
    found.square().sum(dim=-1).mean().backward()
    values = {"output": found, "tokens": tokens.grad}
    values |= {name: weight.grad for name, weight in module.named_parameters()}
    return {name: value.detach().clone() for name, value in values.items() if value is not None}


@pytest.mark.parametrize(
    ("shape", "n_signals", "n_tokens"),
    [
        (PUBLISHED, 2, 39),
        (SMALL, 5, 156),
        (SMALL, 3, 157),
        (SMALL, 3, 1),
        ({**SMALL, "kernel": 127}, 3, 156),
        ({**SMALL, "kernel": 127}, 3, 311),
        ({"hidden_size": 64, "groups": 4, "kernel": 16}, 3, 39),
    ],
)
def test_both_forms_give_the_same_outputs_and_gradients(
    shape: dict[str, int], n_signals: int, n_tokens: int
) -> None:
    module, config = _convolution("direct", **shape)
    tokens = _tokens(n_signals, n_tokens, shape["hidden_size"])
    expected = _outputs_and_gradients(module, tokens)
    config.positional_convolution = "fft"
    found = _outputs_and_gradients(module, tokens)
    assert len(found) == 5  # output, tokens, bias, and both parts of the normalized weight
    for name, value in found.items():
        assert expected[name].abs().max() > 1e-3, name
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-5, msg=name)


def test_in_double_precision_they_differ_in_the_last_digits_alone() -> None:
    module, config = _convolution("direct", **SMALL)
    tokens = _tokens(4, 60, 32, dtype=torch.float64)
    expected = _outputs_and_gradients(module.double(), tokens)
    config.positional_convolution = "fft"
    for name, value in _outputs_and_gradients(module, tokens).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-12)


def test_half_precision_is_rounded_once_at_the_end() -> None:
    module, config = _convolution("direct", **SMALL)
    tokens = _tokens(4, 60, 32).bfloat16()
    exact = module(tokens.float()).detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        direct = module(tokens)
        config.positional_convolution = "fft"
        found = module(tokens)
    assert found.dtype == direct.dtype == torch.bfloat16
    error = (found.float() - exact).abs()
    assert error.max() < (direct.float() - exact).abs().max()
    torch.testing.assert_close(found.float(), exact, rtol=2**-7, atol=1e-2)
    # The same of a model whose weights are in half precision.
    module.bfloat16().eval()
    expected = module(tokens)
    with torch.no_grad():
        assert module(tokens).equal(expected)
    assert expected.dtype == torch.bfloat16


@torch.no_grad()
def test_auto_takes_the_form_that_is_faster() -> None:
    module, config = _convolution("auto", **SMALL)
    tokens = _tokens(4, 60, 32)
    found = {
        "a batch": module.train()(tokens),
        "a few": module(tokens[:3]),
        "evaluation": module.eval()(tokens[:1]),
    }
    config.positional_convolution = "fft"
    by_fft = module(tokens)
    config.positional_convolution = "direct"
    direct = module(tokens)
    assert found["a batch"].equal(by_fft)
    assert not found["a batch"].equal(direct)
    assert found["a few"].equal(module(tokens[:3]))
    assert not found["evaluation"].equal(module(tokens[:1]))
    short, config = _convolution("auto", hidden_size=32, groups=4, kernel=16)
    found["a short kernel"] = short(tokens)
    config.positional_convolution = "direct"
    assert found["a short kernel"].equal(short(tokens))


def test_the_direct_form_is_bit_for_bit_that_of_transformers() -> None:
    module, config = _convolution("direct", **SMALL)
    reference = Wav2Vec2PositionalConvEmbedding(config)
    reference.load_state_dict(module.state_dict())
    tokens = _tokens(4, 60, 32)
    for name, value in _outputs_and_gradients(module, tokens).items():
        assert value.equal(_outputs_and_gradients(reference, tokens)[name])
    with torch.inference_mode():
        assert module.eval()(tokens).equal(reference(tokens))


def test_another_form_is_refused() -> None:
    module, _ = _convolution("fast", **SMALL)
    with pytest.raises(ValueError, match=r"positional_convolution is 'fast'; allowed: \('auto'"):
        module(_tokens(4, 60, 32))


def test_repeated_runs_give_the_same_bits() -> None:
    module, _ = _convolution("fft", **SMALL)
    tokens = _tokens(8, 156, 32)
    with deterministic("cpu"):
        first, again = (_outputs_and_gradients(module, tokens) for _ in range(2))
    assert all(again[name].equal(value) for name, value in first.items())


def test_frozen_weights_get_no_gradient_and_the_tokens_do() -> None:
    module, _ = _convolution("fft", **SMALL)
    tokens = _tokens(4, 60, 32)
    expected = _outputs_and_gradients(module, tokens)
    module.requires_grad_(False)
    found = _outputs_and_gradients(module, tokens)
    assert set(found) == {"output", "tokens"}
    assert found["tokens"].equal(expected["tokens"])


def test_a_compiled_graph_has_it_whole() -> None:
    module, _ = _convolution("fft", **SMALL)
    tokens = _tokens(4, 60, 32)
    expected = _outputs_and_gradients(module, tokens)
    compiled: Any = torch.compile(module, fullgraph=True, backend="aot_eager", dynamic=True)
    found = _outputs_and_gradients(compiled, tokens)
    for name, value in found.items():
        torch.testing.assert_close(
            value, expected[name.removeprefix("_orig_mod.")], rtol=0, atol=1e-6
        )


def test_an_exported_model_is_direct() -> None:
    module, _ = _convolution("fft", **SMALL)
    program = torch.export.export(module.eval(), (_tokens(4, 60, 32),))
    operations = {str(node.target) for node in program.graph.nodes}
    assert any("conv1d" in name for name in operations)
    assert not any("ecg_assets" in name or "fft" in name for name in operations)


# What is kept of the weights in evaluation.


@pytest.fixture(params=["fft", "direct"])
def counted(request: pytest.FixtureRequest) -> Iterator[tuple[PositionalConvolution, list[bool]]]:
    """A convolution in evaluation, and a list that grows when its weights are normalized."""
    module, _ = _convolution(request.param, **SMALL)
    calls: list[bool] = []
    normalization = module.conv.parametrizations.weight[0]
    normalization.register_forward_hook(lambda *_: calls.append(True))
    yield module.eval(), calls


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_weights_are_normalized_once_in_evaluation(
    mode: Any, counted: tuple[PositionalConvolution, list[bool]]
) -> None:
    module, calls = counted
    tokens = _tokens(4, 60, 32)
    expected = module(tokens).detach()
    calls.clear()
    with mode():
        found = [module(tokens) for _ in range(3)]
    assert len(calls) == 1
    assert all(value.equal(expected) for value in found)
    calls.clear()
    module.train()
    for _ in range(2):
        module(tokens)
    assert len(calls) == 2


def _set_in_place(module: PositionalConvolution) -> None:
    module.conv.parametrizations.weight.original0.mul_(2.0)


def _load(module: PositionalConvolution) -> None:
    state = {name: 2 * value for name, value in module.state_dict().items()}
    module.load_state_dict(state)


def _assign(module: PositionalConvolution) -> None:
    state = {name: 2 * value for name, value in module.state_dict().items()}
    module.load_state_dict(state, assign=True)


def _convert(module: PositionalConvolution) -> None:
    module.bfloat16().float()


def _step(module: PositionalConvolution) -> None:
    with torch.enable_grad():
        adam = torch.optim.AdamW(module.parameters(), lr=0.1)
        module(_tokens(4, 60, 32)).sum().backward()
        adam.step()


def _behind_its_back(module: PositionalConvolution) -> None:
    module.conv.parametrizations.weight.original0.data.mul_(2.0)
    module.eval()


@pytest.mark.parametrize(
    "change", [_set_in_place, _load, _assign, _convert, _step, _behind_its_back]
)
def test_what_was_kept_is_forgotten_with_the_weights_it_is_of(
    change: Any, counted: tuple[PositionalConvolution, list[bool]]
) -> None:
    module, _ = counted
    tokens = _tokens(4, 60, 32)
    with torch.no_grad():
        before = module(tokens)
        change(module)
        found = module(tokens)
        fresh, _ = _convolution("direct", **SMALL)
        fresh.load_state_dict(module.state_dict())
        expected = fresh.eval()(tokens)
    assert (found - before).abs().max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_threads_and_lengths_share_a_model(
    counted: tuple[PositionalConvolution, list[bool]],
) -> None:
    module, _ = counted
    batches = [_tokens(2, 20 + number % 3, 32) for number in range(12)]

    def run(tokens: Tensor) -> Tensor:
        with torch.inference_mode():
            found: Tensor = module(tokens)
            return found

    expected = [run(tokens) for tokens in batches]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(run, batches))
    assert all(one.equal(other) for one, other in zip(found, expected, strict=True))


@torch.inference_mode()
def test_a_used_model_is_saved_and_copied_as_any_other(tmp_path: Path) -> None:
    model = _classifier("fft").eval()
    names = set(model.state_dict())
    expected = model(_signals()).logits
    model.save_pretrained(tmp_path)
    assert set(load_file(tmp_path / "model.safetensors")) == set(model.state_dict()) == names
    loaded = EcgFmForClassification.from_pretrained(tmp_path).eval()
    assert loaded(_signals()).logits.equal(expected)
    assert copy.deepcopy(model)(_signals()).logits.equal(expected)


# In the models.


def _gradients(model: torch.nn.Module) -> dict[str, Tensor]:
    found = {name: weight.grad for name, weight in model.named_parameters()}
    return {name: value for name, value in found.items() if value is not None}


def _classifier(form: str) -> EcgFmForClassification:
    torch.manual_seed(0)
    config = ecg_fm_config("tiny", n_channels=2, n_labels=3)
    config.positional_convolution = form
    return EcgFmForClassification(config)


def _signals() -> Tensor:
    return _tokens(4, 2, 500)


def test_padded_signals_and_all_gradients_are_the_same_in_both_forms() -> None:
    lengths = torch.tensor([500, 320, 163, 500])
    found: dict[str, dict[str, Tensor]] = {}
    for form in ("direct", "fft"):
        model = _classifier(form).eval()
        output = model(
            _signals(),
            lengths=lengths,
            labels=torch.ones(4, 3),
            pos_weight=torch.ones(3),
        )
        output.loss.backward()
        found[form] = _gradients(model)
        found[form]["logits"] = output.logits.detach()
    for name, value in found["fft"].items():
        torch.testing.assert_close(value, found["direct"][name], rtol=0, atol=1e-5, msg=name)


def test_pre_training_gives_the_same_loss_and_gradients_in_both_forms() -> None:
    objective = Objective(code_vectors=8, code_width=16, dropout=0.0)
    mask = torch.zeros(4, 7, dtype=torch.bool)
    mask[:, 2:6] = True
    batch = {
        "input_values": _signals(),
        "mask": mask,
        "negatives": torch.randint(4, (4, 4, 3), generator=torch.Generator().manual_seed(2)),
        "patients": torch.tensor([4, 7]),
    }
    found: dict[str, dict[str, Tensor]] = {}
    for form in ("direct", "fft"):
        torch.manual_seed(0)
        config = ecg_fm_config("tiny", n_channels=2, n_labels=1)
        config.positional_convolution = form
        model = EcgFmForPreTraining.build(config, objective).train()
        torch.manual_seed(3)  # the same Gumbel noise
        output = model(**batch)
        output.loss.backward()
        found[form] = _gradients(model)
        found[form]["loss"] = output.loss.detach()
        found[form]["hidden"] = output.hidden.detach()
    for name, value in found["fft"].items():
        torch.testing.assert_close(value, found["direct"][name], rtol=0, atol=1e-5, msg=name)
