"""Whole pre-trainings of the tiny ECG-LFM on toy recordings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from ecg_assets.models.checkpoint_folder import PRETRAINING_WEIGHTS, SEEN_PATIENTS, WEIGHTS
from ecg_assets.models.ecg_lfm.model import EcgLfm
from ecg_assets.models.load import load_checkpoint
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.finetune.finetune import finetune
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets.training.pretrain.pretrain import FILES
from ecg_assets.training.pretrain.request import PretrainRequest
from ecg_assets_tests.training.killed_run import Killed
from ecg_assets_tests.training.pretrain.toy_cohort import in_millivolts, toy_cohort
from ecg_assets_tests.training.pretrain.toy_run import run, toy_request

EPOCHS = 6


def _request(folder: Path) -> PretrainRequest:
    return toy_request(
        folder, preset="ecg-lfm-tiny-pretrain", epochs=EPOCHS, lead_mask_probability=0.0
    )


def _history(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "history.csv").drop(columns="seconds")


@pytest.fixture(scope="module")
def cohort() -> TrainingData:
    return in_millivolts(toy_cohort(40))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cohort: TrainingData) -> Path:
    folder, _ = run(_request(tmp_path_factory.mktemp("undisturbed")), cohort)
    return folder


def test_its_losses_fall_in_training_and_validation(undisturbed: Path) -> None:
    history = _history(undisturbed)
    first, last = history.iloc[0], history.iloc[-1]
    for split in ("train", "valid"):
        assert last[f"{split}_loss"] < first[f"{split}_loss"] - 0.5
        for term in ("cmsc", "masked_prediction"):
            assert last[f"{split}_{term}"] < first[f"{split}_{term}"] - 0.1


def test_the_logged_loss_is_the_weighted_sum_of_its_terms(undisturbed: Path) -> None:
    history = _history(undisturbed)
    for split in ("train", "valid"):
        expected = (
            history[f"{split}_contrastive"]
            + 0.1 * history[f"{split}_diversity"]
            + 10 * history[f"{split}_feature_penalty"]
            + history[f"{split}_cmsc"]
            + history[f"{split}_masked_prediction"]
        )
        np.testing.assert_allclose(history[f"{split}_loss"], expected, rtol=1e-3)


def test_the_folder_has_its_heads_by_the_names_of_its_authors(undisturbed: Path) -> None:
    assert {path.name for path in undisturbed.iterdir()} == {*FILES, SEEN_PATIENTS}
    heads = load_file(undisturbed / PRETRAINING_WEIGHTS)
    assert heads["mlm_proj.weight"].shape == (32, 64)
    record = json.loads((undisturbed / "run.json").read_text())
    assert record["request"]["recipe"]["family"] == "ecg-lfm"
    assert record["valid_masked_prediction"] > 0
    assert isinstance(load_checkpoint(undisturbed), EcgLfm)


def test_an_interrupted_run_continues_to_the_same_weights_bit_for_bit(
    undisturbed: Path, cohort: TrainingData, tmp_path: Path
) -> None:
    """The statistics of its batch norms included."""
    with pytest.raises(Killed):
        run(_request(tmp_path), cohort, killed_in_epoch=EPOCHS - 1)
    folder, events = run(_request(tmp_path), cohort)
    assert events[0]["epochs_already_trained"] == EPOCHS - 2
    for name in (WEIGHTS, PRETRAINING_WEIGHTS):
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes()
    pd.testing.assert_frame_equal(_history(folder), _history(undisturbed), check_exact=True)


def test_a_linear_probe_starts_from_it(
    undisturbed: Path, cohort: TrainingData, tmp_path: Path
) -> None:
    request = FinetuneRequest.from_preset(
        "ecg-lfm-tiny",
        manifest_folder=tmp_path,
        shard_folder=tmp_path,
        cache_folder=tmp_path,
        output_folder=tmp_path,
        inputs={"manifests": "toy"},
        pretrained=undisturbed,
        device="cpu",
        epochs=1,
        method="linear-probe",
    )
    folder = finetune(request, lambda event: None, open_data=lambda _: cohort)
    found, expected = load_file(folder / WEIGHTS), load_file(undisturbed / WEIGHTS)
    assert set(found) - set(expected) == {"head.weight", "head.bias"}
    assert all(found[name].equal(value) for name, value in expected.items())
