"""The synthetic cohort as a whole: the same bytes again, all at once, over nobody's data."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecg_assets.errors import SettingsError
from ecg_assets.sources.synthetic import MARKER
from ecg_assets.sources.synthetic import cohort as synthetic
from ecg_assets.sources.synthetic.cohort import write_synthetic_cohort


def _contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_same_parameters_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("once", "again"):
        write_synthetic_cohort(tmp_path / name, n_records=24, seed=3, n_shards=2)
    once = _contents(tmp_path / "once")
    assert len(once) > 48
    assert _contents(tmp_path / "again") == once
    # Both were written within a second or so: a time in the gzip header would not show.
    assert once["patients.csv.gz"][4:8] == bytes(4)


def test_another_seed_gives_other_patients_and_signals(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_synthetic_cohort(tmp_path / str(seed), n_records=8, seed=seed, n_shards=1)
    first, second = _contents(tmp_path / "0"), _contents(tmp_path / "1")
    signals = {content for name, content in first.items() if name.endswith(".dat")}
    assert len(signals) == 8
    assert not signals & set(second.values())


def test_standing_cohort_is_left_as_it_is(tmp_path: Path) -> None:
    root = tmp_path / "cohort"
    write_synthetic_cohort(root, n_records=4, n_shards=1)
    (root / "note.txt").write_text("mine")
    write_synthetic_cohort(root, n_records=4, n_shards=1)
    assert (root / "note.txt").read_text() == "mine"


def test_empty_folder_is_filled(tmp_path: Path) -> None:
    root = tmp_path / "cohort"
    root.mkdir()
    write_synthetic_cohort(root, n_records=4, n_shards=1)
    assert (root / "record_list.csv").is_file()


def test_other_data_are_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "record_list.csv").write_text("real")
    with pytest.raises(SettingsError, match="found other files"):
        write_synthetic_cohort(tmp_path, n_records=4, n_shards=1)
    assert _contents(tmp_path) == {"record_list.csv": b"real"}


def test_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cohort"
    path.write_text("mine")
    with pytest.raises(SettingsError, match="found a file"):
        write_synthetic_cohort(path, n_records=4, n_shards=1)
    assert path.read_text() == "mine"


def test_cohort_of_other_parameters_is_refused_with_both_named(tmp_path: Path) -> None:
    root = tmp_path / "cohort"
    write_synthetic_cohort(root, n_records=4, n_shards=1)
    before = _contents(root)
    with pytest.raises(SettingsError, match=r"'n_records': 5.*'n_records': 4"):
        write_synthetic_cohort(root, n_records=5, n_shards=1)
    assert _contents(root) == before


@pytest.mark.parametrize("damage", ["table", "marker"])
def test_damaged_cohort_is_refused(tmp_path: Path, damage: str) -> None:
    root = tmp_path / "cohort"
    write_synthetic_cohort(root, n_records=4, n_shards=1)
    if damage == "table":
        (root / "record_list.csv").unlink()
    else:
        (root / MARKER).write_text("{")
    with pytest.raises(SettingsError, match=r"record_list\.csv|unreadable"):
        write_synthetic_cohort(root, n_records=4, n_shards=1)


def test_interrupted_writer_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_half(folder: Path, plan: object, *, seed: int, progress: object) -> None:
        (folder / "record_list.csv").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic, "write_cohort_files", write_half)
    with pytest.raises(KeyboardInterrupt):
        write_synthetic_cohort(tmp_path / "cohort", n_records=4, n_shards=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("n_records", "seed", "n_shards", "named"),
    [
        (3, 0, 4, "n_records is 3"),
        (800, 0, 0, "n_shards is 0"),
        (800, 0, 100, "n_shards is 100"),
        (800, -1, 4, "seed is -1"),
    ],
)
def test_parameter_out_of_range_is_named(
    tmp_path: Path, n_records: int, seed: int, n_shards: int, named: str
) -> None:
    with pytest.raises(SettingsError, match=named):
        write_synthetic_cohort(tmp_path / "x", n_records=n_records, seed=seed, n_shards=n_shards)


def test_command_writes_a_cohort_and_says_how_to_use_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "second"
    arguments = [str(root), "--records", "6", "--seed", "3"]
    assert f"ECG_SOURCE=mimic-iv-ecg ECG_RAW_ROOT={root}" in synthetic.main(arguments)
    assert capsys.readouterr().err == "6 of 6 recordings\n"
    write_synthetic_cohort(tmp_path / "same", n_records=6, seed=3)
    assert _contents(root) == _contents(tmp_path / "same")
    assert "stand already" in synthetic.main(arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--records", "3"], "n_records is 3"),
        (["--records", "many"], "invalid int value"),
        (["--seed", "-1"], "seed is -1"),
        ([], "found other files"),
    ],
)
def test_command_refuses_in_one_sentence_and_overwrites_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "record_list.csv").write_text("real")
    with pytest.raises(SystemExit) as stop:
        synthetic.main([str(tmp_path), *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert _contents(tmp_path) == {"record_list.csv": b"real"}
