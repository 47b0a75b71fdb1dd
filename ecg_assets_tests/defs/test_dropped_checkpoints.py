"""What is put below checkpoints by hand is found when it is complete, imported, or refused."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from ecg_assets.defs.settings import Settings
from ecg_assets.dropped.checkpoints import (
    Dropped,
    explain_unusable,
    find_dropped,
    prepare_checkpoint,
    settle,
)
from ecg_assets.dropped.refused import is_refused, list_refused, refusals_kept
from ecg_assets.errors import CheckpointError, UnsafeCheckpoint
from ecg_assets.labels import ECG_FM_LABELS
from ecg_assets.lineage import fingerprint_file, fingerprint_folder
from ecg_assets.models.checkpoint import save_trained
from ecg_assets.models.ecg_fm.config import ecg_fm_config_of
from ecg_assets.models.ecg_fm.fairseq_export import export_fairseq
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.preprocess import SignalSpec
from ecg_assets_tests.models.fairseq_checkpoints import SHAPE


def _save_model(folder: Path, seed: int) -> Path:
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    config = ecg_fm_config_of(SHAPE, n_channels=1, n_labels=len(ECG_FM_LABELS))
    spec = SignalSpec(leads=("I",), n_channels=1)
    save_trained(folder, EcgFmForClassification(config), spec, ECG_FM_LABELS)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models as folders and as files of fairseq-signals."""
    root = tmp_path_factory.mktemp("made")
    for seed, name in enumerate(("one", "two")):
        export_fairseq(_save_model(root / name, seed), root / f"{name}.pt")
    return root


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=str(tmp_path / "data"))


def _tick(checkpoints: Path, cursor: str | None) -> tuple[list[str], str]:
    settled, cursor = settle(find_dropped(checkpoints), cursor)
    return [item.path.name for item in settled], cursor


def test_a_file_is_complete_when_it_is_unchanged_for_a_tick(checkpoints: Path) -> None:
    file = checkpoints / "model.pt"
    file.write_bytes(b"half")
    found, cursor = _tick(checkpoints, None)
    assert found == []
    file.write_bytes(b"half and the rest")
    found, cursor = _tick(checkpoints, cursor)
    assert found == []
    found, cursor = _tick(checkpoints, cursor)
    assert found == ["model.pt"]


def test_a_folder_is_complete_when_no_file_of_it_changes(made: Path, checkpoints: Path) -> None:
    shutil.copytree(made / "one", checkpoints / "one")
    spec = checkpoints / "one" / "signal_spec.json"
    content = spec.read_text()
    spec.unlink()
    _, cursor = _tick(checkpoints, None)
    spec.write_text(content)
    found, cursor = _tick(checkpoints, cursor)
    assert found == []
    assert _tick(checkpoints, cursor)[0] == ["one"]


def test_content_is_read_again_only_when_sizes_or_times_change(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = checkpoints / "model.pt"
    file.write_bytes(b"content")
    read: list[Path] = []

    def count(path: Path) -> str:
        read.append(path)
        return fingerprint_file(path)

    monkeypatch.setattr("ecg_assets.dropped.checkpoints.fingerprint_file", count)
    cursor = None
    for _ in range(5):
        _, cursor = _tick(checkpoints, cursor)
    assert read == [file]
    os.utime(file, (1, 1))
    for _ in range(3):
        _, cursor = _tick(checkpoints, cursor)
    assert read == [file, file]


def test_a_tick_reads_no_more_files_than_it_has_time_for(checkpoints: Path) -> None:
    for name in ("a.pt", "b.pt"):
        (checkpoints / name).write_bytes(b"content")
    _, cursor = _tick(checkpoints, None)
    settled, _ = settle(find_dropped(checkpoints), cursor, hashing_s=0.0)
    assert settled == []


def test_hidden_work_and_other_files_are_no_checkpoints(checkpoints: Path) -> None:
    (checkpoints / ".training-abc").mkdir()
    (checkpoints / "notes.txt").write_text("x")
    (checkpoints / "model.pt.part").write_text("x")
    (checkpoints / "empty").mkdir()
    assert find_dropped(checkpoints) == []


def test_a_file_is_imported_once_and_again_when_it_changes(made: Path, checkpoints: Path) -> None:
    shutil.copy(made / "one.pt", checkpoints / "model.pt")
    folder = prepare_checkpoint(checkpoints, "model")
    report = json.loads((folder / "import_report.json").read_text())
    assert report["source"]["name"] == "model.pt"
    assert report["source"]["fingerprint"] == fingerprint_file(made / "one.pt")
    weights = folder / "model.safetensors"
    first, written = fingerprint_file(weights), weights.stat().st_mtime_ns
    prepare_checkpoint(checkpoints, "model")
    assert weights.stat().st_mtime_ns == written
    shutil.copy(made / "two.pt", checkpoints / "model.pt")
    prepare_checkpoint(checkpoints, "model")
    assert fingerprint_file(weights) != first
    assert not [path for path in checkpoints.iterdir() if path.name.startswith(".")]


def test_a_bad_replacement_leaves_the_import_as_it_was(made: Path, checkpoints: Path) -> None:
    shutil.copy(made / "one.pt", checkpoints / "model.pt")
    folder = prepare_checkpoint(checkpoints, "model")
    before = fingerprint_folder(folder)
    content = (made / "two.pt").read_bytes()
    (checkpoints / "model.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="cut off or damaged"):
        prepare_checkpoint(checkpoints, "model")
    assert fingerprint_folder(folder) == before


def test_two_checkpoints_of_one_name_are_an_error_and_nothing_is_overwritten(
    made: Path, checkpoints: Path
) -> None:
    shutil.copytree(made / "one", checkpoints / "model")
    shutil.copy(made / "two.pt", checkpoints / "model.pt")
    before = fingerprint_folder(checkpoints)
    with pytest.raises(CheckpointError, match=r"model\.pt and the folder model .* rename"):
        prepare_checkpoint(checkpoints, "model")
    shutil.rmtree(checkpoints / "model")
    shutil.copy(made / "one.pt", checkpoints / "model.pth")
    with pytest.raises(CheckpointError, match=r"model\.pt and model\.pth"):
        prepare_checkpoint(checkpoints, "model")
    shutil.copytree(made / "one", checkpoints / "model")
    (checkpoints / "model.pth").unlink()
    assert fingerprint_folder(checkpoints) == before


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("touched-by-pickle",)


def _bad_files(made: Path, checkpoints: Path) -> dict[str, str]:
    """Write one file a fault; give what its refusal must say."""
    content = (made / "one.pt").read_bytes()
    (checkpoints / "truncated.pt").write_bytes(content[: len(content) // 2])
    (checkpoints / "page.pt").write_text("<html>404</html>")
    torch.save({"cfg": {"model": {}}, "model": {"w": _Runs()}}, checkpoints / "malicious.pt")
    (checkpoints / "pickle.pth").write_bytes(pickle.dumps(_Runs()))
    torch.save({"weights": torch.zeros(3)}, checkpoints / "other.pth")
    shutil.copytree(made / "one", checkpoints / "unknown")
    (checkpoints / "unknown" / "config.json").write_text('{"model_type": "bert"}')
    shutil.copytree(made / "one", checkpoints / "partial")
    (checkpoints / "partial" / "label_vocabulary.json").unlink()
    return {
        "truncated.pt": "cut off or damaged",
        "page.pt": "not a checkpoint",
        "malicious.pt": "could run code",
        "pickle.pth": "not a checkpoint",
        "other.pth": "known here",
        "unknown": "model_type 'bert'",
        "partial": "lacks label_vocabulary.json",
    }


def test_every_kind_of_bad_checkpoint_is_listed_with_its_reason(
    made: Path,
    checkpoints: Path,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = _bad_files(made, checkpoints)
    for name in expected:
        with (
            pytest.raises(CheckpointError),
            refusals_kept(settings.store, Path(name).stem),
        ):
            prepare_checkpoint(checkpoints, Path(name).stem)
    table = list_refused(settings.store).set_index("file")
    assert sorted(table.index) == sorted(expected)
    for name, text in expected.items():
        assert text in str(table.at[name, "reason"])
    assert not (tmp_path / "touched-by-pickle").exists()
    with pytest.raises(UnsafeCheckpoint):
        prepare_checkpoint(checkpoints, "malicious")


def test_a_refusal_holds_until_the_file_is_removed_or_good(
    made: Path, checkpoints: Path, settings: Settings
) -> None:
    file = checkpoints / "model.pt"
    file.write_text("bad")
    with pytest.raises(CheckpointError), refusals_kept(settings.store, "model"):
        prepare_checkpoint(checkpoints, "model")
    first = list_refused(settings.store)
    item = Dropped(file, fingerprint_file(file))
    os.utime(file, (1, 1))
    assert is_refused(settings.store, item)
    assert list_refused(settings.store).equals(first)
    content = file.read_bytes()
    file.unlink()
    assert list_refused(settings.store).empty
    file.write_bytes(content)
    os.utime(file, (1, 1))
    assert list_refused(settings.store).equals(first)
    shutil.copy(made / "one.pt", file)
    assert list_refused(settings.store).empty
    assert not is_refused(settings.store, Dropped(file, fingerprint_file(file)))
    with refusals_kept(settings.store, "model"):
        prepare_checkpoint(checkpoints, "model")
    assert list_refused(settings.store).empty


def test_a_name_that_is_no_longer_taken_twice_is_no_longer_refused(
    made: Path, checkpoints: Path, settings: Settings
) -> None:
    file, folder = checkpoints / "model.pt", checkpoints / "model"
    shutil.copy(made / "one.pt", file)
    shutil.copytree(made / "two", folder)
    with pytest.raises(CheckpointError), refusals_kept(settings.store, "model"):
        prepare_checkpoint(checkpoints, "model")
    item = Dropped(file, fingerprint_file(file))
    assert list_refused(settings.store)["file"].tolist() == ["model.pt"]
    assert is_refused(settings.store, item)
    shutil.rmtree(folder)
    assert list_refused(settings.store).empty
    assert not is_refused(settings.store, item)


def test_a_file_reads_what_this_deployment_reads_where_its_channels_fit(
    made: Path, checkpoints: Path
) -> None:
    """The file does not say it: one channel here, Lead I twelve times or a lead there."""
    shutil.copy(made / "one.pt", checkpoints / "model.pt")
    spec = SignalSpec(leads=("I",), n_channels=12)
    folder = prepare_checkpoint(checkpoints, "model", spec)
    assert json.loads((folder / "signal_spec.json").read_text()) == spec.to_json()
    report = json.loads((folder / "import_report.json").read_text())
    assert report["signal_spec"] == "given"
    shutil.rmtree(folder)
    prepare_checkpoint(checkpoints, "model", SignalSpec(leads=("I", "II"), n_channels=2))
    assert json.loads((folder / "signal_spec.json").read_text())["n_channels"] == 1


def test_a_name_that_cannot_be_a_partition_is_told(checkpoints: Path) -> None:
    assert "Rename it" in explain_unusable(Dropped(checkpoints / "a...b.pt"))
    assert explain_unusable(Dropped(checkpoints / "a.b.pt")) == ""
