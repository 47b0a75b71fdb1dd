from __future__ import annotations

from pathlib import Path

import pytest

from ecg_assets.storage import remove_leftovers, replace_file, replace_folder


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


def test_leftovers_of_a_killed_writer_are_removed_and_an_orphan_is_put_back(
    tmp_path: Path,
) -> None:
    (tmp_path / ".a.parquet.123.tmp").write_text("half")
    (tmp_path / ".folder.123.old").mkdir()
    (tmp_path / ".folder.123.old" / "x").write_text("whole")
    assert remove_leftovers(tmp_path) == 2
    assert (tmp_path / "folder" / "x").read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
