"""What a method says it trains, against what the optimizer was really given; and at which rates.

A fine-tuning whose optimizer has none of the encoder's weights runs, learns, and gives numbers: a
probe's, under another name. So the groups of the optimizer that was built are read, not what was
asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ecg_assets.errors import EcgAssetsError
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.families import family_of
from ecg_assets.training.finetune.recipe import PROBES, Recipe

ENCODER, HEAD, ADAPTERS = "encoder", "head", "adapters"
_NAMED = 5
"""So many weights are named in an error."""


class TrainedWeights(TrainerCallback):  # type: ignore[misc]
    """Compares the optimizer with the method when training begins, and keeps what it counted.

    In the first step of each epoch it looks whether gradients reach all that is trained by then: an
    encoder whose features are cut off from the loss would be in the optimizer, and never change.

    Parameters
    ----------
    model
        The whole model, with adapters where the method has them.
    recipe
        Says the method.
    """

    def __init__(self, model: EcgClassifier, recipe: Recipe) -> None:
        self._model, self._recipe = model, recipe
        self.counted: dict[str, Any] | None = None
        self._looks = False

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        optimizer: Any,
        **_: Any,
    ) -> None:
        """Raise `EcgAssetsError` before the first step, as `count_trained_weights`."""
        self.counted = count_trained_weights(self._model, self._recipe, optimizer.param_groups)

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Look at the gradients of its first step."""
        self._looks = True

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Raise `EcgAssetsError` for trained weights without a gradient."""
        if self._looks:
            self._looks = False
            require_gradients(self._model, self._recipe)


def count_trained_weights(
    model: EcgClassifier, recipe: Recipe, groups: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """Count the weights that an optimizer has been given, and compare them with the method.

    Parameters
    ----------
    model
        The model that is trained, whatever wraps it.
    recipe
        Says the method.
    groups
        The optimizer's ``param_groups``. A weight counts where its learning rate, before any
        warm-up, is above 0, and it has gradients.

    Returns
    -------
    dict
        JSON values: of ``encoder``, ``head`` and, where there are any, ``adapters`` the
        ``n_tensors`` and ``n_parameters`` that are trained ``of_tensors`` and ``of_parameters``;
        under ``not_trained`` a list of ``why``, ``n_tensors``, ``n_parameters``; under
        ``learning_rates``, unless it is the same for all, of each ``learning_rate`` the same.

    Raises
    ------
    EcgAssetsError
        When the optimizer has not just the weights that the method trains.
    """
    rates = _rates_by_weight(groups)
    parameters = dict(model.named_parameters())
    reasons = explain_untrained(model, recipe)
    given = {name for name, value in parameters.items() if rates.get(id(value), 0.0) > 0}
    trained = {name for name in given if parameters[name].requires_grad}
    expected = parameters.keys() - reasons.keys()
    foreign = rates.keys() - {id(value) for value in parameters.values()}
    if trained != expected or given != trained or foreign:
        _refuse(model, recipe, trained=given, expected=expected, n_foreign=len(foreign))
    by_part = _by_part(model, parameters)
    found: dict[str, Any] = {part: _count(names, trained) for part, names in by_part.items()}
    found["not_trained"] = [
        {"why": why, **_sizes(parameters[name] for name in reasons if reasons[name] == why)}
        for why in sorted(set(reasons.values()))
    ]
    used = sorted({rates[id(parameters[name])] for name in trained}, reverse=True)
    if len(used) > 1:
        found["learning_rates"] = [
            {
                "learning_rate": rate,
                **_sizes(parameters[n] for n in trained if rates[id(parameters[n])] == rate),
            }
            for rate in used
        ]
    return found


def require_gradients(model: EcgClassifier, recipe: Recipe) -> None:
    """Raise `EcgAssetsError` when a weight that is trained has no gradient after a backward pass.

    Weights that the method leaves for later epochs (``requires_grad`` is False) are not meant.
    """
    reasons = explain_untrained(model, recipe)
    without = {
        name
        for name, value in model.named_parameters()
        if name not in reasons and value.requires_grad and value.grad is None
    }
    if without:
        raise EcgAssetsError(
            f"Method {recipe.method!r} has {len(without)} weights of {family_of(model).title} in "
            f"the optimizer that no gradient of the loss reaches: {_first(without)}. They would "
            "never change. Those that the model does not use are to be named in the family's "
            "never_trained; else its features are cut off from the loss."
        )


def describe_trained(counted: Mapping[str, Any]) -> str:
    """Say what was trained in words, e.g. for a model card.

    >>> some = {"n_tensors": 0, "of_tensors": 9, "n_parameters": 0, "of_parameters": 90_000}
    >>> every = {"n_tensors": 2, "of_tensors": 2, "n_parameters": 1_290, "of_parameters": 1_290}
    >>> describe_trained({"encoder": some, "head": every})
    'encoder 0 of 90,000, head 1,290 of 1,290'
    """
    return ", ".join(
        f"{part} {counted[part]['n_parameters']:,} of {counted[part]['of_parameters']:,}"
        for part in (ENCODER, ADAPTERS, HEAD)
        if part in counted
    )


def count_until(counted: Mapping[str, Any], recipe: Recipe, epoch: int) -> dict[str, Any]:
    """Take the encoder out of what was counted, in an epoch of the head alone.

    >>> counted = {"encoder": {"n_tensors": 9, "n_parameters": 90}, "not_trained": []}
    >>> recipe = Recipe(
    ...     size="tiny", epochs=3, batch_size=1, learning_rate=0.1, freeze_convolutions=False,
    ...     method="frozen-then-unfrozen", head_epochs=2,
    ... )
    >>> count_until(counted, recipe, 2)["encoder"]
    {'n_tensors': 0, 'n_parameters': 0}
    >>> count_until(counted, recipe, 3) == counted
    True
    """
    if epoch > recipe.head_epochs:
        return dict(counted)
    none = {"n_tensors": 0, "n_parameters": 0}
    left = {name: counted[ENCODER][name] for name in none}
    why = f"trained after epoch {recipe.head_epochs} alone, and the best one is {epoch}"
    found = {name: value for name, value in counted.items() if name != "learning_rates"}
    return {
        **found,
        ENCODER: {**counted[ENCODER], **none},
        "not_trained": [*counted["not_trained"], {"why": why, **left}],
    }


def n_trained_parameters(counted: Mapping[str, Any]) -> int:
    """Count the numbers that are trained in all parts.

    >>> n_trained_parameters({"encoder": {"n_parameters": 5}, "head": {"n_parameters": 2}})
    7
    """
    return sum(
        counted[part]["n_parameters"] for part in (ENCODER, ADAPTERS, HEAD) if part in counted
    )


def explain_untrained(model: EcgClassifier, recipe: Recipe) -> dict[str, str]:
    """Say of each weight that the method does not train why not, by its name.

    It follows from the method and from what the family says of itself alone, never from how the
    weights are set (``requires_grad``).
    """
    never = family_of(model).never_trained
    frozen = _convolutions(model) if recipe.freeze_convolutions else set()
    reasons = {}
    for name, _ in model.named_parameters():
        why = [text for pattern, text in never.items() if fnmatchcase(name, pattern)]
        if name.startswith(f"{model.head_name}.original_module."):
            reasons[name] = "the head that the trained one is a copy of"
        elif model.is_of_head(name) or is_adapter(name):
            continue
        elif why:
            reasons[name] = f"never trained: {why[0]}"
        elif recipe.method in (*PROBES, "lora"):
            reasons[name] = f"frozen by the method {recipe.method}"
        elif name in frozen:
            reasons[name] = "frozen convolutions"
    return reasons


def is_adapter(name: str) -> bool:
    """Tell whether a weight of this name is a low-rank adapter's.

    >>> is_adapter("encoder.layers.0.q_proj.lora_A.default.weight")
    True
    """
    return ".lora_" in name


def _convolutions(model: EcgClassifier) -> set[str]:
    """Name what `freeze_convolutions` freezes, by letting it; all stays as it was."""
    before = [(value, value.requires_grad) for value in model.parameters()]
    try:
        model.requires_grad_(True)
        model.freeze_convolutions()
        return {name for name, value in model.named_parameters() if not value.requires_grad}
    finally:
        for value, had in before:
            value.requires_grad_(had)


def _rates_by_weight(groups: Iterable[Mapping[str, Any]]) -> dict[int, float]:
    """Give the learning rate of each weight by its id; a schedule keeps that of the start."""
    rates: dict[int, float] = {}
    for group in groups:
        for weight in group["params"]:
            if id(weight) in rates:
                raise EcgAssetsError(
                    f"The optimizer has a weight of shape {list(weight.shape)} twice; it would be "
                    "trained at two rates. This is a fault of its groups."
                )
            rates[id(weight)] = float(group.get("initial_lr", group["lr"]))
    return rates


def _by_part(
    model: EcgClassifier, parameters: Mapping[str, nn.Parameter]
) -> dict[str, dict[str, nn.Parameter]]:
    parts: dict[str, dict[str, nn.Parameter]] = {ENCODER: {}, HEAD: {}}
    for name, value in parameters.items():
        if ".original_module." in name and model.is_of_head(name):
            continue
        part = HEAD if model.is_of_head(name) else ADAPTERS if is_adapter(name) else ENCODER
        parts.setdefault(part, {})[name] = value
    return parts


def _count(part: Mapping[str, nn.Parameter], trained: set[str]) -> dict[str, int]:
    every = _sizes(part.values())
    return {
        **_sizes(value for name, value in part.items() if name in trained),
        "of_tensors": every["n_tensors"],
        "of_parameters": every["n_parameters"],
    }


def _sizes(values: Iterable[nn.Parameter]) -> dict[str, int]:
    sizes = [value.numel() for value in values]
    return {"n_tensors": len(sizes), "n_parameters": sum(sizes)}


def _refuse(
    model: EcgClassifier, recipe: Recipe, *, trained: set[str], expected: set[str], n_foreign: int
) -> None:
    parts = _by_part(model, dict(model.named_parameters()))
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    counts = "; ".join(
        f"{part}: {_say(_count(names, expected))} expected, {_say(_count(names, trained))} found"
        for part, names in parts.items()
    )
    faults = {
        "missing": expected - trained,
        "without a gradient": trained & frozen,
        "too many": trained - expected,
    }
    named = "; ".join(f"{what} {_first(names)}" for what, names in faults.items() if names)
    if n_foreign:
        named += f"; {n_foreign} that are not the model's"
    raise EcgAssetsError(
        f"Method {recipe.method!r} would not train what it says: the optimizer was given other "
        f"weights of {family_of(model).title} ({counts}; {named.removeprefix('; ')}). Nothing was "
        "trained. A weight that the family never trains by design is to be named in its "
        "never_trained; anything else is a fault of the optimizer's groups."
    )


def _say(count: Mapping[str, int]) -> str:
    return f"{count['n_parameters']:,} of {count['of_parameters']:,}"


def _first(names: set[str]) -> str:
    shown = ", ".join(sorted(names)[:_NAMED])
    return f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown


# Learning rates of layers.


def factors_of_rates(model: EcgClassifier, recipe: Recipe) -> dict[str, float]:
    """Give the factor of the learning rate of each weight by its name; of the head it is 1.

    The encoder's last layer has ``layer_decay``, the one before it its square, and so on; early
    and late layers, as the family divides them, have ``early_rate`` and ``late_rate`` besides.

    Raises
    ------
    EcgAssetsError
        When a weight belongs to no layer of the family.
    """
    layers = model.encoder_layers()
    by_start = {start: number for number, starts in enumerate(layers) for start in starts}
    factors = {}
    for name, _ in model.named_parameters():
        if model.is_of_head(name):
            factors[name] = 1.0
            continue
        start = _longest_start(name, by_start)
        if start is None:
            raise EcgAssetsError(
                f"{name} is in none of the layers that {family_of(model).title} names "
                "(encoder_layers), so that it has no learning rate. Name it there, or leave "
                "layer_decay, early_rate and late_rate at 1."
            )
        number = by_start[start]
        of_group = recipe.early_rate if number < model.n_early_layers else recipe.late_rate
        factors[name] = of_group * recipe.layer_decay ** (len(layers) - number)
    return factors


def _longest_start(name: str, starts: Iterable[str]) -> str | None:
    fitting = [one for one in starts if not one or name == one or name.startswith(f"{one}.")]
    return max(fitting, key=len, default=None)
