from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch

from ecg_assets.errors import CheckpointError, UnsafeCheckpoint
from ecg_assets.labels.label_set import load_label_set
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models import imported_folder, load_checkpoint, load_trained
from ecg_assets.models.checkpoint_folder import PRETRAINING_WEIGHTS, read_json
from ecg_assets.models.ecg_lfm.file import import_ecg_lfm
from ecg_assets.models.ecg_lfm.model import EcgLfm
from ecg_assets.models.load import import_checkpoint_file
from ecg_assets.preprocess import STANDARD_LEADS, signal_spec_of_kind
from ecg_assets_tests.models.golden_ecg_lfm import tiny_lfm, write_lfm, write_pretrained_lfm

TWO = LabelVocabulary(("a", "b"), ("mean", "mean"))
STATED: dict[str, Any] = {
    "encoder_layers": 2,
    "encoder_embed_dim": 64,
    "encoder_ffn_embed_dim": 128,
    "encoder_attention_heads": 4,
    "depthwise_conv_kernel_size": 7,
    "conv_feature_layers": "[(16, 2, 2)] * 2 + [(32, 2, 2)] * 2 + [(32, 2, 1)] * 2",
}


@torch.inference_mode()
@pytest.mark.parametrize(("n_channels", "leads"), [(12, STANDARD_LEADS), (1, ("I",))])
def test_a_file_becomes_a_checkpoint_that_says_what_it_reads(
    n_channels: int, leads: tuple[str, ...], tmp_path: Path
) -> None:
    model = tiny_lfm(n_channels, n_labels=1)
    path = write_lfm(tmp_path / "a.pt", model, optimizer_history=[{"num_updates": 3}])
    folder = import_ecg_lfm(path, tmp_path / "folder")
    trained = load_trained(folder)
    assert trained.spec.leads == leads
    assert (trained.spec.normalization, trained.spec.segment_s) == ("none", 5.0)
    assert trained.vocabulary == load_label_set("myocardial-infarction").vocabulary
    signal = torch.randn(2, n_channels, 1001)
    expected = model(signal).logits
    for other in (trained.model, load_checkpoint(path), load_checkpoint(folder)):
        assert other(signal).logits.equal(expected)
    report = read_json(folder / "import_report.json")
    assert (report["kind"], report["writer"]) == ("fine-tuned", "ECG-LFM")
    assert report["signal_spec"] == report["label_vocabulary"] == "assumed to be ECG-LFM's"
    assert "strides (2, 2, 2, 2, 2, 2)" in report["assumed"][0]
    card = (folder / "README.md").read_text()
    assert "conformer layers of width 64" in card
    assert "None" not in card


def test_a_pretrained_file_becomes_an_encoder_with_its_heads_beside(tmp_path: Path) -> None:
    path = write_pretrained_lfm(tmp_path / "a.pt", tiny_lfm(12), config=STATED)
    folder = import_ecg_lfm(path, tmp_path / "folder")
    model = load_checkpoint(folder)
    assert isinstance(model, EcgLfm)
    # A shape does not tell the strides; the settings in the file do.
    assert tuple(model.config.conv_stride) == (2, 2, 2, 2, 1, 1)
    report = read_json(folder / "import_report.json")
    assert {entry["from"] for entry in report["dropped"]} == {"mask_emb", "mlm_proj.bias"}
    assert (folder / PRETRAINING_WEIGHTS).is_file()
    with pytest.raises(CheckpointError, match="pre-trained and has no head"):
        import_ecg_lfm(path, tmp_path / "other", vocabulary=TWO)
    with pytest.raises(CheckpointError, match=r"cannot be evaluated.*label_vocabulary"):
        import_checkpoint_file(path, tmp_path / "dropped")


def test_a_configuration_of_another_encoder_is_refused(tmp_path: Path) -> None:
    cfg = {"model": {**STATED, "encoder_layers": 3}}
    path = write_pretrained_lfm(tmp_path / "a.pt", tiny_lfm(12), cfg=cfg)
    with pytest.raises(CheckpointError, match="encoder_layers 3, not 2 as its weights have"):
        load_checkpoint(path)
    # That of a fine-tuned file often holds defaults, since its encoder's comes from elsewhere.
    load_checkpoint(write_lfm(tmp_path / "b.pt", tiny_lfm(12), cfg=cfg))


def test_a_classifier_is_evaluated_as_the_deployment_reads_it(tmp_path: Path) -> None:
    path = write_lfm(tmp_path / "a.pt", tiny_lfm(12, n_labels=1))
    spec = signal_spec_of_kind("raw", leads=STANDARD_LEADS, resampling="polyphase")
    assert load_trained(import_checkpoint_file(path, tmp_path / "a", spec=spec)).spec == spec
    other = signal_spec_of_kind("ecg-fm", leads=STANDARD_LEADS)
    found = load_trained(import_checkpoint_file(path, tmp_path / "b", spec=other)).spec
    assert found == signal_spec_of_kind("raw", leads=STANDARD_LEADS)


class _Attack:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("attacked",)


def test_code_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_lfm(tmp_path / "a.pt", tiny_lfm(), args=_Attack())
    with pytest.raises(UnsafeCheckpoint, match="mkdir"):
        import_ecg_lfm(path, tmp_path / "folder")
    assert [item.name for item in tmp_path.iterdir()] == ["a.pt"]


def _edited(
    path: Path, remove: str = "", added: Mapping[str, torch.Tensor] = MappingProxyType({})
) -> Path:
    write_lfm(path, tiny_lfm())
    content = torch.load(path, weights_only=True)
    content["model"].pop(remove, None)
    content["model"].update(added)
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("proj.weight", r"lacks one.*proj\.weight"),
        ("encoder.feature_extractor.conv_layers.0.0.weight", "lacks one"),
        ("encoder.encoder.layers.0.conv_module.depthwise_conv.weight", "lacks one"),
        ("encoder.encoder.layers.1.self_attn.linear_pos.weight", r"missing .*1\.self_attn.*pos"),
        ("encoder.encoder.layers.1.conv_module.batch_norm.running_var", "missing .*running_var"),
        ("encoder.encoder.layers.0.self_attn.pos_bias_u", "which are known here"),
    ],
)
def test_a_lacking_weight_is_named(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(_edited(tmp_path / "a.pt", remove=name))


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("encoder.adapter.weight", (3,), r"unexpected encoder\.adapter\.weight"),
        ("encoder.encoder.layers.0.ffn1.w_1.weight", (3,), "in another shape"),
        ("encoder.encoder.layers.1.ffn2.w_1.weight", (3, 3), "do not fit"),
    ],
)
def test_a_weight_of_another_model_is_refused(
    name: str, shape: tuple[int, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(_edited(tmp_path / "a.pt", added={name: torch.ones(shape)}))


def test_what_is_no_conformer_is_refused(tmp_path: Path) -> None:
    torch.save({"model": {"encoder.weight": torch.ones(3)}}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"no checkpoint of ECG-LFM.*conformer layers"):
        import_ecg_lfm(tmp_path / "a.pt", tmp_path / "folder")


def test_labels_and_leads_must_be_as_many_as_the_models(tmp_path: Path) -> None:
    path = write_lfm(tmp_path / "a.pt", tiny_lfm(n_channels=3, n_labels=3))
    with pytest.raises(CheckpointError, match="3 outputs, its vocabulary 2 labels"):
        import_ecg_lfm(path, tmp_path / "folder", vocabulary=TWO)
    with pytest.raises(CheckpointError, match="reads 3 channels"):
        import_ecg_lfm(
            path, tmp_path / "folder", spec=signal_spec_of_kind("raw", leads=STANDARD_LEADS)
        )
    folder = import_ecg_lfm(path, tmp_path / "folder")
    assert not (folder / "label_vocabulary.json").exists()
    assert not (folder / "signal_spec.json").exists()


def test_only_an_earlier_import_is_replaced_and_a_file_is_imported_once(tmp_path: Path) -> None:
    path = write_lfm(tmp_path / "a.pt", tiny_lfm())
    folder = import_ecg_lfm(path, tmp_path / "folder")
    assert import_ecg_lfm(path, folder) == folder
    (folder / "import_report.json").unlink()
    with pytest.raises(CheckpointError, match="no earlier import"):
        import_ecg_lfm(path, folder)
    cached = imported_folder(path, tmp_path / "cache")
    before = (cached / "model.safetensors").stat().st_mtime_ns
    assert imported_folder(path, tmp_path / "cache") == cached
    assert (cached / "model.safetensors").stat().st_mtime_ns == before
