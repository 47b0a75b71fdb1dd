"""Made datasets: found by themselves, never over anything, the same bytes twice."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ecg_assets.errors import SettingsError
from ecg_assets.sources import datasets
from ecg_assets.sources.synthetic.made import list_made, write_made
from ecg_assets.sources.synthetic.made.__main__ import main


def _digest(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_every_made_dataset_is_one_that_can_be_read() -> None:
    assert "ptb-xl" in list_made()
    assert set(list_made()) <= set(datasets())


@pytest.mark.parametrize("name", list_made())
def test_same_arguments_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    for folder, seed in (("one", 1), ("same", 1), ("other", 2)):
        write_made(name, tmp_path / folder, n_records=30, seed=seed)
    one = _digest(tmp_path / "one")
    assert len(one) > 1
    assert one == _digest(tmp_path / "same")
    assert one != _digest(tmp_path / "other")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    for root in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(SettingsError, match="Expected a new or empty folder"):
            write_made("ptb-xl", root, n_records=10)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_what_cannot_be_made_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"called 'ptb'; .*'ptb-xl'"):
        write_made("ptb", tmp_path / "new")
    with pytest.raises(SettingsError, match="n_records is 0"):
        write_made("ptb-xl", tmp_path / "new", n_records=0)
    assert list(tmp_path.iterdir()) == []


def test_command_says_how_to_use_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = main(["ptb-xl", str(tmp_path / "new"), "--records", "12", "--seed", "3"])
    assert f"ECG_SOURCE=ptb-xl ECG_RAW_ROOT={tmp_path / 'new'}" in told
    assert len(list((tmp_path / "new" / "records500").rglob("*.dat"))) == 12
    with pytest.raises(SystemExit):
        main(["ptb-xl", str(tmp_path / "new")])
    assert "Expected a new or empty folder" in capsys.readouterr().err
