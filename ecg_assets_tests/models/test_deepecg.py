"""Files of DeepECG-SSL, which are fairseq-signals': read as they are, with their own meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ecg_assets.errors import CheckpointError
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models.checkpoint import load_trained
from ecg_assets.models.checkpoint_folder import PRETRAINING_WEIGHTS, read_json
from ecg_assets.models.deepecg.family import DEEPECG_SSL
from ecg_assets.models.deepecg.file import deepecg_labels, import_deepecg
from ecg_assets.models.deepecg.model import DeepEcg, DeepEcgForClassification, deepecg_config
from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.load import import_checkpoint_file, load_checkpoint
from ecg_assets.preprocess import STANDARD_LEADS, signal_spec_of_kind
from ecg_assets_tests.models.fairseq_checkpoints import (
    random_classifier,
    write_finetuned,
    write_pretrained,
)
from ecg_assets_tests.models.golden_published import families_that_recognize

SIGNAL = torch.randn(2, 12, 2500, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_a_file_of_77_outputs_is_read_and_says_what_they_mean(tmp_path: Path) -> None:
    path = write_finetuned(tmp_path / "wcr_77_classes.pt", n_labels=77)
    assert families_that_recognize(path) == ["deepecg-ssl"]
    expected = random_classifier(n_labels=77)(SIGNAL).logits
    folder = import_checkpoint_file(path, tmp_path / "folder")
    trained = load_trained(folder)
    assert isinstance(trained.model, DeepEcgForClassification)
    for model in (trained.model, load_checkpoint(path)):
        assert model(SIGNAL).logits.equal(expected)
    assert trained.vocabulary == deepecg_labels()
    assert trained.spec == DEEPECG_SSL.signal_spec(STANDARD_LEADS)
    assert (trained.spec.sample_rate_hz, trained.spec.segment_samples) == (250, 2500)
    report = read_json(folder / "import_report.json")
    assert report["label_vocabulary"] == "assumed to be DeepECG-SSL's"
    card = (folder / "README.md").read_text()
    assert "Montreal Heart Institute" in card
    assert "MIMIC" not in card


def test_a_deployment_of_ecg_fms_signals_is_not_taken_for_its_own(tmp_path: Path) -> None:
    path = write_finetuned(tmp_path / "a.pt", n_labels=77)
    other = signal_spec_of_kind("ecg-fm", leads=STANDARD_LEADS)
    found = load_trained(import_checkpoint_file(path, tmp_path / "folder", spec=other)).spec
    assert found == DEEPECG_SSL.signal_spec(STANDARD_LEADS)


@torch.inference_mode()
def test_its_encoder_and_classifiers_of_one_label_are_imported_by_name(tmp_path: Path) -> None:
    """Nothing in these files tells them from ECG-FM's."""
    base = write_pretrained(tmp_path / "base_ssl.pt")
    assert families_that_recognize(base) == ["ecg_fm"]
    folder = import_deepecg(base, tmp_path / "encoder")
    encoder = load_checkpoint(folder)
    assert isinstance(encoder, DeepEcg)
    expected = random_classifier().encoder(SIGNAL)
    assert encoder(SIGNAL).last_hidden_state.equal(expected)
    assert (folder / PRETRAINING_WEIGHTS).is_file()
    one = LabelVocabulary(("LVEF <= 40 %",), ("mean",))
    path = write_finetuned(tmp_path / "lvef.pt", n_labels=1)
    trained = load_trained(import_deepecg(path, tmp_path / "lvef", vocabulary=one))
    assert trained.vocabulary == one
    assert trained.spec.sample_rate_hz == 250


def test_a_classifier_that_does_not_tell_its_heads_asks_for_the_encoder(tmp_path: Path) -> None:
    """fairseq-signals builds the encoder of model.model_path, and leaves defaults in the file."""

    def forget(content: dict[str, Any]) -> None:
        content["cfg"]["model"] |= {"encoder_layers": 12, "model_path": "/weights/base_ssl.pt"}
        weights = content["model"]
        name = "encoder.encoder.layers.1."
        for one in [one for one in weights if one.startswith(name)]:
            del weights[one]

    path = write_finetuned(tmp_path / "a.pt", forget, n_labels=77)
    with pytest.raises(CheckpointError, match=r"model\.model_path: /weights/base_ssl\.pt"):
        import_deepecg(path, tmp_path / "folder")

    def shorten(content: dict[str, Any]) -> None:
        content["cfg"]["model"]["encoder_layers"] = 1
        for one in [one for one in content["model"] if one.startswith("encoder.layers.1.")]:
            del content["model"][one]

    base = write_pretrained(tmp_path / "base_ssl.pt", shorten)
    model = load_checkpoint(import_deepecg(path, tmp_path / "folder", pretrained=base))
    assert (model.config.num_attention_heads, model.config.num_hidden_layers) == (4, 1)


def test_the_labels_are_in_the_order_of_the_outputs() -> None:
    names = deepecg_labels().names
    assert len(set(names)) == 77
    # The first of its pipeline's patterns and the last, by the output that it takes each from.
    patterns = {
        15: "Sinusal",
        23: "Regular",
        16: "Monomorph",
        1: "QS complex in V1-V2-V3",
        57: "R complex in V5-V6",
        63: "T wave inversion (inferior - II, III, aVF)",
        73: "Left bundle branch block",
        35: "no_qrs",
    }
    assert {position: names[position] for position in patterns} == patterns


def test_it_has_the_size_of_ecg_fm() -> None:
    ours = deepecg_config("base", n_channels=12, n_labels=77).to_dict()
    theirs = ecg_fm_config("base", n_channels=12, n_labels=77).to_dict()
    assert {name for name in ours if ours[name] != theirs[name]} == {"model_type"}
