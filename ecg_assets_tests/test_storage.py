from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from ecg_assets.errors import CheckpointError, DiskFull
from ecg_assets.storage import allocate, explain_full_disk, replace_file, replace_folder


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    path.write_text("old")
    with pytest.raises(RuntimeError), replace_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_replaced_folder_holds_only_the_new_files(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "stale.tsv").write_text("old")
    with replace_folder(folder) as temporary:
        (temporary / "train.tsv").write_text("new")
    assert [path.name for path in folder.iterdir()] == ["train.tsv"]
    assert list(tmp_path.iterdir()) == [folder]


def test_failed_folder_write_leaves_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "train.tsv").write_text("old")
    with pytest.raises(RuntimeError), replace_folder(folder) as temporary:
        (temporary / "train.tsv").write_text("half")
        raise RuntimeError
    assert (folder / "train.tsv").read_text() == "old"


def _kill_while_writing(target: Path, program: str) -> None:
    """Run a writer of the target in another process, which kills itself half-way."""
    lines = (
        "import os, signal, sys",
        "from pathlib import Path",
        "from ecg_assets.storage import replace_file, replace_folder",
        "path = Path(sys.argv[1])",
        program,
    )
    result = subprocess.run([sys.executable, "-c", "\n".join(lines), str(target)], check=False)
    assert result.returncode == -signal.SIGKILL


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    _kill_while_writing(
        path,
        "with replace_file(path) as t:\n    t.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)",
    )
    assert not path.exists()
    assert len(list(tmp_path.iterdir())) == 1
    with replace_file(path) as temporary:
        temporary.write_text("whole")
    assert list(tmp_path.iterdir()) == [path]


def test_old_folder_comes_back_when_its_new_version_never_arrived(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "x").write_text("whole")
    _kill_while_writing(
        folder,
        "Path.rename = (lambda rename: lambda self, to: (rename(self, to),"
        " os.kill(os.getpid(), signal.SIGKILL)))(Path.rename)\n"
        "with replace_folder(path) as t:\n    (t / 'x').write_text('new')",
    )
    assert not folder.exists()
    with pytest.raises(RuntimeError), replace_folder(folder):
        raise RuntimeError
    assert (folder / "x").read_text() == "whole"


def test_a_running_writer_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with replace_file(path) as first:
        first.write_text("first")
        with replace_file(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"


def test_files_of_a_folder_are_readable_for_those_who_may_read_the_folder(tmp_path: Path) -> None:
    """Weights that safetensors wrote cannot be read by colleagues otherwise."""
    before = os.umask(0o022)
    try:
        with replace_folder(tmp_path / "checkpoint") as folder:
            save_file({"a": torch.zeros(1)}, folder / "model.safetensors")
            (folder / "private").touch(mode=0o640)
    finally:
        os.umask(before)
    modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "checkpoint").iterdir()}
    assert modes == {"model.safetensors": 0o644, "private": 0o640}


def test_two_writers_of_a_folder_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "shared"

    def write(number: int) -> None:
        for _ in range(30):
            with replace_folder(path) as temporary:
                (temporary / "x").write_text(str(number))

    with ThreadPoolExecutor(4) as writers:
        list(writers.map(write, range(4)))
    assert (path / "x").read_text() in {"0", "1", "2", "3"}
    assert list(tmp_path.iterdir()) == [path]


def test_what_another_writer_moved_aside_is_not_replaced_by_an_older_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two moves of another writer there is nothing at the path for a moment."""
    path, others = tmp_path / "shared", tmp_path / "moved by another"
    path.mkdir()
    remove = shutil.rmtree

    def another_begins(folder: Path, ignore_errors: bool) -> None:
        if path.exists():
            path.rename(others)
        remove(folder, ignore_errors=ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", another_begins)
    with replace_folder(path) as temporary:
        (temporary / "x").write_text("new")
    assert (others / "x").read_text() == "new"
    assert list(tmp_path.iterdir()) == [others]


def test_a_version_put_back_does_not_disturb_another_writers(tmp_path: Path) -> None:
    path = tmp_path / "shared"
    path.mkdir()
    with pytest.raises(KeyError), replace_folder(path):
        [aside] = [one for one in tmp_path.iterdir() if one != path]
        old = aside.with_suffix(".old")
        path.rename(old)
        path.mkdir()
        (path / "x").write_text("another's")
        raise KeyError
    assert (path / "x").read_text() == "another's"
    assert list(tmp_path.iterdir()) == [path]


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "error",
    [
        FULL,
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        ),
    ],
)
def test_full_disk_is_one_sentence_and_the_old_version_stays(
    tmp_path: Path, error: Exception
) -> None:
    file, folder = tmp_path / "table.parquet", tmp_path / "manifests"
    file.write_text("old")
    folder.mkdir()
    (folder / "x").write_text("old")
    for replace, path in ((replace_file, file), (replace_folder, folder)):
        with pytest.raises(DiskFull) as caught, replace(path):
            raise error
        said = str(caught.value)
        assert f"The disk of {tmp_path} is full: " in said and " MiB are free there. " in said
        assert f"What {path.name} was before is untouched" in said and "ECG_DATA_DIR" in said
    assert file.read_text() == (folder / "x").read_text() == "old"
    assert sorted(tmp_path.iterdir()) == [folder, file]


@pytest.mark.parametrize(
    ("error", "free", "is_full"),
    [
        (RuntimeError("basic_ios::clear: iostream error"), 0, True),
        (OSError("1000 requested and 8 written"), 4096, True),
        (RuntimeError("basic_ios::clear: iostream error"), 1 << 30, False),
        (OSError(errno.EACCES, "Permission denied"), 0, False),
        (CheckpointError("it is damaged"), 0, False),
    ],
)
def test_what_a_library_says_is_taken_for_a_full_disk_where_nothing_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, free: int, is_full: bool
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, free))
    absent = tmp_path / "not" / "there"
    with pytest.raises(DiskFull if is_full else type(error)), explain_full_disk(absent, "All."):
        raise error


def test_folder_that_cannot_take_its_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, rename = tmp_path / "manifests", Path.rename
    folder.mkdir()
    (folder / "x").write_text("old")

    def fail_for_new(self: Path, target: Path) -> Path:
        if self.suffix == ".tmp":
            raise FULL
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_new)
    with pytest.raises(DiskFull), replace_folder(folder) as temporary:
        (temporary / "x").write_text("new")
    assert (folder / "x").read_text() == "old"
    assert list(tmp_path.iterdir()) == [folder]


def test_file_with_holes_gets_its_size_from_the_disk_or_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, refused = tmp_path / "held.npy", tmp_path / "refused.npy"
    for path in (held, refused):
        np.lib.format.open_memmap(path, mode="w+", dtype=np.int16, shape=(1 << 20,))
    allocate(held)
    assert held.stat().st_blocks * 512 >= held.stat().st_size > 1 << 21
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1 << 20))
    with pytest.raises(OSError, match="No space left") as caught:
        allocate(refused)
    assert caught.value.errno == errno.ENOSPC
