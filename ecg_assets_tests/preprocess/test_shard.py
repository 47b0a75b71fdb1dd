from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import scipy.io
import wfdb

from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.lineage import fingerprint_table
from ecg_assets.preprocess import (
    ShardTables,
    preprocess_shard,
    read_shard,
    shard_schema,
    shard_summary,
    worker_pool,
    write_shard,
)
from ecg_assets.preprocess.quality import CLASSES, judge_quality
from ecg_assets.sources import MISSING, read_recording
from ecg_assets_tests.killed_parent import child_ends_with_killed_parent, needs_proc
from ecg_assets_tests.preprocess.recordings import make_signal, record_list, write_record

LEADS = ("I", "V1")
FAULTS = {
    "wide": "samples_exceed_int16",
    "lost": "missing_file",
    "cut": "truncated_file",
    "chest_only": "missing_lead",
    "upside_down": "bad_gain",
    "folder": "unreadable",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three good recordings of different shape, and one of each fault."""
    root = tmp_path_factory.mktemp("root")
    holes = make_signal(2, 800, seed=1)
    holes[0, 5:25] = MISSING
    flat = make_signal(2, 5000, seed=2)
    flat[1] = 4
    write_record(root / "good", make_signal(2, 5000, seed=0), leads=LEADS)
    write_record(root / "short_with_holes", holes, leads=("V1", "I"), sample_rate_hz=250)
    write_record(root / "flat", flat, leads=LEADS)
    wide = make_signal(2, 600, seed=3).astype(np.int64)
    wide[0, 3] = 40_000
    write_record(root / "wide", wide, leads=LEADS, wfdb_format="32")
    write_record(root / "cut", make_signal(2, 500, seed=4), leads=LEADS)
    (root / "cut.dat").write_bytes((root / "cut.dat").read_bytes()[:99])
    write_record(root / "chest_only", make_signal(1, 500, seed=5), leads=("V1",))
    write_record(root / "upside_down", make_signal(2, 500, seed=6), leads=LEADS)
    (root / "folder.hea").mkdir()
    header = root / "upside_down.hea"
    header.write_text(header.read_text().replace(" 200", " -200"))
    return root


@pytest.fixture(scope="module")
def tables(root: Path) -> ShardTables:
    records = record_list(["short_with_holes", "good", *FAULTS, "flat"])
    return preprocess_shard(
        records,
        root,
        LEADS,
    )


def test_bad_recordings_are_rejected_each_with_its_reason(tables: ShardTables) -> None:
    assert tables.signals["record_id"].to_pylist() == ["flat", "good", "short_with_holes"]
    reasons = dict(zip(tables.rejects["record_id"], tables.rejects["reason"], strict=True))
    assert reasons == FAULTS
    assert list(reasons) == sorted(FAULTS)


def test_details_name_no_path_of_this_machine(tables: ShardTables, root: Path) -> None:
    assert not tables.rejects["detail"].str.contains(str(root), regex=False).any()


def test_samples_are_those_that_wfdb_reads_by_lead_name(tables: ShardTables, root: Path) -> None:
    for row in tables.signals.to_pylist():
        oracle = wfdb.rdrecord(str(root / row["record_id"]), physical=False)
        assert row["sample_rate_hz"] == oracle.fs
        assert row["n_samples"] == oracle.sig_len
        for lead in LEADS:
            expected = oracle.d_signal[:, oracle.sig_name.index(lead)]
            assert row[f"lead_{lead}"] == expected.tolist()
            assert row[f"gain_{lead}"] == 200.0


def test_statistics_are_of_each_lead(tables: ShardTables) -> None:
    flat, good, holes = tables.signals.to_pylist()
    assert (flat["is_flat_I"], flat["is_flat_V1"]) == (False, True)
    assert (holes["n_missing_I"], holes["n_missing_V1"]) == (0, 20)
    assert good["sum_sq_I"] == sum(value**2 for value in good["lead_I"])


def test_summary_counts_flags_and_reasons(tables: ShardTables) -> None:
    summary = shard_summary(tables)
    assert summary["records"] == 3
    assert summary["rejected_share"] == 6 / 9
    assert summary["rejected_missing_lead"] == 1
    assert summary["records_with_flat_lead"] == 1
    assert summary["records_with_missing_samples"] == 1
    assert summary["missing_share"] == 20 / (2 * (5000 + 5000 + 800))


def test_rerun_gives_the_same_bytes_whatever_the_order(
    tables: ShardTables, root: Path, tmp_path: Path
) -> None:
    records = record_list([*reversed(FAULTS), "flat", "good", "short_with_holes"])
    again = preprocess_shard(records, root, LEADS)
    assert fingerprint_table(again.signals) == fingerprint_table(tables.signals)
    for name, made in (("first", tables), ("second", again)):
        write_shard(made, tmp_path / name, tmp_path / f"{name}.rejects")
    for suffix in ("", ".rejects"):
        first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
        assert first.read_bytes() == second.read_bytes()


def test_shard_is_stored_as_declared(tables: ShardTables, tmp_path: Path) -> None:
    path = tmp_path / "shard.parquet"
    write_shard(tables, path, tmp_path / "rejects.parquet")
    assert fingerprint_table(read_shard(path)) == fingerprint_table(tables.signals)
    shard_schema(LEADS).require(read_shard(path))
    rejects = pq.read_table(tmp_path / "rejects.parquet").to_pandas()
    assert rejects["reason"].tolist() == tables.rejects["reason"].tolist()
    group = pq.read_metadata(path).row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    samples = next(c for c in columns if c.path_in_schema == "lead_I.list.element")
    assert "DELTA_BINARY_PACKED" in samples.encodings
    assert samples.compression == "UNCOMPRESSED"


def test_reading_one_lead_leaves_the_others_and_an_absent_one_is_an_error(
    tables: ShardTables, tmp_path: Path
) -> None:
    path = tmp_path / "shard.parquet"
    write_shard(tables, path, tmp_path / "rejects.parquet")
    assert not [name for name in read_shard(path, leads=["V1"]).column_names if "_I" in name]
    assert read_shard(path, columns=["n_samples"]).column_names == ["n_samples"]
    with pytest.raises(SchemaError, match=r"lead_II.*stores the leads \['I', 'V1'\]"):
        read_shard(path, leads=["II"])


def test_shard_of_rejects_alone_has_its_columns(root: Path, tmp_path: Path) -> None:
    tables = preprocess_shard(record_list(["lost"]), root, LEADS)
    write_shard(tables, tmp_path / "shard", tmp_path / "rejects")
    shard_schema(LEADS).require(read_shard(tmp_path / "shard"))
    assert shard_summary(tables)["rejected_share"] == 1


def test_progress_ends_at_all_records_and_row_groups_are_bounded(
    root: Path, tmp_path: Path
) -> None:
    records = pd.concat([record_list(["good"]).assign(record_id=f"{n:03}") for n in range(300)])
    seen: list[tuple[int, int]] = []
    tables = preprocess_shard(
        records, root, ["I"], progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(256, 300), (300, 300)]
    write_shard(tables, tmp_path / "shard", tmp_path / "rejects")
    metadata = pq.read_metadata(tmp_path / "shard")
    assert [metadata.row_group(number).num_rows for number in range(2)] == [256, 44]


@pytest.mark.parametrize(
    ("rate", "is_usable"), [(1, False), (49, False), (50, True), (100_000, True), (100_001, False)]
)
def test_rate_that_no_ecg_has_is_rejected(tmp_path: Path, rate: int, is_usable: bool) -> None:
    write_record(tmp_path / "r", make_signal(1, 500, seed=0), sample_rate_hz=rate)
    tables = preprocess_shard(record_list(["r"]), tmp_path, ["I"])
    assert tables.signals["sample_rate_hz"].to_pylist() == ([rate] if is_usable else [])
    assert tables.rejects["reason"].tolist() == ([] if is_usable else ["bad_sample_rate"])


def _write_hostile(root: Path) -> dict[str, str]:
    """Write files that crash, wait or fill the memory; give each path its reason."""
    (root / "folder.yaml").write_text("sample_rate_hz: 500\nleads: [I, V1]\nunits_per_mv: 1\n")
    scipy.io.savemat(root / "mat.mat", {"val": np.ones((2, 50))})
    content = bytearray((root / "mat.mat").read_bytes())
    content[content.index((9).to_bytes(4, "little"), 168)] = 0  # the type of the data
    (root / "mat.mat").write_bytes(content)
    with (root / "npy.npy").open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (2, 1 << 34)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + (16 << 34))
    (root / "csv.csv").write_text("I,V1\n")
    with (root / "csv.csv").open("ab") as file:
        file.truncate(600 << 20)
    np.save(root / "integers.npy", np.array([[-125, 915, 0], [0, 0, 0]], dtype=np.int16))
    write_record(root / "holes", make_signal(2, 500, seed=1), leads=LEADS)
    text = (root / "holes.hea").read_text()
    (root / "holes.hea").write_text(text.replace("500 500", "500"))
    with (root / "holes.dat").open("r+b") as file:
        file.truncate(1 << 38)
    write_record(root / "pipe_dat", make_signal(2, 500, seed=1), leads=LEADS)
    (root / "pipe_dat.dat").unlink()
    os.mkfifo(root / "pipe_dat.dat")
    os.mkfifo(root / "pipe_hea.hea")
    names = ("mat.mat", "npy.npy", "csv.csv", "holes", "pipe_dat", "pipe_hea")
    return {**dict.fromkeys(names, "unreadable"), "integers.npy": "unlikely_unit"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of POSIX")
@pytest.mark.timeout(120)
def test_hostile_files_are_rows_of_rejects_and_the_others_are_read(tmp_path: Path) -> None:
    reasons = _write_hostile(tmp_path)
    write_record(tmp_path / "good", make_signal(2, 5000, seed=0), leads=LEADS)
    np.save(tmp_path / "good.npy", np.ones((2, 50)))
    tables = preprocess_shard(record_list([*reasons, "good", "good.npy"]), tmp_path, LEADS)
    assert tables.signals["record_id"].to_pylist() == ["good", "good.npy"]
    found = dict(zip(tables.rejects["record_id"], tables.rejects["reason"], strict=True))
    assert found == reasons


def test_recording_that_does_not_fit_the_memory_is_a_row_of_rejects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("good", "large"):
        write_record(tmp_path / name, make_signal(2, 500, seed=0), leads=LEADS)

    def fail_for_large(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "large":
            raise MemoryError
        return read_recording(path, *arguments, **options)

    monkeypatch.setattr("ecg_assets.preprocess.shard.read_recording", fail_for_large)
    tables = preprocess_shard(record_list(["good", "large"]), tmp_path, LEADS)
    assert tables.signals["record_id"].to_pylist() == ["good"]
    assert tables.rejects.to_numpy().tolist() == [
        ["large", "unreadable", "there is not enough memory on this machine to read it"]
    ]


def test_record_id_that_stands_twice_is_an_error(root: Path) -> None:
    with pytest.raises(SchemaError, match="1 of 2 recordings"):
        preprocess_shard(record_list(["good", "good"]), root, LEADS)


def test_processes_read_the_same_shard(tmp_path: Path) -> None:
    names = [f"r{number:03d}" for number in range(300)]
    for number, name in enumerate(names[:-1]):
        write_record(tmp_path / name, make_signal(2, 40, seed=number), leads=LEADS)
    records, done = record_list(names), []
    alone = preprocess_shard(records, tmp_path, LEADS)
    with worker_pool(2) as pool:
        assert pool is not None
        together = preprocess_shard(
            records, tmp_path, LEADS, pool=pool, progress=lambda n, total: done.append((n, total))
        )
    assert fingerprint_table(together.signals) == fingerprint_table(alone.signals)
    assert together.rejects["record_id"].tolist() == ["r299"]
    assert done == [(256, 300), (300, 300)]
    with worker_pool(1) as pool:
        assert pool is None


@needs_proc
def test_workers_end_with_a_killed_parent() -> None:
    assert child_ends_with_killed_parent(_PARENT)


_PARENT = """
import os, time
from ecg_assets.preprocess import worker_pool
if __name__ == "__main__":
    with worker_pool(2) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        time.sleep(60)
"""


def test_quality_is_neurokits_class_or_empty() -> None:
    pytest.importorskip("neurokit2", reason="NeuroKit2 is not installed (extra quality)")
    beats = np.zeros(5000)
    beats[200::400] = 300
    clean = np.convolve(beats, np.hanning(20), "same").astype(np.int16)[None]
    gain = np.array([200.0])
    assert judge_quality(clean, gain, 500) in CLASSES
    assert judge_quality(np.zeros((1, 5000), np.int16), gain, 500) == "Unacceptable"
    assert judge_quality(clean[:, :100], gain, 500) is None


def test_quality_without_its_library_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.setitem(sys.modules, "neurokit2", None)
    with pytest.raises(SettingsError, match=r"ecg-assets\[quality\]"):
        preprocess_shard(record_list(["good"]), root, LEADS, quality="zhao2018")
    with pytest.raises(SettingsError, match="allowed"):
        preprocess_shard(record_list(["good"]), root, LEADS, quality="best")
