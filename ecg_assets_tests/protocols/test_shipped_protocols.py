"""Shipped protocols: what they name exists, their recipes and signals are allowed."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from ecg_assets.labels.label_set import shipped_label_sets
from ecg_assets.models.families import FAMILIES
from ecg_assets.preprocess.signal_spec import STANDARD_LEADS, find_differing_fields
from ecg_assets.protocols.protocol import (
    LOGISTIC_REGRESSION,
    Protocol,
    Rules,
    load_protocol,
    shipped_protocols,
)
from ecg_assets.sources import datasets
from ecg_assets.split.task_split import TaskSplit
from ecg_assets.training.finetune.presets import PRESETS
from ecg_assets.training.finetune.recipe import PROBES, RATES, Recipe

PROTOCOLS = {
    *("ptb-xl", "ptb-xl-keep", "ptb-xl-super", "ptb-xl-sub", "ptb-xl-diag", "ptb-xl-form"),
    *("ptb-xl-rhythm", "ptb-xl-all", "ptb-xl-super-tiny", "merl-linear-probe", "ecg-fix"),
    *("ecg-fm-benchmark", "echonext", "mimic-iv-ecg-ext-icd", "challenge-2021"),
    *("challenge-2025", "code-test"),
}


def test_these_are_shipped() -> None:
    assert set(shipped_protocols()) == PROTOCOLS


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_all_that_a_protocol_names_exists(name: str) -> None:
    protocol = load_protocol(name)
    assert protocol.name == name
    assert {model.preset for model in protocol.models.values()} <= set(PRESETS)
    tasks = protocol.tasks.values()
    sets = {task.label_set_by(rules) for task in tasks for rules in Rules}
    assert sets <= set(shipped_label_sets())
    sources = {source for task in tasks for source in (task.source, task.test_source) if source}
    assert sources <= set(datasets())
    for task in tasks:
        known = datasets()[task.source].database_folders if task.databases else ()
        assert set(task.databases) <= set(known)
        splits = [TaskSplit(**task.split_by(rules)) for rules in Rules]
        if any(split.kind == "folds" for split in splits):
            assert datasets()[task.source].folds
        assert splits[-1].by == "patient"


def _recipe(protocol: Protocol, model: str, mode: str, method: str) -> Recipe:
    changes = dict(protocol.modes[mode].changes)
    if method in PROBES:
        changes |= {**dict.fromkeys(RATES, 1.0), "freeze_convolutions": False}
    own = {} if method == LOGISTIC_REGRESSION else {"method": method}
    return PRESETS[protocol.models[model].preset].changed(**{**changes, **own})


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_recipes_and_signals_of_all_cells_are_allowed(name: str) -> None:
    protocol = load_protocol(name)
    assert protocol.cells
    for cell in protocol.cells:
        for rules in Rules:
            method = protocol.method_of(cell, rules)
            recipe = _recipe(protocol, cell.model, cell.mode, method)
            own = FAMILIES[recipe.family].signal_spec(STANDARD_LEADS)
            fed = replace(own, **protocol.signal_of(cell.model, rules))
            assert rules is Rules.AS_PUBLISHED or fed == own


def test_no_pretrained_model_is_trained_from_random_weights_unasked() -> None:
    """Its user names a checkpoint; what is meant to start from scratch says so."""
    from_scratch = set()
    for name in PROTOCOLS - {"ptb-xl-super-tiny"}:
        models = load_protocol(name).models
        assert not any(model.checkpoint for model in models.values())
        from_scratch |= {one for one, model in models.items() if model.from_scratch}
    assert from_scratch == {
        *("xresnet1d101", "resnet18", "s4", "net1d", "random-resnet18", "random-vit")
    }


def test_net1d_from_scratch_is_of_the_published_size() -> None:
    protocol = load_protocol("ecg-fm-benchmark")
    assert PRESETS[protocol.models["net1d"].preset].size == "tiny"
    assert _recipe(protocol, "net1d", "supervised", "full").size == "base"


def test_the_benchmarks_recipe_is_the_papers_whatever_the_preset_is() -> None:
    protocol = load_protocol("ecg-fm-benchmark")
    fields = {
        *("optimizer", "learning_rate", "schedule", "weight_decay", "batch_size", "epochs"),
        *("gradient_accumulation", "warmup_fraction", "patience", "objective", "early_rate"),
        *("late_rate", "adam_beta2", "max_gradient_norm", "freeze_convolutions"),
    }
    pretrained = [name for name, model in protocol.models.items() if not model.from_scratch]
    recipes = [_recipe(protocol, name, "finetuned", "full") for name in pretrained]
    first = recipes[0].model_dump(include=fields)
    assert len(recipes) == 7
    assert all(recipe.model_dump(include=fields) == first for recipe in recipes)
    expected = {"learning_rate": 1e-3, "weight_decay": 1e-3, "batch_size": 64, "epochs": 100}
    assert first.items() >= {**expected, "early_rate": 0.01, "late_rate": 0.1}.items()


def test_all_but_one_model_get_millivolts_as_published_in_their_own_window() -> None:
    protocol = load_protocol("ecg-fm-benchmark")
    found = {name: protocol.signal_of(name, Rules.AS_PUBLISHED) for name in protocol.models}
    seconds = {name: signal["segment_s"] for name, signal in found.items()}
    assert seconds == {
        **dict.fromkeys(("ecg-founder", "merl", "ecg-cpc", "s4", "net1d"), 2.5),
        **{"st-mem": 2.4, "ecg-fm": 5.0, "hubert-ecg": 5.0, "ecg-jepa": 10.0},
    }
    raw = [name for name, signal in found.items() if signal["normalization"] == "none"]
    assert set(found) - set(raw) == {"hubert-ecg"}
    own = FAMILIES["hubert-ecg"].signal_spec(STANDARD_LEADS)
    fed = replace(own, **found["hubert-ecg"])
    assert find_differing_fields(fed, own) == ["aggregation"]


def test_st_mem_finetuned_is_a_probe_as_published_alone() -> None:
    for name in ("ecg-fm-benchmark", "ptb-xl-keep"):
        protocol = load_protocol(name)
        methods = pd.DataFrame(
            [
                (cell.model, cell.mode, protocol.method_of(cell, rules), rules.name)
                for cell in protocol.cells
                for rules in Rules
            ],
            columns=["model", "mode", "method", "rules"],
        ).drop_duplicates()
        rows = methods[methods["mode"].eq("finetuned") & methods["method"].ne("full")]
        assert rows.to_numpy().tolist() == [["st-mem", "finetuned", "linear-probe", "AS_PUBLISHED"]]


def test_what_a_model_saw_is_named_where_its_authors_name_it() -> None:
    models = load_protocol("ecg-fm-benchmark").models
    assert models["ecg-jepa"].saw == models["st-mem"].saw == ("ningbo", "code-15")
    assert {"georgia", "cpsc-2018", "cpsc-extra", "ningbo", "ptb-xl-super"} < set(
        models["ecg-fm"].saw
    )
    assert all(not models[name].saw for name in ("merl", "ecg-founder", "ecg-cpc", "s4"))
    assert load_protocol("ptb-xl-keep").models["ecg-jepa"].saw == ()


@pytest.mark.parametrize(
    ("name", "task", "label_set", "n_test"),
    [
        ("ptb-xl", "form", "ptb-xl-form-drop", 880),
        ("ptb-xl-form", "form", "ptb-xl-form-drop", 880),
        ("merl-linear-probe", "rhythm", "ptb-xl-rhythm-drop", 2098),
        ("ptb-xl-keep", "ptb-xl-form", "ptb-xl-form-keep", 2198),
        ("ecg-fm-benchmark", "ptb-xl-rhythm", "ptb-xl-rhythm-keep", 2198),
    ],
)
def test_a_protocol_says_which_of_ptb_xls_two_conventions_it_has(
    name: str, task: str, label_set: str, n_test: int
) -> None:
    found = load_protocol(name).tasks[task]
    assert (found.label_set, found.published_test_records) == (label_set, n_test)


def test_intervals_are_drawn_as_the_papers_drew_them() -> None:
    drawn = {name: load_protocol(name).as_published.interval for name in PROTOCOLS}
    ptb_xl, benchmark = drawn["ptb-xl"], drawn["ecg-fm-benchmark"]
    assert (ptb_xl.n_resamples, ptb_xl.percent, ptb_xl.undefined) == (100, 90, "redraw")
    assert (benchmark.n_resamples, benchmark.percent) == (1000, 95)
    assert benchmark.undefined == "half"
    assert {interval.unit for interval in drawn.values()} == {"recording"}
    assert drawn["merl-linear-probe"].n_resamples == 0


def test_unmeasured_findings_are_negatives_as_published_alone() -> None:
    for name, task in (("ecg-fm-benchmark", "echonext"), ("echonext", "findings")):
        found = load_protocol(name).tasks[task]
        assert found.label_set_by(Rules.AS_PUBLISHED) == "echonext-11"
        assert found.label_set_by(Rules.CORRECTED) == "echonext-11-measured"


def test_the_demonstration_has_three_tiny_models_in_three_modes() -> None:
    protocol = load_protocol("ptb-xl-super-tiny")
    recipes = [PRESETS[model.preset] for model in protocol.models.values()]
    assert {recipe.size for recipe in recipes} == {"tiny"}
    assert len({recipe.family for recipe in recipes}) == 3
    assert len({mode.method for mode in protocol.modes.values()}) == 3
    assert len(protocol.cells) == 9
    assert not protocol.published
    assert protocol.tasks == load_protocol("ptb-xl-super").tasks
