"""Every weight of a file is mapped, dropped on purpose, or an error."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ecg_assets.errors import CheckpointError
from ecg_assets.labels.vocabulary import ECG_FM_LABELS, LabelVocabulary
from ecg_assets.lineage import fingerprint_file
from ecg_assets.models import EcgFm, import_fairseq, imported_folder, load_checkpoint
from ecg_assets.models.checkpoint import load_trained
from ecg_assets.models.ecg_fm.fairseq_config import read_architecture
from ecg_assets.models.ecg_fm.fairseq_file import FairseqFile, map_weights
from ecg_assets.preprocess import STANDARD_LEADS, SignalSpec
from ecg_assets.training.finetune.presets import PRESETS
from ecg_assets.training.finetune.starting_model import pretrained_model
from ecg_assets_tests.models.fairseq_checkpoints import (
    random_classifier,
    rewrite,
    write_finetuned,
    write_pretrained,
)

SIGNALS = torch.randn(2, 12, 640, generator=torch.Generator().manual_seed(1))
THREE = LabelVocabulary(("a", "b", "c"), ("mean",) * 3)


@torch.inference_mode()
def test_a_finetuned_file_and_its_folder_give_the_logits_of_the_model(tmp_path: Path) -> None:
    path = write_finetuned(tmp_path / "a.pt")
    expected = random_classifier()(SIGNALS).logits
    folder = import_fairseq(path, tmp_path / "folder", vocabulary=THREE)
    for found in (load_checkpoint(path), load_checkpoint(folder), load_trained(folder).model):
        torch.testing.assert_close(found(SIGNALS).logits, expected, rtol=0, atol=0)
        assert not found.training


@torch.inference_mode()
def test_a_pretrained_file_gives_features_and_no_logits(tmp_path: Path) -> None:
    path = write_pretrained(tmp_path / "a.pt")
    expected = random_classifier().encoder(SIGNALS)
    for source in (path, import_fairseq(path, tmp_path / "folder")):
        model = load_checkpoint(source)
        assert isinstance(model, EcgFm)
        found = model(SIGNALS)
        torch.testing.assert_close(found.last_hidden_state, expected, rtol=0, atol=0)
        torch.testing.assert_close(found.pooled, expected.mean(dim=1))


@torch.inference_mode()
def test_features_are_pooled_over_the_tokens_before_the_padding(tmp_path: Path) -> None:
    model = load_checkpoint(write_pretrained(tmp_path / "a.pt"))
    found = model(SIGNALS, lengths=torch.tensor([640, 384]))
    # Six convolutions of stride 2: a token is 64 samples.
    torch.testing.assert_close(found.pooled[0], found.last_hidden_state[0].mean(dim=0))
    torch.testing.assert_close(found.pooled[1], found.last_hidden_state[1, :6].mean(dim=0))


def test_the_report_names_every_weight_once(tmp_path: Path) -> None:
    path = write_pretrained(tmp_path / "a.pt")
    folder = import_fairseq(path, tmp_path / "folder")
    report = json.loads((folder / "import_report.json").read_text())
    told = [entry["from"] for entry in report["mapped"] + report["dropped"]]
    assert sorted(told) == sorted(torch.load(path, weights_only=True)["model"])
    assert [entry["from"] for entry in report["dropped"]] == ["mask_emb", "quantizer.vars"]
    assert {entry["to"] for entry in report["mapped"]} == set(load_checkpoint(folder).state_dict())
    assert (report["missing"], report["unexpected"], report["assumed"]) == ([], [], [])
    assert report["source"]["fingerprint"] == fingerprint_file(path)


def test_a_missing_and_an_unexpected_weight_are_named(tmp_path: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        del content["model"]["encoder.encoder.layers.0.fc2.bias"]
        content["model"]["encoder.adapter.weight"] = torch.zeros(1)

    path = write_finetuned(tmp_path / "a.pt", edit)
    match = r"missing encoder\.encoder\.layers\.0\.fc2\.bias; unexpected encoder\.adapter\.weight"
    with pytest.raises(CheckpointError, match=match):
        import_fairseq(path, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_an_unexpected_weight_alone_is_refused(tmp_path: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["model"]["encoder.adapter.weight"] = torch.zeros(1)

    path = write_finetuned(tmp_path / "a.pt", edit)
    with pytest.raises(CheckpointError, match=r"missing none; unexpected encoder\.adapter\.weight"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "name", ["encoder.feature_extractor.conv_layers.0.0.weight", "proj.weight", "proj.bias"]
)
def test_a_weight_that_tells_the_shape_is_named_when_missing(name: str, tmp_path: Path) -> None:
    path = write_finetuned(tmp_path / "a.pt", lambda content: content["model"].pop(name))
    with pytest.raises(CheckpointError, match=re.escape(name)):
        load_checkpoint(path)


def test_a_weight_of_another_shape_is_named(tmp_path: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["model"]["encoder.layer_norm.bias"] = torch.zeros(5)

    with pytest.raises(CheckpointError, match=r"size mismatch for encoder\.feature_projection"):
        load_checkpoint(write_finetuned(tmp_path / "a.pt", edit))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("_name", "ecg_language_transformer_classifier"),
        ("layer_norm_first", True),
        ("extractor_mode", "layer_norm"),
    ],
)
def test_another_architecture_is_refused_and_named(option: str, value: Any, tmp_path: Path) -> None:
    path = write_finetuned(
        tmp_path / "a.pt", lambda content: content["cfg"]["model"].update({option: value})
    )
    with pytest.raises(CheckpointError, match=f"another architecture than ECG-FM.*{option}"):
        load_checkpoint(path)


def test_configuration_and_head_must_have_as_many_labels(tmp_path: Path) -> None:
    path = write_finetuned(
        tmp_path / "a.pt", lambda content: content["cfg"]["model"].update(num_labels=5)
    )
    with pytest.raises(CheckpointError, match="states 5 labels, its head has 3"):
        load_checkpoint(path)


def test_a_pretrained_configuration_must_fit_its_weights(tmp_path: Path) -> None:
    path = write_pretrained(
        tmp_path / "a.pt", lambda content: content["cfg"]["model"].update(encoder_layers=3)
    )
    with pytest.raises(CheckpointError, match="belong to different models"):
        load_checkpoint(path)


def test_unknown_heads_come_from_the_pretrained_file_and_are_never_guessed(tmp_path: Path) -> None:
    def cut_to_one_layer(content: dict[str, Any]) -> None:
        weights = content["model"]
        for name in [name for name in weights if "layers.1." in name and "conv" not in name]:
            del weights[name]
        content["cfg"]["model"]["encoder_layers"] = 1

    def forget(content: dict[str, Any]) -> None:
        cut_to_one_layer(content)
        content["cfg"]["model"].update(encoder_layers=12, encoder_attention_heads=16)

    finetuned = write_finetuned(tmp_path / "finetuned.pt", forget)
    with pytest.raises(CheckpointError, match="does not tell its number of attention heads"):
        load_checkpoint(finetuned)
    pretrained = write_pretrained(tmp_path / "pretrained.pt", cut_to_one_layer)
    model = load_checkpoint(finetuned, pretrained=pretrained)
    assert (model.config.num_attention_heads, model.config.num_hidden_layers) == (4, 1)
    other = write_pretrained(tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="belong to different models"):
        load_checkpoint(finetuned, pretrained=other)


def test_what_was_assumed_is_in_the_report_and_on_the_card(tmp_path: Path) -> None:
    path = write_finetuned(
        tmp_path / "a.pt", lambda content: content["cfg"]["model"].update(encoder_layers=12)
    )
    folder = import_fairseq(path, tmp_path / "folder")
    (assumed,) = json.loads((folder / "import_report.json").read_text())["assumed"]
    assert assumed.startswith("4 attention heads")
    assert assumed in (folder / "README.md").read_text()


def test_old_weight_norm_names_are_read(tmp_path: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        start = "encoder.conv_pos.pos_conv.0."
        for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
            content["model"][start + old] = content["model"].pop(
                f"{start}parametrizations.weight.{new}"
            )

    found = load_checkpoint(write_finetuned(tmp_path / "a.pt", edit))
    with torch.inference_mode():
        torch.testing.assert_close(found(SIGNALS).logits, random_classifier()(SIGNALS).logits)


def test_half_precision_weights_become_float32(tmp_path: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["model"] = {name: value.half() for name, value in content["model"].items()}

    model = load_checkpoint(write_finetuned(tmp_path / "a.pt", edit))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_seventeen_labels_are_ecg_fms_and_other_numbers_have_no_names(tmp_path: Path) -> None:
    path = write_finetuned(tmp_path / "a.pt", n_labels=17)
    trained = load_trained(import_fairseq(path, tmp_path / "seventeen"))
    assert trained.vocabulary == ECG_FM_LABELS
    report = json.loads((tmp_path / "seventeen" / "import_report.json").read_text())
    assert report["label_vocabulary"] == report["signal_spec"] == "assumed to be ECG-FM's"
    assert trained.spec == SignalSpec(leads=STANDARD_LEADS, n_channels=12)
    folder = import_fairseq(write_finetuned(tmp_path / "b.pt"), tmp_path / "three")
    assert not (folder / "label_vocabulary.json").exists()
    report = json.loads((folder / "import_report.json").read_text())
    assert report["label_vocabulary"] == "unknown"


def test_labels_and_leads_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = write_finetuned(tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="3 outputs, its vocabulary 17 labels"):
        import_fairseq(path, tmp_path / "folder", vocabulary=ECG_FM_LABELS)
    with pytest.raises(CheckpointError, match="reads 12 channels, its signal spec gives 2"):
        import_fairseq(path, tmp_path / "folder", spec=SignalSpec(leads=("I", "II"), n_channels=2))
    with pytest.raises(CheckpointError, match="has no head"):
        import_fairseq(write_pretrained(tmp_path / "b.pt"), tmp_path / "folder", vocabulary=THREE)


def test_only_an_earlier_import_is_replaced(tmp_path: Path) -> None:
    path = write_finetuned(tmp_path / "a.pt")
    folder = tmp_path / "folder"
    folder.mkdir()
    import_fairseq(path, folder)
    import_fairseq(path, folder)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match="no earlier import"):
        import_fairseq(path, mine)
    assert (mine / "thesis.txt").exists()


def test_a_file_is_imported_once_and_again_when_it_changes(tmp_path: Path) -> None:
    path = write_pretrained(tmp_path / "a.pt")
    first = imported_folder(path, tmp_path / "cache")
    written = (first / "model.safetensors").stat().st_mtime_ns
    assert imported_folder(path, tmp_path / "cache") == first
    assert (first / "model.safetensors").stat().st_mtime_ns == written
    assert imported_folder(first, tmp_path / "cache") == first
    rewrite(path, lambda content: content["model"]["post_extract_proj.bias"].add_(1))
    assert imported_folder(path, tmp_path / "cache") != first
    with pytest.raises(CheckpointError, match="No pretrained checkpoint at"):
        imported_folder(tmp_path / "none", tmp_path / "cache")


@torch.inference_mode()
@pytest.mark.parametrize("write", [write_pretrained, write_finetuned])
def test_fine_tuning_starts_from_an_imported_file(write: Any, tmp_path: Path) -> None:
    folder = imported_folder(write(tmp_path / "a.pt"), tmp_path / "cache")
    model = pretrained_model(
        PRESETS["tiny"],
        SignalSpec(leads=("I",), n_channels=12),
        THREE,
        folder,
        fingerprint=fingerprint_file(folder / "model.safetensors"),
    )
    model.eval()
    signals = SIGNALS[:, :1].expand(-1, model.config.n_channels, -1)
    expected = random_classifier().encoder(SIGNALS[:, :1].expand(-1, 12, -1))
    torch.testing.assert_close(model.encoder(signals), expected, rtol=0, atol=1e-5)


@pytest.mark.reference
@pytest.mark.parametrize("kind", ["finetuned", "pretrained"])
def test_every_name_of_a_base_model_is_mapped(kind: str, reference_data: Path) -> None:
    """The golden names, repeated for 12 layers, with the shapes of the published model."""
    golden = reference_data / "fairseq_golden"
    names = json.loads((golden / "state_dict_shapes.json").read_text())[kind]
    state = {}
    for name, shape in names.items():
        for i in range(2, 12) if "layers.1." in name and "conv" not in name else ():
            state[name.replace("layers.1.", f"layers.{i}.")] = torch.empty(_base(name, shape))
        state[name] = torch.empty(_base(name, shape))
    model = {
        "_name": "ecg_transformer_classifier" if kind == "finetuned" else "wav2vec2_cmsc",
        "in_d": 12,
        "conv_feature_layers": "[(256, 2, 2)] * 4",
        "encoder_embed_dim": 768,
        "encoder_ffn_embed_dim": 3072,
        "encoder_layers": 12,
        "encoder_attention_heads": 12,
        "conv_pos": 128,
        "conv_pos_groups": 16,
    }
    file = FairseqFile(golden / "base.pt", {"model": model}, state, [], {}, {})
    config = read_architecture(file).config
    mapped = map_weights(state, config, finetuned=file.is_finetuned, where="base")
    n_encoder = sum(
        value.numel() for name, value in mapped.weights.items() if not name.startswith("head.")
    )
    assert n_encoder == 90_373_248
    assert len(mapped.names) + len(mapped.dropped) == len(state)


def _base(name: str, shape: list[int]) -> list[int]:
    """Scale a golden model's shape to the published model's."""
    if name.startswith(("quantizer", "project_q", "final_proj", "proj")):
        return [{64: 768, 32: 256}.get(size, size) for size in shape]
    if "pos_conv" in name:
        named = {"original0": [1, 1, 128], "original1": [768, 48, 128], "bias": [768]}
        return named[name.rsplit(".", 1)[-1]]
    return [{64: 768, 128: 3072, 32: 256}.get(size, size) for size in shape]


@pytest.mark.reference
def test_the_weights_of_ecg_lfm_are_not_taken_for_ecg_fms(
    reference_data: Path, tmp_path: Path
) -> None:
    weights = torch.load(reference_data / "ecglfm_golden" / "finetuned_tiny.pt", weights_only=True)[
        "model"
    ]

    def edit(content: dict[str, Any]) -> None:
        content["model"] = weights

    path = write_finetuned(tmp_path / "a.pt", edit)
    with pytest.raises(CheckpointError, match="not ECG-FM as fairseq-signals writes it"):
        import_fairseq(path, tmp_path / "folder")
    assert load_checkpoint(path).config.model_type == "ecg-lfm"


@pytest.mark.reference
def test_the_golden_files_are_imported_whole(reference_data: Path, tmp_path: Path) -> None:
    golden = reference_data / "fairseq_golden"
    for kind, n_dropped in (("finetuned", 0), ("pretrained", 8)):
        folder = import_fairseq(golden / f"{kind}_tiny.pt", tmp_path / kind)
        report = json.loads((folder / "import_report.json").read_text())
        names = json.loads((golden / "state_dict_shapes.json").read_text())[kind]
        found = {e["from"]: e["shape"] for e in report["mapped"] + report["dropped"]}
        assert found == names
        assert len(report["dropped"]) == n_dropped
    history = json.loads((tmp_path / "finetuned" / "fairseq.json").read_text())
    assert history["optimizer_history"][0]["num_updates"] == 8
    assert history["extra_state"]["val_loss"] == 1.606
    assert np.isclose(history["cfg"]["criterion"]["pos_weight"][1], 0.75)
