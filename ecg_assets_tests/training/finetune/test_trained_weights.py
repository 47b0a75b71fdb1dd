"""Each method trains what it says, counted from the optimizer's groups; faulty ones are refused."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from ecg_assets.errors import EcgAssetsError
from ecg_assets.models.checkpoint import load_trained
from ecg_assets.models.checkpoint_folder import MODEL_CARD, RUN, TRAINED_WEIGHTS, WEIGHTS
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.models.families import FAMILIES
from ecg_assets.preprocess.signal_spec import STANDARD_LEADS
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.engine.training import EpochTrainer
from ecg_assets.training.finetune.methods import choose_trained_weights, trained_module
from ecg_assets.training.finetune.recipe import Recipe
from ecg_assets.training.finetune.trained_weights import (
    count_trained_weights,
    describe_trained,
    factors_of_rates,
    require_gradients,
)
from ecg_assets_tests.models.toy_recordings import toy_manifest, toy_signals
from ecg_assets_tests.training.finetune.toy_run import run_toy, toy_request
from ecg_assets_tests.training.killed_run import Killed

FULL = {"full": {}, "frozen-then-unfrozen": {"head_epochs": 1}}
METHODS: dict[str, dict[str, Any]] = {
    **FULL,
    "frozen convolutions": {"method": "full", "freeze_convolutions": True},
    "linear-probe": {},
    "attention-probe": {"attention_pool_heads": 4},
    "lora": {"lora_rank": 2},
}
CASES = [
    (family, method)
    for family, known in FAMILIES.items()
    for method in METHODS
    if (method != "lora" or known.adapted_layers)
    and (method != "attention-probe" or known.has_tokens)
    and (method != "frozen convolutions" or known.has_convolution_stack)
]
every_case = pytest.mark.parametrize(("family", "method"), CASES)


def _recipe(family: str, method: str, **others: Any) -> Recipe:
    values = {
        "family": family,
        "size": "tiny",
        "freeze_convolutions": False,
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "activation_dropout": 0.1 if FAMILIES[family].fine_tuning else 0.0,
        "method": method,
    }
    return Recipe(**{**values, **METHODS.get(method, {}), **others})


def _leads(family: str) -> tuple[str, ...]:
    return (FAMILIES[family].lead_sets or (STANDARD_LEADS,))[-1]


def _model(recipe: Recipe) -> EcgClassifier:
    family = FAMILIES[recipe.family]
    n_channels = family.signal_spec(_leads(recipe.family)).n_channels
    config = family.build_config("tiny", n_channels=n_channels, n_labels=3)
    if recipe.method == "attention-probe":
        config.update({"attention_pool_heads": recipe.attention_pool_heads})
    model = family.classifier_class(config)
    choose_trained_weights(model, recipe)
    return model


def _head(model: EcgClassifier, method: str) -> set[str]:
    """Name the head's weights without asking the model which are."""
    pool = {f"attention_pool.{name}" for name in ("query", "q_proj", "k_proj", "v_proj")}
    last = {"weight", "bias"}
    return last | pool if method == "attention-probe" else last


def _optimizer(model: EcgClassifier, recipe: Recipe) -> torch.optim.Optimizer:
    """Give it what the Trainer gives it: all that has gradients, of what it trains."""
    trained = trained_module(model, recipe)
    return torch.optim.AdamW([p for p in trained.parameters() if p.requires_grad], lr=1e-3)


@every_case
def test_the_optimizer_has_what_the_method_says(family: str, method: str) -> None:
    recipe = _recipe(family, method)
    model = _model(recipe)
    names = [name for name, _ in model.named_parameters()]
    never = [n for n in names if any(fnmatchcase(n, p) for p in FAMILIES[family].never_trained)]
    found = count_trained_weights(model, recipe, _optimizer(model, recipe).param_groups)
    encoder, head = found["encoder"], found["head"]
    assert head["n_tensors"] == head["of_tensors"] == len(_head(model, method))
    assert head["n_parameters"] == head["of_parameters"] > 0
    adapters = [name for name in names if ".lora_" in name]
    own = [name for name in names if not model.is_of_head(name) and name not in adapters]
    assert encoder["of_tensors"] == len(own)
    n_parameters = sum(dict(model.named_parameters())[name].numel() for name in own)
    assert encoder["of_parameters"] == n_parameters
    if method in FULL:
        assert encoder["n_tensors"] == len(own) - len(never)
        assert sum(row["n_tensors"] for row in found["not_trained"]) == len(never)
    elif method == "frozen convolutions":
        reasons = {row["why"]: row for row in found["not_trained"]}
        assert 0 < reasons["frozen convolutions"]["n_tensors"] < len(own)
        assert encoder["n_tensors"] == len(own) - reasons["frozen convolutions"]["n_tensors"]
    else:
        assert encoder["n_tensors"] == encoder["n_parameters"] == 0
    assert ("adapters" in found) == (method == "lora")
    if method == "lora":
        assert found["adapters"]["n_tensors"] == len(adapters) > 0
    n_untrained = sum(row["n_parameters"] for row in found["not_trained"])
    trained = sum(p["n_parameters"] for p in found.values() if isinstance(p, dict))
    assert trained + n_untrained == sum(value.numel() for value in model.parameters())


@every_case
def test_gradients_reach_all_that_is_trained(family: str, method: str) -> None:
    recipe, known = _recipe(family, method), FAMILIES[family]
    model = _model(recipe).train()
    n_samples = known.signal_spec(_leads(family)).segment_samples
    signal = torch.randn(2, model.config.n_channels, n_samples)
    labels = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    model(signal, labels=labels, pos_weight=torch.ones(3)).loss.backward()
    require_gradients(model, recipe)
    next(iter(model.get_submodule(model.head_name).parameters())).grad = None
    if method != "lora":  # whose head stands elsewhere
        with pytest.raises(EcgAssetsError, match=r"1 weights of .* that no gradient of the loss"):
            require_gradients(model, recipe)


@every_case
def test_an_optimizer_whose_names_match_nothing_is_refused(family: str, method: str) -> None:
    """As in a benchmark where groups by the names of another wrapper held none of the encoder."""
    recipe = _recipe(family, method)
    model = _model(recipe)
    if method in ("linear-probe", "attention-probe"):
        chosen = [value for name, value in model.named_parameters()]  # a probe that trains it all
    else:
        chosen = [
            value
            for name, value in model.named_parameters()
            if name.startswith("module.encoder.") or model.is_of_head(name)
        ]
    optimizer = torch.optim.AdamW(chosen, lr=1e-3)
    with pytest.raises(EcgAssetsError, match=r"would not train what it says.*encoder: [\d,]+ of"):
        count_trained_weights(model, recipe, optimizer.param_groups)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            "one missing",
            r"encoder: 104,112 of 104,112 expected, 103,728 of .* missing encoder\.\S+conv\.weight",
        ),
        ("no gradient", "without a gradient encoder"),
        ("no rate", "missing encoder"),
        ("a copy", "; 49 that are not the model's"),
        ("twice", "has a weight of shape .* twice"),
        ("no head", r"missing head\.bias, head\.weight"),
    ],
)
def test_each_fault_of_the_groups_is_named(fault: str, said: str) -> None:
    recipe = _recipe("ecg_fm", "full")
    model = _model(recipe)
    encoder = model.encoder_parameters()
    head = list(model.head.parameters())
    groups: list[dict[str, Any]] = [
        {"params": encoder, "lr": 1e-3},
        {"params": head, "lr": 1e-3},
    ]
    if fault == "one missing":
        groups[0]["params"] = encoder[1:]
    elif fault == "no gradient":
        encoder[3].requires_grad_(False)
    elif fault == "no rate":
        groups[0]["lr"] = 0.0
    elif fault == "a copy":
        groups[0]["params"] = [nn.Parameter(value.detach().clone()) for value in encoder]
    elif fault == "twice":
        groups[1]["params"] = [*head, encoder[0]]
    else:
        groups.pop()
    with pytest.raises(EcgAssetsError, match=said):
        count_trained_weights(model, recipe, groups)


def test_a_warm_up_that_starts_at_0_trains_all_the_same() -> None:
    recipe = _recipe("ecg_fm", "full")
    model = _model(recipe)
    optimizer = _optimizer(model, recipe)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 10)
    assert optimizer.param_groups[0]["lr"] == 0
    found = count_trained_weights(model, recipe, optimizer.param_groups)
    assert found["encoder"]["n_tensors"] == found["encoder"]["of_tensors"]


# Learning rates of layers.


@pytest.mark.parametrize("family", list(FAMILIES))
def test_rates_fall_from_the_head_to_the_input(family: str) -> None:
    recipe = _recipe(family, "full", layer_decay=0.5)
    model = _model(recipe)
    factors = factors_of_rates(model, recipe)
    assert set(factors) == {name for name, _ in model.named_parameters()}
    n_layers = len(model.encoder_layers())
    of_encoder = [factors[name] for name in factors if not model.is_of_head(name)]
    assert set(of_encoder) == {0.5**power for power in range(1, n_layers + 1)}
    assert {factors[name] for name in model.head_parameters()} == {1.0}
    groups = _recipe(family, "full", early_rate=0.01, late_rate=0.1)
    assert set(factors_of_rates(model, groups).values()) == (
        {0.01, 0.1, 1.0} if model.n_early_layers else {0.1, 1.0}
    )


def test_a_token_models_layers_have_their_powers() -> None:
    recipe = _recipe("ecg_fm", "full", layer_decay=0.5, early_rate=0.1)
    factors = factors_of_rates(_model(recipe), recipe)
    assert factors["encoder.encoder.layers.1.attention.q_proj.weight"] == 0.5
    assert factors["encoder.encoder.layers.0.attention.q_proj.weight"] == 0.25
    assert factors["encoder.encoder.layer_norm.bias"] == pytest.approx(0.0125)
    assert factors["encoder.feature_extractor.conv_layers.0.conv.weight"] == pytest.approx(0.0125)


def test_probes_and_layers_that_are_not_named_have_no_rates() -> None:
    with pytest.raises(ValueError, match=r"late_rate is 0\.1; it must be 1 with method 'linear-p"):
        _recipe("ecg_fm", "linear-probe", late_rate=0.1)
    recipe = _recipe("ecg_fm", "full", layer_decay=0.5)
    model = _model(recipe)
    vars(model)["encoder_layers"] = lambda: [("encoder.feature_extractor",)]
    with pytest.raises(EcgAssetsError, match="is in none of the layers that ECG-FM names"):
        factors_of_rates(model, recipe)


# In a whole training.


@pytest.fixture(scope="module")
def data() -> TrainingData:
    manifest = toy_manifest(40)
    return TrainingData(manifest, toy_signals(manifest))


@pytest.fixture(scope="module")
def plain(data: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, _ = run_toy(toy_request(tmp_path_factory.mktemp("plain"), epochs=1), data)
    return folder


def test_run_and_card_say_what_was_trained(plain: Path) -> None:
    run = json.loads((plain / RUN).read_text())
    counted = run[TRAINED_WEIGHTS]
    weights = load_file(plain / WEIGHTS)
    head = weights["head.weight"].numel() + weights["head.bias"].numel()
    n_encoder = sum(value.numel() for value in weights.values()) - head
    assert counted == {
        "encoder": {
            "n_tensors": len(weights) - 2,
            "n_parameters": n_encoder,
            "of_tensors": len(weights) - 2,
            "of_parameters": n_encoder,
        },
        "head": {"n_tensors": 2, "n_parameters": head, "of_tensors": 2, "of_parameters": head},
        "not_trained": [],
    }
    assert run["n_trained_parameters"] == n_encoder + head
    said = describe_trained(counted)
    assert said == f"encoder {n_encoder:,} of {n_encoder:,}, head {head:,} of {head:,}"
    assert said in " ".join((plain / MODEL_CARD).read_text("utf-8").split())


def test_a_training_with_a_faulty_optimizer_ends_before_its_first_step(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_names_that_match_nothing(self: EpochTrainer, *_: Any) -> torch.optim.Optimizer:
        named = self.model.named_parameters()
        chosen = [value for name, value in named if name.startswith(("module.", "head."))]
        optimizer = self.optimizer = torch.optim.AdamW(chosen, lr=1e-3)
        return optimizer

    monkeypatch.setattr(EpochTrainer, "create_optimizer", by_names_that_match_nothing)
    with pytest.raises(EcgAssetsError, match=r"expected, 0 of [\d,]+ found"):
        run_toy(toy_request(tmp_path, epochs=1), data)
    assert not list(tmp_path.glob("tiny-*"))


def test_an_encoder_that_is_cut_off_from_the_loss_is_refused_in_the_first_step(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The optimizer has all of it, and it would never change."""
    embed = EcgFmForClassification.embed

    def detached(self: EcgFmForClassification, *signals: Any) -> torch.Tensor:
        return embed(self, *signals).detach()

    monkeypatch.setattr(EcgFmForClassification, "embed", detached)
    with pytest.raises(EcgAssetsError, match=r"49 weights.*no gradient of the loss reaches: enc"):
        run_toy(toy_request(tmp_path, epochs=1), data)


def test_a_run_killed_after_its_last_epoch_still_says_it(
    data: TrainingData, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ecg_assets.training.finetune.finetune import FinetuneTraining

    def die(*_: Any) -> None:
        raise Killed

    request = toy_request(tmp_path, epochs=1)
    with monkeypatch.context() as context:
        context.setattr(FinetuneTraining, "write_result", die)
        with pytest.raises(Killed):
            run_toy(request, data)
    folder, _ = run_toy(request, data)
    assert (folder / WEIGHTS).read_bytes() == (plain / WEIGHTS).read_bytes()
    found, expected = (
        json.loads((one / RUN).read_text())[TRAINED_WEIGHTS] for one in (folder, plain)
    )
    assert found == expected


def test_factors_of_1_train_the_same_weights_and_others_do_not(
    data: TrainingData, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recipe, "has_layer_rates", property(lambda _: True))
    same, _ = run_toy(toy_request(tmp_path / "same", epochs=1), data)
    assert same.name == plain.name
    assert (same / WEIGHTS).read_bytes() == (plain / WEIGHTS).read_bytes()
    monkeypatch.undo()
    slow, _ = run_toy(
        toy_request(tmp_path / "slow", epochs=1, early_rate=0.01, late_rate=0.1), data
    )
    run = json.loads((slow / RUN).read_text())
    rates = [row["learning_rate"] for row in run[TRAINED_WEIGHTS]["learning_rates"]]
    np.testing.assert_allclose(rates, [4e-3, 4e-4, 4e-5], rtol=1e-6)
    assert run["request"]["recipe"]["late_rate"] == 0.1
    sizes = [row["n_parameters"] for row in run[TRAINED_WEIGHTS]["learning_rates"]]
    assert sum(sizes) == run["n_trained_parameters"]
    assert load_trained(slow).model.head.weight.shape == (2, 64)


@pytest.mark.parametrize("optimizer", ["adamw", "fairseq-adam"])
def test_a_killed_run_with_rates_continues_to_the_same_weights(
    optimizer: str, data: TrainingData, tmp_path: Path
) -> None:
    values: dict[str, Any] = {"epochs": 2, "layer_decay": 0.5, "optimizer": optimizer}
    whole, _ = run_toy(toy_request(tmp_path / "whole", **values), data)
    request = toy_request(tmp_path / "killed", **values)
    with pytest.raises(Killed):
        run_toy(request, data, killed_in_epoch=2)
    folder, events = run_toy(request, data)
    assert events[0]["epochs_already_trained"] == 1
    assert (folder / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
