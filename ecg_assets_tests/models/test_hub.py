"""Checkpoints named on the hub: a hub that is a local folder, and one that is out of reach."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import errors

from ecg_assets.defs.settings import Settings
from ecg_assets.errors import CheckpointError, SettingsError, UnsafeCheckpoint
from ecg_assets.lineage import fingerprint_file
from ecg_assets.models import imported_folder, load_checkpoint
from ecg_assets.models.checkpoint import save_trained
from ecg_assets.models.checkpoint_folder import (
    CONFIG,
    IMPORT_REPORT,
    MOST_BYTES,
    STARTED_FROM,
    WEIGHTS,
)
from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.models.hub import HubName, describe_origin, find_origin, local_checkpoint
from ecg_assets.training.engine.data import TrainingData
from ecg_assets_tests.models.golden_ecg_lfm import tiny_lfm, write_pretrained_lfm
from ecg_assets_tests.models.toy_recordings import SPEC, VOCABULARY, toy_manifest, toy_signals
from ecg_assets_tests.training.finetune.toy_run import run_toy, toy_request

FIRST, SECOND = "1" * 40, "2" * 40


class LocalHub:
    """Repositories that are folders: ``<root>/<owner>/<name>/<commit>``, the last one is new."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.newest = {"lab/ecg": FIRST}
        self.error: Exception | None = None
        self.damages = False
        self.calls: list[str] = []

    def folder(self, repository: str = "lab/ecg", commit: str = FIRST) -> Path:
        folder = self.root / repository / commit
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def model_info(self, repository: str, *, revision: str | None, files_metadata: bool) -> Any:
        self.calls.append(f"list {revision}")
        if self.error is not None:
            raise self.error
        assert files_metadata
        commit = self.newest[repository] if revision in (None, "main") else str(revision)
        folder = self.folder(repository, commit)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        siblings = [
            SimpleNamespace(
                rfilename=path.relative_to(folder).as_posix(),
                size=path.stat().st_size,
                lfs=SimpleNamespace(sha256=fingerprint_file(path)),
            )
            for path in files
        ]
        return SimpleNamespace(sha=commit, siblings=siblings)

    def download(self, repository: str, file: str, *, revision: str, local_dir: Path) -> str:
        self.calls.append(f"get {file}")
        target = local_dir / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.folder(repository, revision) / file, target)
        if self.damages:
            target.write_bytes(b"cut")
        return str(target)


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalHub:
    found = LocalHub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: found)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", found.download)
    return found


def _tiny() -> EcgFmForClassification:
    torch.manual_seed(3)
    return EcgFmForClassification(ecg_fm_config("tiny", n_channels=1, n_labels=2)).eval()


def test_a_file_is_fetched_once_read_safely_and_named_with_commit_and_hash(
    shared: LocalHub, tmp_path: Path
) -> None:
    write_pretrained_lfm(shared.folder() / "weights.pt", tiny_lfm())
    (shared.folder() / "README.md").write_text("which one")
    (shared.folder() / "train.py").write_text("raise SystemExit")
    path = local_checkpoint("hf:lab/ecg", tmp_path / "cache")
    assert path == tmp_path / "cache" / "lab--ecg" / FIRST / "weights.pt"
    assert shared.calls == ["list None", "get weights.pt"]
    origin = {
        "repository": "lab/ecg",
        "commit": FIRST,
        "files": {"weights.pt": fingerprint_file(path)},
    }
    assert describe_origin(path) == origin
    folder = imported_folder(path, tmp_path / "imported")
    assert json.loads((folder / IMPORT_REPORT).read_text())["source"]["hub"] == origin
    assert find_origin(folder) == origin
    # Without a network, and whatever the repository became.
    shared.newest["lab/ecg"], shared.error = SECOND, ConnectionError("no route to host")
    assert local_checkpoint("hf:lab/ecg", tmp_path / "cache") == path
    assert len(shared.calls) == 2


def test_a_name_stays_at_its_first_commit_until_another_is_asked_for(
    shared: LocalHub, tmp_path: Path
) -> None:
    for commit in (FIRST, SECOND):
        for name in ("a.pt", "deep/b.pth"):
            file = shared.folder(commit=commit) / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(commit + name)
    cache = tmp_path / "cache"
    first = local_checkpoint("hf:lab/ecg:a.pt", cache)
    shared.newest["lab/ecg"] = SECOND
    beside = local_checkpoint("hf:lab/ecg:deep/b.pth", cache)
    assert first.read_text() == FIRST + "a.pt"
    assert beside.read_text() == FIRST + "deep/b.pth"
    found = describe_origin(beside)
    assert found is not None and list(found["files"]) == ["deep/b.pth"]
    newest = local_checkpoint("hf:lab/ecg@main:a.pt", cache)
    assert newest.read_text() == SECOND + "a.pt"
    assert local_checkpoint("hf:lab/ecg:a.pt", cache) == first


def test_a_checkpoint_folder_is_fetched_whole_and_nothing_else_of_it(
    shared: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _tiny()
    save_trained(shared.folder(), model, SPEC, VOCABULARY)
    (shared.folder() / "modeling.py").write_text("raise SystemExit")
    (shared.folder() / "optimizer.pt").write_text("state")
    monkeypatch.setattr("ecg_assets.models.load.shared_cache", lambda: tmp_path / "cache")
    again = load_checkpoint("hf:lab/ecg")
    signal = torch.randn(2, 1, 300)
    with torch.inference_mode():
        assert again(signal).logits.equal(model(signal).logits)
    got = {call.removeprefix("get ") for call in shared.calls if call.startswith("get")}
    assert got == {WEIGHTS, CONFIG, "signal_spec.json", "label_vocabulary.json"}


def test_training_starts_from_it_and_its_record_says_from_where(
    shared: LocalHub, tmp_path: Path
) -> None:
    save_trained(shared.folder(), _tiny(), SPEC, VOCABULARY)
    start = imported_folder("hf:lab/ecg", tmp_path / "cache")
    manifest = toy_manifest(40)
    data = TrainingData(manifest, toy_signals(manifest))
    request = toy_request(tmp_path, pretrained=start, method="linear-probe", epochs=1)
    folder, _ = run_toy(request, data)
    run = json.loads((folder / "run.json").read_text())
    origin = run[STARTED_FROM]
    assert (origin["repository"], origin["commit"]) == ("lab/ecg", FIRST)
    assert origin["files"][WEIGHTS] == run["inputs"]["pretrained"]
    assert f"`hf:lab/ecg`, commit `{FIRST}`" in (folder / "README.md").read_text("utf-8")


def test_a_file_that_would_run_code_is_refused(shared: LocalHub, tmp_path: Path) -> None:
    torch.save({"model": Path("x")}, shared.folder() / "bad.pt")
    with pytest.raises(UnsafeCheckpoint, match="Path"):
        imported_folder("hf:lab/ecg:bad.pt", tmp_path / "cache")


def _refusal(kind: type[errors.HfHubHTTPError]) -> errors.HfHubHTTPError:
    answer: Any = SimpleNamespace(headers={}, request=None)
    return kind("refused", response=answer)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionError("no route"), "cannot be reached (ConnectionError: no route)"),
        (errors.OfflineModeIsEnabled("offline"), "cannot be reached (OfflineModeIsEnabled"),
        (_refusal(errors.HfHubHTTPError), "cannot be reached (HfHubHTTPError"),
        (_refusal(errors.GatedRepoError), "access on request. Ask for it at https://hugg"),
        (_refusal(errors.RepositoryNotFoundError), "no such repository, or it is private"),
        (_refusal(errors.RevisionNotFoundError), "it has no revision 'v9'"),
    ],
)
def test_what_the_hub_refuses_is_said_with_the_way_out(
    error: Exception, said: str, shared: LocalHub, tmp_path: Path
) -> None:
    shared.error = error
    with pytest.raises(CheckpointError, match=re.escape(said)) as found:
        local_checkpoint("hf:lab/ecg@v9", tmp_path)
    is_revision = isinstance(error, errors.RevisionNotFoundError)
    assert ("give its path in place of the name" in str(found.value)) != is_revision
    needs_token = isinstance(error, errors.RepositoryNotFoundError)  # a gated one, too
    assert ("HF_TOKEN" in str(found.value)) == needs_token


@pytest.mark.parametrize(
    ("files", "name", "said"),
    [
        (["a.pt", "b.pth"], "hf:lab/ecg", "2 files of weights, a.pt, b.pth; it does not say"),
        (["notes.txt"], "hf:lab/ecg", "0 files of weights, none of a known suffix"),
        (["a.pt"], "hf:lab/ecg:c.pt", "has no file c.pt; it has a.pt"),
    ],
)
def test_the_file_that_is_meant_must_be_clear(
    files: list[str], name: str, said: str, shared: LocalHub, tmp_path: Path
) -> None:
    for file in files:
        (shared.folder() / file).write_text(file)
    with pytest.raises(CheckpointError, match=said):
        local_checkpoint(name, tmp_path / "cache")


def test_a_damaged_or_endless_file_is_not_kept(
    shared: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shared.folder() / "a.pt").write_bytes(b"whole")
    shared.damages = True
    said = fingerprint_file(shared.folder() / "a.pt")
    with pytest.raises(CheckpointError, match=f"the hub says {said[:12]}"):
        local_checkpoint("hf:lab/ecg", tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.pt"))
    monkeypatch.setitem(MOST_BYTES, ".pt", 4)
    with pytest.raises(CheckpointError, match=r"a\.pt has 5 bytes; at most 4 are read"):
        local_checkpoint("hf:lab/ecg", tmp_path / "cache")


@pytest.mark.parametrize(
    "name",
    ["hf:ecg", "hf:lab/ecg:../x.pt", "hf:lab/ecg:/x.pt", "hf:../ecg", "hf:a/b/c", "hf:a/b:", "hf:"],
)
def test_other_forms_are_refused_before_anything_is_asked(
    name: str, shared: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CheckpointError, match="expected hf:owner/name"):
        local_checkpoint(name, tmp_path)
    assert shared.calls == []
    monkeypatch.setenv("ECG_PRETRAINED", name)
    with pytest.raises(SettingsError, match=r"ECG_PRETRAINED.*expected hf:owner/name"):
        Settings()


def test_a_path_stays_one_and_a_setting_takes_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert local_checkpoint(str(tmp_path), tmp_path / "cache") == tmp_path
    assert str(HubName.parse("hf:lab/ecg@v1:a/b.pt")) == "hf:lab/ecg@v1:a/b.pt"
    monkeypatch.setenv("ECG_PRETRAINED", "hf:lab/ecg")
    assert Settings().pretrained == "hf:lab/ecg"


@pytest.mark.parametrize("content", ['{"commit": 3}', "[]", '{"repository": "a", "files": {}}'])
def test_an_origin_that_was_not_written_here_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "hub.json").write_text(content)
    try:
        assert find_origin(tmp_path) is None
    except CheckpointError as error:
        assert "no JSON object" in str(error)
