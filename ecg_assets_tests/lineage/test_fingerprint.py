from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from ecg_assets.lineage import (
    find_mismatches,
    fingerprint_file,
    fingerprint_folder,
    fingerprint_table,
)

ROWS = st.lists(
    st.tuples(st.text(max_size=5), st.none() | st.integers(-(2**31), 2**31 - 1)),
    min_size=1,
    max_size=20,
)


def _table(rows: list[tuple[str, int | None]]) -> pa.Table:
    names, values = zip(*rows, strict=True)
    return pa.table({"name": list(names), "value": pa.array(values, pa.int64())})


@given(ROWS, st.data())
def test_chunking_and_slicing_do_not_count(
    rows: list[tuple[str, int | None]], data: st.DataObject
) -> None:
    table = _table(rows)
    cut = data.draw(st.integers(0, len(rows)))
    chunked = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    assert fingerprint_table(chunked) == fingerprint_table(table)


@given(ROWS, st.data())
def test_any_changed_value_counts(rows: list[tuple[str, int | None]], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(rows) - 1))
    changed = list(rows)
    changed[index] = (rows[index][0] + "x", rows[index][1])
    assert fingerprint_table(_table(changed)) != fingerprint_table(_table(rows))


def test_null_differs_from_zero_and_types_count() -> None:
    nothing = pa.table({"a": pa.array([None], pa.int64())})
    zero = pa.table({"a": pa.array([0], pa.int64())})
    small = pa.table({"a": pa.array([0], pa.int32())})
    assert len({fingerprint_table(t) for t in (nothing, zero, small)}) == 3


def test_folder_is_its_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.txt").write_text("1")
    (tmp_path / "log.txt").write_text("noon")
    before = fingerprint_folder(tmp_path, exclude=frozenset({"log.txt"}))
    (tmp_path / "log.txt").write_text("night")
    assert fingerprint_folder(tmp_path, exclude=frozenset({"log.txt"})) == before
    (tmp_path / "a" / "x.txt").rename(tmp_path / "a" / "y.txt")
    assert fingerprint_folder(tmp_path, exclude=frozenset({"log.txt"})) != before


def test_file_fingerprint_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert fingerprint_file(tmp_path / "x") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_mismatch_names_changed_and_missing_inputs() -> None:
    found = find_mismatches({"labels": "a", "split": "b", "x": "c"}, {"labels": "a", "split": "z"})
    assert [(m.asset, m.stored) for m in found] == [("split", "z"), ("x", None)]
