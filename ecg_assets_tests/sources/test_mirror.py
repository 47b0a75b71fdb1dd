from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ecg_assets.errors import SettingsError
from ecg_assets.sources import (
    MIRROR_STATUS,
    complete_shards,
    find_damaged_files,
    mirror_status,
    open_source,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small cohort whose first folder lacks a signal and a header, the last one all."""
    open_source("synthetic", tmp_path, n_records=120)
    return tmp_path


def test_missing_files_are_counted_by_folder(root: Path) -> None:
    records = open_source("synthetic", root, n_records=120).read_records().table
    before = mirror_status(root, records).set_index("folder")
    # A fault of the cohort itself: recordings without their signal file.
    planted = before["missing"].copy()
    shards = sorted(records["shard"].unique())
    first = list(records.loc[records["shard"] == shards[0], "path"])
    present = [p for p in first if (root / f"{p}.dat").is_file()]
    (root / f"{present[0]}.dat").unlink()
    (root / f"{present[1]}.hea").unlink()
    status = MIRROR_STATUS.from_pandas(mirror_status(root, records)).to_pandas()
    counted = status.set_index("folder")["missing"] - planted
    assert counted[f"files/{shards[0]}"] == 2
    assert counted.sum() == 2
    assert shards[0] not in complete_shards(status)
    assert set(complete_shards(status)) == set(shards) - set(
        status.loc[status["missing"] > 0, "shard"]
    )
    assert status["records"].sum() == len(records)
    assert status["damaged"].isna().all()


def test_a_file_that_differs_from_its_checksum_is_named(root: Path) -> None:
    records = open_source("synthetic", root, n_records=120).read_records().table
    files = sorted(p.relative_to(root).as_posix() for p in (root / "files").rglob("*.hea"))
    lines = [f"{hashlib.sha256((root / name).read_bytes()).hexdigest()} {name}" for name in files]
    lines.append("0" * 64 + " files/p1000/not/here.dat")
    lines.append("0" * 64 + " ../outside.dat")
    (root / "SHA256SUMS.txt").write_text("\n".join(lines) + "\n")
    with (root / files[3]).open("a") as file:
        file.write("# more\n")
    done: list[tuple[int, int]] = []
    folders = mirror_status(root, records)["folder"]
    found = find_damaged_files(root, folders, progress=lambda n, total: done.append((n, total)))
    assert found == [files[3]]
    assert done[-1] == (len(files), len(files))


def test_without_checksums_it_says_what_to_do(root: Path) -> None:
    with pytest.raises(SettingsError, match=r"no SHA256SUMS.txt.*Download it"):
        find_damaged_files(root, ["files/p1000"])
    (root / "SHA256SUMS.txt").write_text("0123 other/name\n")
    with pytest.raises(SettingsError, match="names no file below files/p1000"):
        find_damaged_files(root, ["files/p1000"])
