"""ECG-LFM by the same training as ECG-FM: methods, batch norms, resuming."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

from ecg_assets.errors import CheckpointError, SettingsError, SpecMismatch
from ecg_assets.models import export_fairseq, load_trained
from ecg_assets.models.checkpoint_folder import WEIGHTS, read_validation_predictions
from ecg_assets.models.ecg_lfm.file import import_ecg_lfm
from ecg_assets.models.ecg_lfm.model import EcgLfmForClassification
from ecg_assets.models.scoring import predict_records
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.fairseq_signals.request import FairseqOptions
from ecg_assets.training.finetune.finetune import FinetuneTraining
from ecg_assets.training.finetune.presets import PRESETS, family_of_preset, label_set_of_preset
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets_tests.models.golden_ecg_lfm import tiny_lfm, write_pretrained_lfm
from ecg_assets_tests.models.toy_recordings import SPEC, in_millivolts, toy_manifest, toy_signals
from ecg_assets_tests.training.finetune.toy_run import run_toy
from ecg_assets_tests.training.killed_run import Killed

TOY = replace(SPEC, n_channels=1, normalization="none")
HEAD = {"head.weight", "head.bias"}


@pytest.fixture(scope="module")
def data() -> TrainingData:
    manifest = replace(toy_manifest(40), spec=TOY)
    return TrainingData(manifest, in_millivolts(toy_signals(manifest), TOY))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrained")
    path = write_pretrained_lfm(folder / "a.pt", tiny_lfm())
    return import_ecg_lfm(path, folder / "imported", spec=TOY)


def _request(folder: Path, **changes: Any) -> FinetuneRequest:
    values: dict[str, Any] = {"epochs": 3, "batch_size": 16, "device": "cpu", **changes}
    return FinetuneRequest.from_preset(
        "ecg-lfm-tiny",
        manifest_folder=folder,
        shard_folder=folder,
        cache_folder=folder,
        output_folder=folder,
        inputs={"manifests": "toy"},
        **values,
    )


@pytest.mark.parametrize("method", ["full", "linear-probe", "lora"])
def test_a_method_changes_just_what_it_trains(
    method: str, pretrained: Path, data: TrainingData, tmp_path: Path
) -> None:
    folder, _ = run_toy(_request(tmp_path, pretrained=pretrained, method=method), data)
    old, new = load_file(pretrained / WEIGHTS), load_file(folder / WEIGHTS)
    assert set(new) == set(old) | HEAD
    changed = {name for name in old if not old[name].equal(new[name])}
    linear = {
        name
        for name in old
        if name.endswith((*(f"linear_{part}.weight" for part in ("q", "k", "v", "out")),))
        or ("_dense.weight" in name and ".layers." in name)
    }
    # The statistics of batch norms change with the weights of the encoder, or not at all.
    assert changed == {"full": set(old), "linear-probe": set(), "lora": linear}[method]
    found = load_trained(folder)
    again = predict_records(found, data.manifest, data.signals, data.rows("valid"), device="cpu")
    np.testing.assert_allclose(
        read_validation_predictions(folder).score, again.score, rtol=0, atol=1e-6
    )


def test_peft_reads_the_adapters_that_stand_beside_the_merged_weights(
    pretrained: Path, data: TrainingData, tmp_path: Path
) -> None:
    request = _request(tmp_path, pretrained=pretrained, method="lora", epochs=1)
    folder, _ = run_toy(request, data)
    start = FinetuneTraining(
        request.changed(recipe=request.recipe.changed(method="full")), data
    ).build_model()
    assert isinstance(start, EcgLfmForClassification)
    adapted = PeftModel.from_pretrained(start, str(folder / "adapter")).eval()
    signal = torch.randn(3, 1, 300)
    with torch.inference_mode():
        found, expected = adapted(signal).logits, load_trained(folder).model(signal).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_killed_run_and_recomputed_activations_give_the_same_weights(
    data: TrainingData, tmp_path: Path
) -> None:
    undisturbed, _ = run_toy(_request(tmp_path / "a"), data)
    request = _request(tmp_path / "b")
    with pytest.raises(Killed):
        run_toy(request, data, killed_in_epoch=3)
    resumed, events = run_toy(request, data)
    assert events[0]["epochs_already_trained"] == 2
    assert (resumed / WEIGHTS).read_bytes() == (undisturbed / WEIGHTS).read_bytes()
    recomputed, _ = run_toy(_request(tmp_path / "c", gradient_checkpointing=True), data)
    assert (recomputed / WEIGHTS).read_bytes() == (undisturbed / WEIGHTS).read_bytes()


def test_the_toy_is_learned(data: TrainingData, tmp_path: Path) -> None:
    folder, _ = run_toy(_request(tmp_path, epochs=12), data)
    scores = read_validation_predictions(folder).score
    targets = data.manifest.targets[data.rows("valid")]
    assert roc_auc_score(targets, scores, average="macro") > 0.8


def test_frozen_convolutions_read_a_repeated_lead_once(data: TrainingData, tmp_path: Path) -> None:
    path = write_pretrained_lfm(tmp_path / "a.pt", tiny_lfm(12))
    repeated = replace(TOY, n_channels=12)
    folder = import_ecg_lfm(path, tmp_path / "imported", spec=repeated)
    twelve = TrainingData(replace(data.manifest, spec=repeated), data.signals)
    request = _request(tmp_path, pretrained=folder, freeze_convolutions=True)
    model = FinetuneTraining(request, twelve).build_model()
    assert (model.config.n_channels, model.config.folded_from) == (1, 12)


def test_standardized_signals_are_refused_for_weights_that_know_millivolts(
    data: TrainingData, tmp_path: Path
) -> None:
    path = write_pretrained_lfm(tmp_path / "a.pt", tiny_lfm())
    folder = import_ecg_lfm(path, tmp_path / "imported", spec=TOY)
    standardized = replace(data.manifest, spec=replace(TOY, normalization="z-score-per-lead"))
    with pytest.raises(SpecMismatch, match=r"normalization \(ECG_SIGNAL_KIND\).*=raw"):
        FinetuneTraining(
            _request(tmp_path, pretrained=folder), replace(data, manifest=standardized)
        ).build_model()


def test_fairseq_signals_trains_and_gets_no_conformer(tmp_path: Path) -> None:
    weights = (1.0, 1.0)
    with pytest.raises(SettingsError, match="'family': 'ecg-lfm'"):
        FairseqOptions.from_recipe(PRESETS["ecg-lfm-finetune"], pos_weight=weights, seed=1)
    with pytest.raises(CheckpointError, match="only ECG-FM can be exported"):
        export_fairseq(tiny_lfm(), tmp_path / "a.pt")


def test_presets_read_millivolts_and_the_published_one_tells_infarctions() -> None:
    for name in ("ecg-lfm-finetune", "ecg-lfm-tiny"):
        assert family_of_preset(name).name == PRESETS[name].family == "ecg-lfm"
        assert family_of_preset(name).signal_kind == "raw"
    assert label_set_of_preset("ecg-lfm-finetune") == "myocardial-infarction"
    assert label_set_of_preset("ecg-lfm-tiny") == "ecg-fm-17"
    published = PRESETS["ecg-lfm-finetune"]
    assert (published.learning_rate, published.batch_size) == (1e-6, 256)
    assert published.needs_pretrained
