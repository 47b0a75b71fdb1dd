from __future__ import annotations

from pathlib import Path

import pytest

from ecg_assets.errors import SchemaError
from ecg_assets.preprocess import (
    ShardDataset,
    draw_quality,
    lead_in_mv,
    preprocess_shard,
    summarize_quality,
    write_shard,
)
from ecg_assets.preprocess.quality_summary import SIGNAL_QUALITY
from ecg_assets.sources import read_record
from ecg_assets_tests.preprocess.recordings import make_signal, record_list, write_record

LEADS = ("I", "V1")
N = 300  # more than a row group


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    for number in range(N):
        write_record(
            root / f"r{number:03d}", make_signal(2, 50 + number % 3, seed=number), leads=LEADS
        )
    return root


@pytest.fixture(scope="module")
def shards(root: Path) -> ShardDataset:
    paths = {}
    for shard, names in (
        ("p1000", [f"r{n:03d}" for n in range(280)]),
        ("p1001", [f"r{n:03d}" for n in range(280, N)] + ["absent"]),
    ):
        tables = preprocess_shard(record_list(names, shard), root, LEADS)
        paths[shard] = root / f"{shard}.parquet"
        write_shard(tables, paths[shard], root / f"{shard}.rejects.parquet")
    return ShardDataset(paths)


def test_leads_are_those_that_every_shard_stores(root: Path, shards: ShardDataset) -> None:
    assert shards.leads == LEADS
    one_lead = preprocess_shard(record_list(["r000"], "p1002"), root, ("V1",))
    path = root / "p1002.parquet"
    write_shard(one_lead, path, root / "p1002.rejects.parquet")
    assert ShardDataset({**shards, "p1002": path}).leads == ("V1",)
    assert ShardDataset({}).leads == ()


def test_it_is_a_mapping_of_paths_and_opening_reads_nothing(tmp_path: Path) -> None:
    dataset = ShardDataset({"p2": tmp_path / "b", "p1": tmp_path / "a"})
    assert list(dataset) == ["p1", "p2"]
    assert dataset["p2"] == tmp_path / "b"


def test_index_names_every_recording_and_its_place(shards: ShardDataset) -> None:
    assert len(shards.index) == N
    place = shards.index.set_index("record_id").loc["r281"]
    assert (place["shard"], place["row"]) == ("p1001", 1)


def test_records_come_in_the_order_asked_for(shards: ShardDataset, root: Path) -> None:
    names = ["r290", "r003", "r277", "r003"]
    table = shards.read_records(names, leads=["V1"])
    assert table["record_id"].to_pylist() == names
    for row, name in enumerate(names):
        expected = read_record(root / name, ["V1"]).signal[0]
        assert table["lead_V1"][row].as_py() == expected.tolist()
    assert "lead_I" not in table.column_names


def test_rows_across_a_row_groups_border(shards: ShardDataset) -> None:
    table = shards.read_rows("p1000", 250, 262)
    assert table["record_id"].to_pylist() == [f"r{n:03d}" for n in range(250, 262)]
    assert shards.read_rows("p1001", 19, 99)["record_id"].to_pylist() == ["r299"]
    assert shards.read_rows("p1001", 5, 5).num_rows == 0


def test_batches_cover_everything_once_and_stay_small(shards: ShardDataset) -> None:
    found, largest = [], 0
    for shard, batch in shards.batches(["I"], n_records=64):
        found += [(shard, name) for name in batch["record_id"].to_pylist()]
        largest = max(largest, batch.num_rows)
    assert found == list(zip(shards.index["shard"], shards.index["record_id"], strict=True))
    assert largest <= 64


def test_absent_recording_or_lead_is_an_error(shards: ShardDataset) -> None:
    with pytest.raises(SchemaError, match=r"1 of 2 recordings are not.*absent.*rejects"):
        shards.read_records(["r001", "absent"])
    with pytest.raises(SchemaError, match="lead_II"):
        next(iter(shards.batches(["II"])))


def test_lead_in_mv_is_what_the_recording_says(shards: ShardDataset, root: Path) -> None:
    signal, rate = lead_in_mv(shards.read_records(["r007"]), 0, "V1")
    record = read_record(root / "r007", ["V1"])
    assert rate == record.sample_rate
    assert signal.tolist() == record.physical()[0].tolist()


def test_a_shard_of_which_nothing_could_be_read_has_no_median(tmp_path: Path) -> None:
    (tmp_path / "bad.hea").write_text("no header")
    path, rejects = tmp_path / "p1000.parquet", tmp_path / "rejects.parquet"
    write_shard(preprocess_shard(record_list(["bad"]), tmp_path, ["I"]), path, rejects)
    summary = summarize_quality(ShardDataset({"p1000": path}), {"p1000": rejects})
    table = SIGNAL_QUALITY.from_pandas(summary)
    assert (table["rejected"].to_pylist(), table["median_std_mv"].to_pylist()) == ([1], [None])
    assert draw_quality(summary).startswith(b"\x89PNG")


def test_quality_counts_each_shards_faults(shards: ShardDataset, root: Path) -> None:
    rejects = {shard: root / f"{shard}.rejects.parquet" for shard in shards}
    summary = summarize_quality(shards, rejects).set_index("shard")
    assert summary.loc["p1000", "records"] == 280
    assert summary.loc["p1001", "rejected"] == 1
    assert summary["judged"].sum() == 0
    assert draw_quality(summary.reset_index()).startswith(b"\x89PNG")
