from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from ecg_assets.errors import SettingsError
from ecg_assets.preprocess import preprocess_shard
from ecg_assets.sources import RemoteRoot, open_source
from ecg_assets_tests.preprocess.recordings import make_signal, write_record

URL = "memory://bucket/mimic"


@pytest.fixture
def cohort(tmp_path: Path) -> Iterator[Path]:
    """A cohort on disk, and the same one in fsspec's memory."""
    folder = tmp_path / "cohort"
    open_source("synthetic", folder, n_records=60)
    memory = fsspec.filesystem("memory")
    memory.put(str(folder), "/bucket/mimic", recursive=True)
    yield folder
    memory.rm("/bucket", recursive=True)


def test_tables_come_without_recordings_and_only_once(cohort: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    RemoteRoot(URL).fetch_tables(here, "mimic-iv-ecg")
    assert not list(here.rglob("*.dat"))
    assert (here / "files").is_dir()
    expected = open_source("mimic-iv-ecg", cohort).read_records().table
    assert open_source("mimic-iv-ecg", here).read_records().table.equals(expected)
    before = (here / "record_list.csv").stat()
    RemoteRoot(URL).fetch_tables(here, "mimic-iv-ecg")
    assert (here / "record_list.csv").stat().st_mtime_ns == before.st_mtime_ns


def test_fetched_recordings_make_the_same_shard(cohort: Path, tmp_path: Path) -> None:
    records = open_source("mimic-iv-ecg", cohort).read_records().table
    RemoteRoot(URL).fetch_records(records["path"], tmp_path / "here")
    fetched = preprocess_shard(records, tmp_path / "here", ["I"])
    expected = preprocess_shard(records, cohort, ["I"])
    assert fetched.signals.equals(expected.signals)
    assert fetched.rejects.equals(expected.rejects)
    assert len(expected.rejects)  # lost and broken files among them


def test_a_header_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_record(root / "r", make_signal(1, 20, seed=0))
    header = (root / "r.hea").read_text().replace("r.dat", "../secret.dat")
    (root / "r.hea").write_text(header)
    (tmp_path / "secret.dat").write_bytes(b"secret")
    RemoteRoot(root.as_uri()).fetch_records(["r"], tmp_path / "here" / "below")
    copied = [p.name for p in (tmp_path / "here").rglob("*") if p.is_file()]
    assert copied == ["r.hea"]


def test_headers_list_a_dataset_without_a_table(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_record(root / "a" / "r1", make_signal(1, 20, seed=0))
    RemoteRoot(root.as_uri()).fetch_tables(tmp_path / "here", "physionet-2021")
    assert [p.name for p in (tmp_path / "here").rglob("*.*")] == ["r1.hea"]


@pytest.mark.parametrize("url", ["memory://nothing/here", "no-such-protocol://x"])
def test_wrong_url_says_so(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ECG_RAW_ROOT is"):
        RemoteRoot(url).fetch_tables(tmp_path, "mimic-iv-ecg")
