"""Whole trainings of the tiny model on toy recordings."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import Trainer

from ecg_assets.build import fingerprint_manifest, write_manifest
from ecg_assets.errors import CheckpointError, DiskFull, EcgAssetsError, SchemaError
from ecg_assets.models.checkpoint import load_trained
from ecg_assets.models.checkpoint_folder import (
    RUN,
    WEIGHTS,
    checkpoint_content_sha256,
    read_card,
    read_json,
    read_validation_predictions,
)
from ecg_assets.models.scoring import predict_records
from ecg_assets.models.seen_patients import read_seen_patients
from ecg_assets.training.engine import run, training
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.engine.run import describe_resumption, list_checkpoints, report_signals
from ecg_assets.training.finetune.finetune import finetune
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets.training.finetune.validate import (
    Validation,
    reproduce_validation_loss,
    validate_logits,
)
from ecg_assets_tests.build.cohort import make_cohort
from ecg_assets_tests.models.toy_recordings import toy_manifest, toy_signals
from ecg_assets_tests.training.finetune.toy_run import run_toy, toy_request
from ecg_assets_tests.training.killed_run import Events, Killed


@pytest.fixture(scope="module")
def data() -> TrainingData:
    manifest = toy_manifest(40)
    return TrainingData(manifest, toy_signals(manifest))


def _history(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "history.csv").drop(columns="seconds")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, data: TrainingData) -> Path:
    folder, _ = run_toy(toy_request(tmp_path_factory.mktemp("undisturbed")), data)
    return folder


def test_a_tiny_model_learns_two_toy_labels(tmp_path: Path) -> None:
    manifest = toy_manifest(200)
    data = TrainingData(manifest, toy_signals(manifest))
    folder, events = run_toy(toy_request(tmp_path, epochs=5), data)
    assert _history(folder)["valid_macro_auroc"].iloc[-1] > 0.9
    told = [event["event"] for event in events]
    assert told == ["start", *["epoch"] * 5, "finished"]


def test_the_folder_has_every_file_and_says_what_it_came_from(
    undisturbed: Path, data: TrainingData
) -> None:
    assert sorted(path.name for path in undisturbed.iterdir()) == [
        "README.md",
        "config.json",
        "curves.png",
        "history.csv",
        "label_vocabulary.json",
        "model.safetensors",
        "run.json",
        "seen_patients.parquet",
        "signal_spec.json",
        "validation_predictions.parquet",
    ]
    run = json.loads((undisturbed / "run.json").read_text())
    history = _history(undisturbed)
    assert run["valid_loss"] == history["valid_loss"].min()
    assert run["best_epoch"] == history["epoch"].iloc[int(history["valid_loss"].argmin())]
    assert run["inputs"] == {"manifests": "toy"}
    assert run["optimizer"] == "adamw"
    assert (run["machine"]["compile"], run["machine"]["n_processes"]) == ("auto", 1)
    assert run["splits"]["train"] == {"n_records": 32, "n_patients": 32, "n_segments": 64}
    n_fast = int(data.manifest.targets[data.rows("train"), 0].sum())
    assert run["labels"]["fast"]["n_positive_train"] == n_fast
    assert str(undisturbed.parent) not in json.dumps(run)
    card = read_card(undisturbed)
    assert (card.spec, card.vocabulary) == (data.manifest.spec, data.manifest.vocabulary)
    assert card.trained_on == data.manifest.made_with
    page = yaml.safe_load(ModelCard.load(undisturbed / "README.md").data.to_yaml())
    assert page["datasets"] == ["toy"]
    (measured,) = page["model-index"][0]["results"]
    assert measured["dataset"]["split"] == "validation"
    assert measured["metrics"][0]["value"] == run["valid_macro_auroc"]
    (stage,) = read_seen_patients(undisturbed).stages
    assert (stage.kind, stage.source, stage.name) == ("fine-tuning", "toy", undisturbed.name)
    learned = data.manifest.index.query("split != 'test'")["subject_id"]
    assert read_seen_patients(undisturbed).count(learned, "toy") == [learned.nunique()]
    test = data.manifest.index.query("split == 'test'")["subject_id"]
    assert read_seen_patients(undisturbed).count(test, "toy") == [0]


def test_the_loaded_checkpoint_reproduces_its_validation(
    undisturbed: Path, data: TrainingData
) -> None:
    trained = load_trained(undisturbed)
    loss = reproduce_validation_loss(trained, data.manifest, data.signals, device="cpu")
    assert loss == pytest.approx(read_card(undisturbed).run["valid_loss"], rel=1e-5)
    stored = read_validation_predictions(undisturbed)
    again = predict_records(trained, data.manifest, data.signals, data.rows("valid"), device="cpu")
    assert stored.record_ids.tolist() == again.record_ids.tolist()
    np.testing.assert_allclose(stored.score, again.score, rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory, data: TrainingData) -> Path:
    """Training folder of a run that ended in its third epoch."""
    request = toy_request(tmp_path_factory.mktemp("interrupted"))
    with pytest.raises(Killed):
        run_toy(request, data, killed_in_epoch=3)
    (work,) = (path for path in request.output_folder.iterdir() if path.is_dir())
    assert work.name == f".training-{request.request_id}"
    return work


def test_a_killed_run_continues_to_the_same_weights_bit_for_bit(
    undisturbed: Path, interrupted: Path, data: TrainingData, tmp_path: Path
) -> None:
    request = toy_request(tmp_path)
    shutil.copytree(interrupted, tmp_path / interrupted.name)
    folder, events = run_toy(request, data)
    assert events[0]["epochs_already_trained"] == 2
    assert [event["epoch"] for event in events if event["event"] == "epoch"] == [3, 4]
    assert (folder / WEIGHTS).read_bytes() == (undisturbed / WEIGHTS).read_bytes()
    assert checkpoint_content_sha256(folder) == checkpoint_content_sha256(undisturbed)
    assert read_card(folder).run["seconds"] != read_card(undisturbed).run["seconds"]
    pd.testing.assert_frame_equal(_history(folder), _history(undisturbed), check_exact=True)
    assert [path.name for path in tmp_path.iterdir()] == [request.checkpoint_id]


def test_a_cancelled_training_says_where_it_goes_on(interrupted: Path, tmp_path: Path) -> None:
    request = toy_request(tmp_path)
    assert describe_resumption(request).endswith("from the beginning, since no epoch was finished.")
    work = shutil.copytree(interrupted, tmp_path / interrupted.name)
    assert describe_resumption(request).endswith(
        f"it goes on after epoch 2 of {request.recipe.epochs}, which is kept in {work}."
    )
    other = describe_resumption(request, resumes=False)
    assert other.endswith("from the beginning, as its trainer does.")


def test_each_epoch_says_how_long_the_rest_takes(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that goes on by a minute a look."""
    clock = itertools.count(step=60.0)
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    _, events = run_toy(toy_request(tmp_path, epochs=2), data)
    left = [event["time_left"] for event in events if event["event"] == "epoch"]
    assert all(re.fullmatch(r"\d+:\d\d:\d\d", text) for text in left)
    assert left[0] != "0:00:00" and left[-1] == "0:00:00"


def test_reading_signals_is_reported_once_unless_it_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(run, "time", SimpleNamespace(monotonic=lambda: now))
    told: list[int] = []
    read = report_signals(lambda event: told.append(event["records_read"]))
    for shard in range(1, 51):
        read(shard, 50)
    assert told == [50]
    read = report_signals(lambda event: told.append(event["records_read"]))
    for shard in range(1, 51):
        now += 3.0
        read(shard, 50)
    assert told[1:4] == [4, 8, 12] and told[-1] == 50


def test_a_half_written_epoch_is_skipped(
    undisturbed: Path, interrupted: Path, data: TrainingData, tmp_path: Path
) -> None:
    request = toy_request(tmp_path)
    work = tmp_path / f".training-{request.request_id}"
    shutil.copytree(interrupted, work)
    _cut(list_checkpoints(work)[-1].folder / WEIGHTS)
    folder, events = run_toy(request, data)
    assert events[0]["half_written_checkpoints_removed"] == 1
    assert events[0]["epochs_already_trained"] == 1
    assert (folder / WEIGHTS).read_bytes() == (undisturbed / WEIGHTS).read_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "trainer_state.json").unlink(),
        lambda folder: _cut(folder / "trainer_state.json"),
        lambda folder: _cut(folder / "model.safetensors"),
        lambda folder: _cut(folder / "optimizer.pt"),
        lambda folder: (folder / "rng_state.pth").unlink(),
        lambda folder: folder.rename(folder.with_name("checkpoint-999")),
    ],
    ids=["no state", "half a state", "half weights", "half optimizer", "no generator", "name"],
)
def test_each_kind_of_half_written_checkpoint_is_found(
    damage: Callable[[Path], object], interrupted: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    shutil.copytree(interrupted, work)
    first, second = list_checkpoints(work)
    damage(second.folder)
    assert list_checkpoints(work) == [first]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_finished_checkpoint_is_not_trained_again(undisturbed: Path) -> None:
    request = toy_request(undisturbed.parent)

    def no_data(request: FinetuneRequest) -> TrainingData:
        raise AssertionError("opened the data")

    events: Events = []
    assert finetune(request, events.append, open_data=no_data) == undisturbed
    assert [event["event"] for event in events] == ["reused"]


def test_an_incomplete_folder_under_the_checkpoints_name_is_reported(
    data: TrainingData, tmp_path: Path
) -> None:
    request = toy_request(tmp_path)
    (tmp_path / request.checkpoint_id).mkdir()
    with pytest.raises(CheckpointError, match=r"lacks model\.safetensors"):
        run_toy(request, data)


def _script_losses(patch: pytest.MonkeyPatch, *losses: float) -> None:
    """Let validation in training find these losses, epoch by epoch."""
    remaining = iter(losses)

    def validate(*args: Any) -> Validation:
        return replace(validate_logits(*args), loss=next(remaining))

    patch.setattr("ecg_assets.training.finetune.finetune.validate_logits", validate)


# Without warm-up and decay, an epoch does not depend on how many follow.
PLAIN = {"schedule": "constant", "warmup_fraction": 0.0}


def test_the_best_epoch_is_kept_and_patience_ends_training(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _script_losses(monkeypatch, 0.9, 0.5, 0.7, 0.6, 0.1)
    folder, _ = run_toy(toy_request(tmp_path / "patient", epochs=9, patience=2, **PLAIN), data)
    assert _history(folder)["valid_loss"].tolist() == [0.9, 0.5, 0.7, 0.6]
    run = read_card(folder).run
    assert (run["best_epoch"], run["epochs_trained"], run["valid_loss"]) == (2, 4, 0.5)
    _script_losses(monkeypatch, 0.9, 0.5)
    two_epochs, _ = run_toy(toy_request(tmp_path / "short", epochs=2, **PLAIN), data)
    assert (folder / WEIGHTS).read_bytes() == (two_epochs / WEIGHTS).read_bytes()


def test_a_run_killed_after_its_early_end_is_not_trained_further(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = toy_request(tmp_path, epochs=9, patience=1, **PLAIN)
    _script_losses(monkeypatch, 0.5, 0.7)
    with monkeypatch.context() as patch:
        patch.setattr("ecg_assets.training.finetune.finetune.write_result", _kill)
        with pytest.raises(Killed):
            run_toy(request, data)
    folder, events = run_toy(request, data)
    assert [event["event"] for event in events] == ["start", "finished"]
    assert events[0]["epochs_already_trained"] == len(_history(folder)) == 2


def test_a_request_trains_from_the_stored_manifest_and_shards(tmp_path: Path) -> None:
    """Its one validation recording leaves every AUROC undefined."""
    cohort = make_cohort(tmp_path)
    write_manifest(cohort.manifest(), tmp_path / "manifests")
    request = FinetuneRequest.from_preset(
        "tiny",
        manifest_folder=tmp_path / "manifests",
        shard_folder=cohort.shards,
        cache_folder=tmp_path / "cache",
        output_folder=tmp_path / "checkpoints",
        inputs={"manifests": fingerprint_manifest(cohort.manifest())},
        device="cpu",
        epochs=1,
    )
    folder = finetune(request, lambda event: None)
    run = read_card(folder).run
    # a0 is too short for a second segment.
    assert run["splits"]["train"] == {"n_records": 4, "n_patients": 4, "n_segments": 7}
    assert run["valid_macro_auroc"] is None
    assert run["labels_without_auroc"] == ["Sinus rhythm", "Atrial flutter"]
    assert pd.read_csv(folder / "history.csv")["valid_macro_auroc"].isna().all()


def test_manifests_that_were_made_again_are_not_trained_on_under_the_former_ones_name(
    tmp_path: Path,
) -> None:
    cohort = make_cohort(tmp_path)
    manifest = cohort.manifest()
    request = toy_request(tmp_path, inputs={"manifests": fingerprint_manifest(manifest)}, epochs=1)
    places = {"manifest_folder": tmp_path / "manifests", "shard_folder": cohort.shards}
    write_manifest(replace(manifest, targets=1 - manifest.targets), tmp_path / "manifests")
    with pytest.raises(SchemaError, match="they were made again since"):
        finetune(request.changed(**places), lambda event: None)
    assert not list(tmp_path.glob("tiny-*"))


def _kill(*_: object, **__: object) -> None:
    raise Killed


def test_another_seed_gives_another_model(
    undisturbed: Path, data: TrainingData, tmp_path: Path
) -> None:
    folder, _ = run_toy(toy_request(tmp_path, seed=1, epochs=1), data)
    found = load_file(folder / WEIGHTS)["head.weight"]
    assert not found.equal(load_file(undisturbed / WEIGHTS)["head.weight"])


def test_training_that_diverges_stops_and_says_so(data: TrainingData, tmp_path: Path) -> None:
    weight = data.manifest.pos_weight.copy()
    data.manifest.pos_weight[:] = np.nan
    try:
        with pytest.raises(EcgAssetsError, match="Training diverged"):
            run_toy(toy_request(tmp_path), data)
    finally:
        data.manifest.pos_weight[:] = weight


def test_training_on_a_full_disk_says_so_and_goes_on_from_its_last_epoch(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = toy_request(tmp_path, epochs=2, n_workers=0)
    save = Trainer._save_optimizer_and_scheduler
    saved: list[str] = []

    def fail_in_the_second_epoch(self: Trainer, output_dir: str) -> None:
        saved.append(output_dir)
        if len(saved) == 2:  # what torch says of a disk that is full
            raise RuntimeError("basic_ios::clear: iostream error")
        save(self, output_dir)

    usage = shutil._ntuple_diskusage(1 << 30, 1 << 30, 0)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_save_optimizer_and_scheduler", fail_in_the_second_epoch)
        patch.setattr(shutil, "disk_usage", lambda _: usage)
        with pytest.raises(DiskFull, match=r"is full: 0\.0 MiB .* the same request goes on from"):
            run_toy(request, data)
    folder, events = run_toy(request, data)
    (start,) = [event for event in events if event["event"] == "start"]
    assert start["epochs_already_trained"] == 1
    assert read_json(folder / RUN)["epochs_trained"] == 2
