"""Targets that are not measured, and numbers: loss, training, and what is stored of them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from ecg_assets.build import Manifest, read_manifest, write_manifest
from ecg_assets.build.manifest import label_definition, positive_weights
from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.known import NOT_MEASURED
from ecg_assets.labels import LabelVocabulary
from ecg_assets.models.checkpoint import load_trained
from ecg_assets.models.checkpoint_folder import RUN, WEIGHTS, read_json, read_validation_predictions
from ecg_assets.models.classifier import training_loss, weighted_cross_entropy
from ecg_assets.models.probabilities import Regression
from ecg_assets.models.scoring import predict_records
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.engine.segments import SegmentDataset
from ecg_assets.training.finetune.experiments import fold_request
from ecg_assets.training.finetune.result import count_split
from ecg_assets.training.finetune.validate import (
    regression_loss,
    reproduce_validation_loss,
    validate_logits,
    weighted_loss,
)
from ecg_assets_tests.models.toy_recordings import toy_manifest, toy_signals
from ecg_assets_tests.training.finetune.toy_run import partly_measured, run_toy, toy_request

NUMBERS = LabelVocabulary(("rate", "height"), ("mean", "mean"), ("bpm", "mV"))


class _Labels:
    problem_type: Any = None


def _partly(manifest: Manifest, *, every: int = 3) -> Manifest:
    """Every third recording's second label is not measured."""
    targets = manifest.targets.copy()
    targets[::every, 1] = NOT_MEASURED
    is_train = manifest.index["split"].to_numpy() == "train"
    return replace(manifest, targets=targets, pos_weight=positive_weights(targets[is_train]))


def _numbers(n_records: int) -> tuple[TrainingData, Manifest]:
    """Toy recordings whose rhythm is a rate of 300 or 750, and upright or inverted a height."""
    manifest = toy_manifest(n_records)
    signals = toy_signals(manifest)
    targets = np.where(manifest.targets, (750.0, -1.0), (300.0, 1.0)).astype(np.float32)
    targets[::4, 1] = np.nan
    measured = replace(manifest, targets=targets, vocabulary=NUMBERS, pos_weight=np.ones(2))
    return TrainingData(measured, signals), measured


def test_loss_is_the_mean_over_the_known_labels() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((6, 2), generator=generator, requires_grad=True)
    labels = torch.randint(0, 2, (6, 2), generator=generator).float()
    known = torch.rand((6, 2), generator=generator) < 0.6
    weight = torch.tensor([3.0, 0.5])
    loss = training_loss(_Labels, logits, labels, weight, known)
    each = functional.binary_cross_entropy_with_logits(
        logits, labels, pos_weight=weight, reduction="none"
    )
    assert loss.item() == pytest.approx(each[known].mean().item(), rel=1e-6)
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert (logits.grad[~known] == 0).all()
    assert (logits.grad[known] != 0).all()


def test_loss_of_a_batch_without_a_known_label_is_0() -> None:
    logits = torch.ones((2, 1), requires_grad=True)
    nothing = torch.zeros((2, 1), dtype=torch.bool)
    loss = training_loss(_Labels, logits, torch.zeros((2, 1)), torch.ones(1), nothing)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert logits.grad is not None and (logits.grad == 0).all()


def test_loss_of_measured_labels_is_what_it_was_to_the_last_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((7, 3), generator=generator)
    labels = torch.randint(0, 2, (7, 3), generator=generator).float()
    weight = torch.rand(3, generator=generator)
    found = training_loss(_Labels, logits, labels, weight)
    assert found.item() == weighted_cross_entropy(logits, labels, weight).item()


@pytest.mark.parametrize("loss", ["mean-squared-error", "huber"])
def test_regression_loss_is_torchs_of_standardized_numbers(loss: str) -> None:
    regression = Regression((60.0, 0.5), (10.0, 2.0), loss)
    config = type("Config", (), regression.to_config())
    random = np.random.default_rng(0)
    outputs = random.normal(0, 2, (9, 2)).astype(np.float32)
    targets = random.normal((60, 0.5), (30, 5), (9, 2)).astype(np.float32)
    targets[::2, 0] = np.nan
    known = torch.from_numpy(~np.isnan(targets))
    found = training_loss(
        config,
        torch.from_numpy(outputs),
        torch.from_numpy(np.nan_to_num(targets)),
        torch.ones(2),
        known,
    )
    standardized = (torch.from_numpy(targets).double() - torch.tensor([60, 0.5])) / torch.tensor(
        [10.0, 2.0]
    )
    function = functional.huber_loss if loss == "huber" else functional.mse_loss
    expected = function(torch.from_numpy(outputs).double()[known], standardized[known])
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    assert regression_loss(regression, outputs, targets) == pytest.approx(expected.item(), rel=1e-6)


def test_weights_and_counts_are_of_the_known_labels() -> None:
    manifest = _partly(toy_manifest(30))
    train = manifest.targets[manifest.rows("train"), 1]
    n_pos, n_neg = int((train == 1).sum()), int((train == 0).sum())
    assert manifest.pos_weight[1] == n_neg / n_pos
    table = label_definition(manifest).set_index("name")
    assert table.loc["inverted", "pos_percent_train"] == n_pos / (n_pos + n_neg)
    assert table.loc["inverted", "known_count_train"] == n_pos + n_neg
    assert "known_count_train" not in label_definition(toy_manifest(30))


def test_batches_say_what_is_known_only_where_something_is_not() -> None:
    plain, partly = toy_manifest(6), _partly(toy_manifest(6))
    rows = np.arange(6)
    signals = toy_signals(plain)
    whole = SegmentDataset(TrainingData(plain, signals), rows, 1).__getitems__([0, 2])
    assert "known" not in whole
    batch = SegmentDataset(TrainingData(partly, signals), rows, 1).__getitems__([0, 2])
    # Segments 0 and 2 are of the recordings 0 and 1.
    assert batch["known"].tolist() == [[True, False], [True, True]]
    assert batch["labels"][0, 1] == 0


def test_validation_leaves_unknown_labels_out() -> None:
    manifest = toy_manifest(30)
    signals, rows = toy_signals(manifest), np.arange(30)
    logits = np.random.default_rng(1).standard_normal((60, 2)).astype(np.float32)
    partly = _partly(manifest)
    found = validate_logits(TrainingData(partly, signals), rows, logits)
    targets = np.repeat(partly.targets, 2, axis=0)
    known = targets != NOT_MEASURED
    each = functional.binary_cross_entropy_with_logits(
        torch.from_numpy(logits).double(),
        torch.from_numpy(np.where(known, targets, 0)).double(),
        pos_weight=torch.from_numpy(partly.pos_weight),
        reduction="none",
    )
    assert found.loss == pytest.approx(each[torch.from_numpy(known)].mean().item(), rel=1e-12)
    assert weighted_loss(logits, np.repeat(manifest.targets, 2, 0), partly.pos_weight) != found.loss


def test_exclusive_labels_leave_out_recordings_with_an_unknown_one() -> None:
    manifest = _partly(toy_manifest(30), every=5)
    data = TrainingData(manifest, toy_signals(manifest), exclusive=True)
    train = manifest.targets[manifest.rows("train")]
    assert len(data.rows("train")) == int((train.sum(axis=1) == 1).sum())
    counts = count_split(data, "train")
    assert counts["n_left_out_not_measured"] == int((train == NOT_MEASURED).any(axis=1).sum())
    left_out = [n for name, n in counts.items() if name.startswith("n_left_out")]
    assert counts["n_records"] + sum(left_out) == len(train)


@pytest.mark.parametrize("method", ["full", "linear-probe"])
def test_partly_measured_label_is_trained_and_validated_on_what_is_known(
    tmp_path: Path, method: str
) -> None:
    manifest = toy_manifest(60)
    signals = toy_signals(manifest)
    changes: dict[str, Any] = {"epochs": 2}
    if method == "linear-probe":
        start, _ = run_toy(
            toy_request(tmp_path / "start", epochs=1), TrainingData(manifest, signals)
        )
        changes |= {"method": method, "pretrained": start}
    partly = _partly(manifest)
    folder, _ = run_toy(toy_request(tmp_path / "one", **changes), TrainingData(partly, signals))
    run = read_json(folder / RUN)
    known = partly.targets[partly.rows("train"), 1] != NOT_MEASURED
    assert run["labels"]["inverted"]["n_known_train"] == int(known.sum())
    assert math.isfinite(run["valid_loss"])
    trained = load_trained(folder)
    assert reproduce_validation_loss(trained, partly, signals) == pytest.approx(
        run["valid_loss"], rel=1e-4
    )
    predictions = read_validation_predictions(folder)
    valid = partly.targets[partly.rows("valid")]
    np.testing.assert_array_equal(predictions.target, valid)


def test_numbers_are_learned_and_predicted_in_their_units(tmp_path: Path) -> None:
    data, manifest = _numbers(200)
    request = toy_request(tmp_path, epochs=5, objective="mean-squared-error")
    folder, _ = run_toy(request, data)
    history = pd.read_csv(folder / "history.csv")
    assert "valid_macro_auroc" not in history
    assert history["valid_r2"].iloc[-1] > 0.5
    trained = load_trained(folder)
    config = trained.model.config
    train = manifest.targets[manifest.rows("train")].astype(np.float64)
    np.testing.assert_allclose(config.target_mean, np.nanmean(train, axis=0), rtol=1e-12)
    np.testing.assert_allclose(config.target_deviation, np.nanstd(train, axis=0), rtol=1e-12)
    assert trained.vocabulary == NUMBERS
    found = predict_records(trained, manifest, data.signals, manifest.rows("valid"))
    stored = read_validation_predictions(folder)
    np.testing.assert_allclose(found.score, stored.score, rtol=1e-4, atol=1e-3)
    assert 250 < np.median(found.score[:, 0]) < 800
    run = read_json(folder / RUN)
    assert run["labels"]["height"]["n_known_train"] == int((~np.isnan(train[:, 1])).sum())
    assert reproduce_validation_loss(trained, manifest, data.signals) == pytest.approx(
        run["valid_loss"], rel=1e-4
    )
    card = (folder / "README.md").read_text()
    assert "rate in bpm, height in mV" in card and f"R² {run['valid_r2']:.3f}" in card


def test_recording_is_the_mean_of_its_segments_in_the_unit() -> None:
    data, _ = _numbers(5)
    outputs = np.array([[-1, 0], [1, 2]] * 5, np.float32)
    regression = Regression((500.0, 0.0), (100.0, 0.5))
    found = validate_logits(replace(data, regression=regression), np.arange(5), outputs)
    np.testing.assert_allclose(found.predictions.score, [[500.0, 0.5]] * 5)


@pytest.mark.parametrize(
    ("objective", "is_of_numbers"), [("multi-label", True), ("exclusive", True), ("huber", False)]
)
def test_objective_that_does_not_fit_the_targets_is_refused(
    tmp_path: Path, objective: str, is_of_numbers: bool
) -> None:
    data, manifest = _numbers(20)
    if not is_of_numbers:
        manifest = toy_manifest(20)
        data = TrainingData(manifest, toy_signals(manifest))
    with pytest.raises(SettingsError, match=r"Set objective: (mean-squared-error or huber|multi)"):
        run_toy(toy_request(tmp_path, objective=objective), data)


@pytest.mark.parametrize(
    ("value", "message"), [(7.0, "no two different ones"), (np.nan, "has 0 measured values")]
)
def test_target_without_different_values_is_refused(value: float, message: str) -> None:
    data, manifest = _numbers(20)
    manifest.targets[:, 1] = value
    recipe = toy_request(Path(), objective="huber").recipe
    with pytest.raises(SettingsError, match=message):
        data.for_recipe(recipe)


def test_folds_of_numbers_are_refused(tmp_path: Path) -> None:
    _, manifest = _numbers(20)
    request = toy_request(tmp_path, objective="huber")
    with pytest.raises(SettingsError, match="Train one checkpoint"):
        fold_request(request, manifest, 1, n_folds=2, root=tmp_path, rare_labels="keep")


def test_manifest_of_numbers_is_stored_as_it_is(tmp_path: Path) -> None:
    _, manifest = _numbers(20)
    write_manifest(manifest, tmp_path / "manifest")
    found = read_manifest(tmp_path / "manifest")
    np.testing.assert_array_equal(found.targets, manifest.targets)
    assert found.vocabulary == NUMBERS
    table = pd.read_csv(tmp_path / "manifest" / "label_def.csv").set_index("name")
    train = manifest.targets[manifest.rows("train"), 1]
    assert table.loc["height", "known_count_train"] == int((~np.isnan(train)).sum())
    assert table.loc["height", "unit"] == "mV"


def test_manifest_of_numbers_is_not_taken_for_one_of_labels() -> None:
    _, manifest = _numbers(5)
    with pytest.raises(SchemaError, match="Build the manifests again"):
        replace(manifest, vocabulary=LabelVocabulary(("a", "b"), ("mean", "mean")))


def test_a_step_is_the_same_however_many_passes_it_takes(tmp_path: Path) -> None:
    """Of 56 segments with half the labels known, in a step's last pass fewer than in the others."""
    manifest = toy_manifest(35)
    data = TrainingData(partly_measured(manifest), toy_signals(manifest))
    found = []
    for n_passes in (1, 5):
        request = toy_request(
            tmp_path / str(n_passes),
            epochs=2,
            batch_size=30 // n_passes,
            gradient_accumulation=n_passes,
            activation_dropout=0.0,
        )
        folder, _ = run_toy(request, data)
        found.append((load_file(folder / WEIGHTS), pd.read_csv(folder / "history.csv")))
    (one, once), (several, passes) = found
    for name, value in several.items():
        torch.testing.assert_close(value, one[name], rtol=0, atol=2e-4, msg=name)
    np.testing.assert_allclose(passes["train_loss"], once["train_loss"], rtol=1e-5)


def test_a_request_of_several_passes_is_another_than_where_each_pass_counted_alike(
    tmp_path: Path,
) -> None:
    """One of a single pass is what it was."""
    assert "step" not in toy_request(tmp_path).identity
    assert toy_request(tmp_path, gradient_accumulation=2).identity["step"]
