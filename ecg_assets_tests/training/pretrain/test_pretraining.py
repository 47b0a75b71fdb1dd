"""Whole pre-trainings of the tiny model on toy recordings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from ecg_assets.build import SignalCache, write_manifest
from ecg_assets.build.decoded_signals import OFFSETS, RATES, SAMPLES, SCALES
from ecg_assets.build.manifest import fingerprint_recordings
from ecg_assets.errors import CheckpointError, EcgAssetsError, SettingsError, SpecMismatch
from ecg_assets.lineage import fingerprint_file
from ecg_assets.models.checkpoint_folder import PRETRAINING_WEIGHTS, SEEN_PATIENTS, WEIGHTS
from ecg_assets.models.seen_patients import read_seen_patients
from ecg_assets.preprocess.z_score import integer_scales
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.finetune.finetune import finetune
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets.training.pretrain.pretrain import FILES, PretrainTrainer, pretrain
from ecg_assets_tests.build.cohort import make_cohort
from ecg_assets_tests.training.killed_run import Killed
from ecg_assets_tests.training.pretrain.toy_cohort import SPEC, toy_cohort
from ecg_assets_tests.training.pretrain.toy_run import run, toy_request

MEASURED = (
    *("loss", "contrastive", "diversity", "feature_penalty", "cmsc"),
    *("probability_perplexity", "code_perplexity"),
)


def _history(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "history.csv").drop(columns="seconds")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cohort: TrainingData) -> Path:
    folder, _ = run(toy_request(tmp_path_factory.mktemp("undisturbed")), cohort)
    return folder


def test_pre_training_lowers_the_loss_and_tells_patients_apart(
    tmp_path: Path, cohort: TrainingData
) -> None:
    request = toy_request(tmp_path, epochs=15, lead_mask_probability=0.0, dropout=0.0)
    folder, events = run(request, cohort)
    history = _history(folder)
    first, last = history.iloc[0], history.iloc[-1]
    assert last["train_loss"] < first["train_loss"] - 1
    assert last["valid_loss"] < first["valid_loss"] - 0.5
    # Eight patients in a batch of validation: chance is log 8 = 2.08.
    assert first["valid_cmsc"] > 1.9
    assert last["valid_cmsc"] < 1.6
    told = [event["event"] for event in events]
    assert told == ["start", *["epoch"] * 15, "finished"]


def test_the_folder_has_every_file_and_says_what_it_came_from(undisturbed: Path) -> None:
    assert {path.name for path in undisturbed.iterdir()} == {*FILES, SEEN_PATIENTS}
    history = _history(undisturbed)
    of_split = [f"{split}_{name}" for split in ("train", "valid") for name in MEASURED]
    assert list(history) == ["epoch", *of_split, "learning_rate"]
    run = json.loads((undisturbed / "run.json").read_text())
    best = history.iloc[int(history["valid_loss"].argmin())]
    assert run["best_epoch"] == best["epoch"]
    assert {name: run[f"valid_{name}"] for name in MEASURED} == {
        name: best[f"valid_{name}"] for name in MEASURED
    }
    # Recordings 0 and 1 are of one patient.
    assert run["splits"]["train"] == {
        "n_records": 32,
        "n_unlabelled": 0,
        "n_patients": 31,
        "n_pairs": 32,
    }
    assert run["optimizer"] == "adamw"
    assert run["machine"]["compile"] == "auto"
    assert run["trained_on"] == {"source": "toy"}
    assert str(undisturbed.parent) not in json.dumps(run)


def test_recordings_that_lack_labels_alone_are_read_and_counted(tmp_path: Path) -> None:
    cohort = make_cohort(tmp_path)
    manifest = cohort.manifest()
    write_manifest(manifest, tmp_path / "manifests")
    request = toy_request(tmp_path / "checkpoints", epochs=1).model_copy(
        update={
            "manifest_folder": tmp_path / "manifests",
            "shard_folder": cohort.shards,
            "cache_folder": tmp_path / "cache",
            "inputs": {"recordings": fingerprint_recordings(manifest)},
        }
    )
    folder = pretrain(request, lambda _: None)
    found = json.loads((folder / "run.json").read_text())["splits"]
    # a0 has one segment alone.
    train = {"n_records": 4, "n_unlabelled": 1, "n_patients": 4, "n_pairs": 4}
    assert found["train"] == train
    assert (found["valid"]["n_records"], found["valid"]["n_unlabelled"]) == (1, 0)
    without_labels = manifest.unlabelled["subject_id"]
    assert read_seen_patients(folder).count(without_labels, source="") == [1]


def test_the_logged_loss_is_the_weighted_sum_of_its_terms(undisturbed: Path) -> None:
    history = _history(undisturbed)
    for split in ("train", "valid"):
        expected = (
            history[f"{split}_contrastive"]
            + 0.1 * history[f"{split}_diversity"]
            + 10 * history[f"{split}_feature_penalty"]
            + history[f"{split}_cmsc"]
        )
        np.testing.assert_allclose(history[f"{split}_loss"], expected, rtol=1e-3)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory, cohort: TrainingData) -> Path:
    """Training folder of a run that ended in its third epoch."""
    request = toy_request(tmp_path_factory.mktemp("interrupted"))
    with pytest.raises(Killed):
        run(request, cohort, killed_in_epoch=3)
    (work,) = (path for path in request.output_folder.iterdir() if path.is_dir())
    assert work.name == f".training-{request.request_id}"
    return work


def test_an_interrupted_run_continues_to_the_same_weights_bit_for_bit(
    undisturbed: Path, interrupted: Path, cohort: TrainingData, tmp_path: Path
) -> None:
    shutil.copytree(interrupted, tmp_path / interrupted.name)
    folder, events = run(toy_request(tmp_path), cohort)
    assert events[0]["epochs_already_trained"] == 2
    assert [event["epoch"] for event in events if event["event"] == "epoch"] == [3, 4]
    _require_same(folder, undisturbed)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_a_killed_process_continues_to_the_same_weights(
    undisturbed: Path, cohort: TrainingData, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "ecg_assets_tests.training.pretrain.toy_run", str(tmp_path)]
    process = subprocess.Popen(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".training-*/checkpoint-*/trainer_state.json")):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert {path.name[:10] for path in tmp_path.iterdir()} == {".training-"}
    folder, _ = run(toy_request(tmp_path), cohort)
    _require_same(folder, undisturbed)


def _require_same(folder: Path, expected: Path) -> None:
    for name in (WEIGHTS, PRETRAINING_WEIGHTS):
        assert (folder / name).read_bytes() == (expected / name).read_bytes()
    pd.testing.assert_frame_equal(_history(folder), _history(expected), check_exact=True)


def test_worker_processes_make_the_same_batches(
    undisturbed: Path, cohort: TrainingData, tmp_path: Path
) -> None:
    # A worker that Python did not fork opens the files; it does not fork any more from 3.14 on.
    stored = _stored(cohort, tmp_path / "cache")
    folder, _ = run(toy_request(tmp_path, n_workers=2), stored)
    _require_same(folder, undisturbed)


def _stored(data: TrainingData, folder: Path) -> TrainingData:
    """The same data with their signals in the files of a cache."""
    folder.mkdir()
    signals = data.signals
    np.save(folder / SAMPLES, signals.samples)
    np.save(folder / OFFSETS, signals.offsets)
    np.save(folder / RATES, signals.sample_rates_hz)
    records = signals.samples.reshape(len(signals.sample_rates_hz), len(signals.leads), -1)
    np.save(folder / SCALES, np.stack([integer_scales(record) for record in records]))
    contents = {"leads": signals.leads, "scaled_samples": records.shape[-1]}
    (folder / "contents.json").write_text(json.dumps(contents))
    return replace(data, signals=replace(signals, folder=folder))


def test_bf16_comes_close_to_fp32(cohort: TrainingData, tmp_path: Path) -> None:
    losses = []
    for precision in ("bf16", "fp32"):
        folder, _ = run(toy_request(tmp_path, epochs=1, precision=precision), cohort)
        losses.append(_history(folder)["valid_loss"].iloc[0])
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_a_finished_checkpoint_is_not_trained_again(
    undisturbed: Path, cohort: TrainingData
) -> None:
    folder, events = run(toy_request(undisturbed.parent), cohort)
    assert folder == undisturbed
    assert [event["event"] for event in events] == ["reused"]


def test_an_incomplete_folder_under_the_checkpoints_name_is_reported(
    cohort: TrainingData, tmp_path: Path
) -> None:
    request = toy_request(tmp_path)
    (tmp_path / request.checkpoint_id).mkdir()
    with pytest.raises(CheckpointError, match=r"lacks model\.safetensors"):
        run(request, cohort)


def test_patience_ends_training(cohort: TrainingData, tmp_path: Path) -> None:
    """With no way down, as the learning rate is next to nothing, every epoch is like the first."""
    request = toy_request(tmp_path, epochs=9, patience=2, learning_rate=1e-30)
    folder, _ = run(request, cohort)
    assert len(_history(folder)) == 3


def test_another_seed_gives_another_model(
    undisturbed: Path, cohort: TrainingData, tmp_path: Path
) -> None:
    folder, _ = run(toy_request(tmp_path, seed=1), cohort)
    found, expected = (load_file(each / WEIGHTS) for each in (folder, undisturbed))
    name = "encoder.feature_projection.projection.weight"
    assert not found[name].equal(expected[name])


def test_the_gumbel_temperature_follows_the_optimizers_steps(
    cohort: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[float] = []

    def compute_loss(self: PretrainTrainer, model: Any, *args: Any, **values: Any) -> Any:
        found.append(model.quantizer.temperature)
        return original(self, model, *args, **values)

    original = PretrainTrainer.compute_loss
    monkeypatch.setattr(PretrainTrainer, "compute_loss", compute_loss)
    changes: dict[str, Any] = {"gumbel_decay": 0.9, "gradient_accumulation": 2, "batch_size": 8}
    run(toy_request(tmp_path, epochs=2, **changes), cohort)
    steps = [0, 0, 1, 1, 2, 2, 3, 3]
    assert found == pytest.approx([2 * 0.9**step for step in steps])


def test_all_weights_decay() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LayerNorm(2))
    names = PretrainTrainer.get_decay_parameter_names(None, model)  # type: ignore[arg-type]
    assert names == [name for name, _ in model.named_parameters()]


@pytest.mark.parametrize(
    ("preset", "change"),
    [
        ("ecg-lfm-tiny-pretrain", {}),
        ("tiny-pretrain", {"normalization": "none"}),
        ("tiny-pretrain", {"filter": "ecg-founder", "normalization": "z-score-all-leads"}),
        ("tiny-pretrain", {"sample_rate_hz": 250}),
    ],
)
def test_signals_of_another_kind_are_not_pre_trained_on(
    preset: str, change: dict[str, Any], cohort: TrainingData, tmp_path: Path
) -> None:
    other = replace(cohort.manifest, spec=replace(cohort.manifest.spec, **change))
    with pytest.raises(
        SpecMismatch, match=r"random weights, 3 channels; ECG-(.|\n)*ECG_SIGNAL_KIND"
    ):
        run(toy_request(tmp_path, preset=preset), replace(cohort, manifest=other))


def test_signals_of_one_channel_cannot_have_blanked_leads(tmp_path: Path) -> None:
    data = toy_cohort(10, leads=("I",))
    alone = replace(data.manifest, spec=replace(data.manifest.spec, n_channels=1))
    with pytest.raises(SettingsError, match=r"lead_mask_probability is 0\.5 for .* one channel"):
        run(toy_request(tmp_path), TrainingData(alone, data.signals))


class NoNumbers(SignalCache):
    """Signals that make every loss NaN."""

    def segments_at(self, rows: Any, numbers: Any, spec: Any) -> NDArray[np.float32]:
        return np.full_like(super().segments_at(rows, numbers, spec), np.nan)


def test_training_that_diverges_stops_and_says_so(cohort: TrainingData, tmp_path: Path) -> None:
    broken = TrainingData(cohort.manifest, NoNumbers(**vars(cohort.signals)))
    with pytest.raises(EcgAssetsError, match="Training diverged"):
        run(toy_request(tmp_path), broken)


@pytest.mark.parametrize("freeze", [False, True])
def test_fine_tuning_starts_from_the_pretrained_encoder(
    freeze: bool, undisturbed: Path, cohort: TrainingData, tmp_path: Path
) -> None:
    """With a learning rate of next to nothing it ends with the encoder it started from."""
    request = FinetuneRequest.from_preset(
        "tiny",
        manifest_folder=tmp_path,
        shard_folder=tmp_path,
        cache_folder=tmp_path,
        output_folder=tmp_path,
        inputs={"manifests": "toy"},
        pretrained=undisturbed,
        device="cpu",
        epochs=1,
        freeze_convolutions=freeze,
        learning_rate=1e-30,
    )
    assert request.inputs["pretrained"] == fingerprint_file(undisturbed / WEIGHTS)
    folder = finetune(request, lambda event: None, open_data=lambda _: cohort)
    found, expected = load_file(folder / WEIGHTS), load_file(undisturbed / WEIGHTS)
    assert set(found) - set(expected) == {"head.weight", "head.bias"}
    for name, value in expected.items():
        assert found[name].equal(value), name
    config = json.loads((folder / "config.json").read_text())
    assert (config["n_channels"], config["activation_dropout"]) == (SPEC.n_channels, 0.1)
