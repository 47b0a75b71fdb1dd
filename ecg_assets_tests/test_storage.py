from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ecg_assets.storage import replace_file, replace_folder


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
