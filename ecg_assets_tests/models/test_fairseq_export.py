"""What is exported is what fairseq-signals wrote, or opens there."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ecg_assets.errors import CheckpointError
from ecg_assets.models import EcgFm, export_fairseq, import_fairseq, load_checkpoint
from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.models.fold import fold_lead_one
from ecg_assets_tests.models.fairseq_checkpoints import (
    random_classifier,
    write_finetuned,
    write_pretrained,
)

LEAD = torch.randn(2, 1, 640, generator=torch.Generator().manual_seed(1))


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def _assert_same_weights(found: Path, expected: dict[str, torch.Tensor]) -> None:
    weights = _read(found)["model"]
    assert weights.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(weights[name], value), name
        assert weights[name].dtype == value.dtype


@torch.inference_mode()
def test_an_exported_model_is_read_back_with_the_same_logits(tmp_path: Path) -> None:
    model = random_classifier()
    path = export_fairseq(model, tmp_path / "a.pt")
    signals = LEAD.expand(-1, 12, -1)
    torch.testing.assert_close(
        load_checkpoint(path)(signals).logits, model(signals).logits, rtol=0, atol=0
    )


@torch.inference_mode()
def test_a_folded_model_is_exported_with_its_twelve_channels(tmp_path: Path) -> None:
    model = random_classifier()
    expected = model(LEAD.expand(-1, 12, -1)).logits
    path = export_fairseq(fold_lead_one(model), tmp_path / "a.pt")
    exported = load_checkpoint(path)
    assert exported.config.n_channels == _read(path)["cfg"]["model"]["in_d"] == 12
    torch.testing.assert_close(
        exported(LEAD.expand(-1, 12, -1)).logits, expected, rtol=0, atol=1e-5
    )
    assert model.config.n_channels == 1, "the export changed the model"


def test_the_same_model_gives_the_same_file(tmp_path: Path) -> None:
    paths = [export_fairseq(random_classifier(), tmp_path / name) for name in ("a.pt", "b.pt")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_model_of_one_channel_stays_one(tmp_path: Path) -> None:
    path = export_fairseq(random_classifier(n_channels=1), tmp_path / "a.pt")
    assert load_checkpoint(path).config.n_channels == 1


@pytest.mark.parametrize("write", [write_finetuned, write_pretrained])
def test_there_and_back_again_changes_nothing(write: Any, tmp_path: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["cfg"]["task"]["data"] = "/data/of/its/own"
        content["cfg"]["criterion"]["pos_weight"] = [0.5, float("inf")]
        content["optimizer_history"][0]["num_updates"] = 41

    path = write(tmp_path / "a.pt", edit)
    expected = _read(path)
    folder = import_fairseq(path, tmp_path / "folder")
    for found in (
        export_fairseq(folder, tmp_path / "from_folder.pt"),
        export_fairseq(load_checkpoint(path), tmp_path / "from_model.pt", like=path),
    ):
        _assert_same_weights(found, expected["model"])
        content = _read(found)
        assert list(content) == list(expected)
        for name in ("args", "cfg", "criterion", "optimizer_history", "task_state", "extra_state"):
            assert content[name] == expected[name], name


def test_a_new_head_takes_over_the_frame_of_an_old_one(tmp_path: Path) -> None:
    like = write_finetuned(tmp_path / "like.pt", n_labels=17)
    path = export_fairseq(random_classifier(n_labels=3), tmp_path / "a.pt", like=like)
    assert _read(path)["cfg"]["model"]["num_labels"] == 3
    assert load_checkpoint(path).config.num_labels == 3


def test_a_frame_of_another_model_is_refused(tmp_path: Path) -> None:
    model = random_classifier()
    with pytest.raises(CheckpointError, match=r"is a classifier, .* holds a pre-trained encoder"):
        export_fairseq(model, tmp_path / "a.pt", like=write_pretrained(tmp_path / "like.pt"))
    like = write_finetuned(tmp_path / "like.pt")
    other = random_classifier(n_channels=2)
    with pytest.raises(CheckpointError, match=r"conv_layers\.0\.0\.weight .* instead of \(16, 2"):
        export_fairseq(other, tmp_path / "a.pt", like=like)
    assert not (tmp_path / "a.pt").exists()


@torch.inference_mode()
def test_without_a_projection_only_the_identity_is_exported(tmp_path: Path) -> None:
    """fairseq-signals builds none where the convolutions are as wide as the encoder."""
    model = EcgFmForClassification(ecg_fm_config("tiny", n_channels=12, n_labels=3)).eval()
    with pytest.raises(CheckpointError, match="builds none there"):
        export_fairseq(model, tmp_path / "a.pt")
    projection = model.encoder.feature_projection.projection
    projection.weight.copy_(torch.eye(64))
    projection.bias.zero_()
    path = export_fairseq(model, tmp_path / "a.pt")
    assert not [name for name in _read(path)["model"] if "post_extract_proj" in name]
    signals = LEAD.expand(-1, 12, -1)
    torch.testing.assert_close(
        load_checkpoint(path)(signals).logits, model(signals).logits, rtol=0, atol=0
    )


def test_an_encoder_needs_what_only_pre_training_uses(tmp_path: Path) -> None:
    encoder = EcgFm(random_classifier().config)
    with pytest.raises(CheckpointError, match="code book"):
        export_fairseq(encoder, tmp_path / "a.pt")


@pytest.mark.reference
@pytest.mark.parametrize("kind", ["finetuned", "pretrained"])
def test_golden_files_come_back_as_fairseq_signals_wrote_them(
    kind: str, reference_data: Path, tmp_path: Path
) -> None:
    path = reference_data / "fairseq_golden" / f"{kind}_tiny.pt"
    # Trusted: it is part of the test data.
    expected = torch.load(path, weights_only=False)
    found = export_fairseq(import_fairseq(path, tmp_path / "folder"), tmp_path / "a.pt")
    _assert_same_weights(found, expected["model"])
    content = _read(found)
    assert expected.keys() - content.keys() <= {"last_optimizer_state"}
    for name in ("args", "cfg", "criterion", "optimizer_history", "task_state"):
        assert content[name] == expected[name], name
    assert expected["extra_state"].keys() - content["extra_state"].keys() == {"metrics"}


@pytest.mark.reference
def test_a_configuration_of_ours_has_the_options_of_fairseq_signals(
    reference_data: Path, tmp_path: Path
) -> None:
    path = reference_data / "fairseq_golden" / "finetuned_tiny.pt"
    theirs = torch.load(path, weights_only=False)["cfg"]
    ours = _read(export_fairseq(load_checkpoint(path), tmp_path / "a.pt"))["cfg"]
    assert theirs.keys() - ours.keys() == {"job_logging_cfg"}
    for section in ours:
        if isinstance(ours[section], dict):
            assert ours[section].keys() == theirs[section].keys(), section


@pytest.mark.reference
def test_a_pretraining_of_ours_gets_a_configuration_with_its_shapes(
    reference_data: Path, tmp_path: Path
) -> None:
    path = reference_data / "fairseq_golden" / "pretrained_tiny.pt"
    folder = import_fairseq(path, tmp_path / "folder")
    (folder / "fairseq.json").unlink()  # A pre-training of ours has none.
    theirs = torch.load(path, weights_only=False)
    found = export_fairseq(folder, tmp_path / "a.pt")
    _assert_same_weights(found, theirs["model"])
    ours = _read(found)["cfg"]
    assert {name: set(ours[name]) for name in ("model", "task", "criterion", "optimizer")} == {
        name: set(theirs["cfg"][name]) for name in ("model", "task", "criterion", "optimizer")
    }
    # 0 means final_dim there; layers are a list instead of a product; the data are elsewhere.
    differ = {name for name in ours["model"] if ours["model"][name] != theirs["cfg"]["model"][name]}
    assert differ == {"latent_dim", "conv_feature_layers", "data"}
    assert isinstance(load_checkpoint(found), EcgFm)


@pytest.mark.fairseq
def test_fairseq_signals_loads_the_export_with_the_same_logits(tmp_path: Path) -> None:
    python = os.environ.get("FAIRSEQ_SIGNALS_PYTHON")
    if not python:
        pytest.skip("FAIRSEQ_SIGNALS_PYTHON names no interpreter with fairseq-signals")
    model = random_classifier()
    with torch.inference_mode():
        expected = model(LEAD.expand(-1, 12, -1)).logits.numpy()
    path = export_fairseq(fold_lead_one(model), tmp_path / "a.pt")
    np.save(tmp_path / "signals.npy", LEAD.expand(-1, 12, -1).numpy())
    script = Path(__file__).with_name("load_by_fairseq.py")
    command = [python, str(script), str(path), str(tmp_path / "signals.npy")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout.splitlines()[-1])
    np.testing.assert_allclose(found["logits"], expected, atol=1e-5, rtol=0)
    assert found["epoch"] == 1
