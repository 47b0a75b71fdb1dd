"""PhysioNet 2021: one record a header, codes and demographics out of its comments."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecg_assets.errors import BadRecord, SchemaError, SettingsError
from ecg_assets.sources import MACHINE_REPORTS, RECORD_LIST, SourceTable, read_record
from ecg_assets.sources.physionet2021 import PhysioNet2021


def _write(root: Path, path: str, *comments: str, body: str | None = None) -> None:
    file = root / f"{path}.hea"
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{file.stem} 1 500 5000", f"{file.stem}.mat 16x1+24 1000/mV 16 0 0 0 0 I"]
    file.write_text(body if body is not None else "\n".join([*lines, *comments]) + "\n")


def _read(root: Path) -> SourceTable:
    found = PhysioNet2021(root).read_records()
    RECORD_LIST.from_pandas(found.table)
    return found


@pytest.mark.reference
def test_real_headers_give_codes_age_and_sex(reference_data: Path) -> None:
    root = reference_data / "real_ecg" / "physionet2021"
    source = PhysioNet2021(root)
    found = _read(root)
    assert found.findings["records"] == 25
    assert found.findings["unreadable_headers"] == 0
    assert found.table["shard"].value_counts().to_dict() == {
        "georgia": 10,
        "ningbo": 10,
        "ptb-xl": 5,
    }
    row = found.table.set_index("record_id").loc["JS20009"]
    assert (row["age"], row["sex"], row["path"]) == (89, "F", "ningbo/JS20009")
    assert (row["subject_id"], row["study_id"]) == ("JS20009", "JS20009")
    reports = MACHINE_REPORTS.from_pandas(source.read_reports(found.table).table).to_pylist()
    assert {row["coding"] for row in reports} == {"snomed-ct"}
    lines = {row["record_id"]: row["lines"] for row in reports}
    for header in root.rglob("*.hea"):
        stated = header.read_text().partition("# Dx: ")[2].partition("\n")[0]
        assert ",".join(lines[header.stem]) == stated


@pytest.mark.parametrize(
    ("comments", "age", "sex"),
    [
        (("#Age: 57", "#Sex: Male"), 57.0, "M"),
        (("# Age: 57.5", "# Sex: f"), 57.5, "F"),
        (("# age:NaN", "# sex:Unknown"), None, None),
        (("# Age: 300", "# Sex: "), None, None),
        (("# Age: -1",), None, None),
        ((), None, None),
    ],
)
def test_age_and_sex_are_empty_unless_stated_and_possible(
    tmp_path: Path, comments: tuple[str, ...], age: float | None, sex: str | None
) -> None:
    _write(tmp_path, "a/1", *comments)
    found = _read(tmp_path)
    row = RECORD_LIST.from_pandas(found.table).to_pylist()[0]
    assert (row["age"], row["sex"]) == (age, sex)
    assert found.findings["records_without_age"] == (age is None)
    is_number = bool(comments) and "NaN" not in comments[0]
    assert found.findings["ages_out_of_range"] == (age is None and is_number)


def test_codes_keep_their_order_and_other_entries_are_counted(tmp_path: Path) -> None:
    _write(tmp_path, "1", "# Dx: 426783006, 164889003,Unknown,")
    _write(tmp_path, "2", "#Dx:59118001")
    _write(tmp_path, "3")
    source = PhysioNet2021(tmp_path)
    found = source.read_reports(source.read_records().table)
    assert found.table["lines"].tolist() == [["426783006", "164889003"], ["59118001"], []]
    assert found.findings == {
        "records": 3,
        "records_without_report": 1,
        "codes": 3,
        "headers_with_several_dx_lines": 0,
        "entries_that_are_no_code": 1,
        "unreadable_headers": 0,
    }


def test_codes_of_a_second_line_are_kept_and_counted(tmp_path: Path) -> None:
    _write(tmp_path, "1", "# Dx: 426783006,1,1", "# Age: 50", "#dx: 164889003,1,426783006")
    _write(tmp_path, "2", "# Dx: 426783006")
    source = PhysioNet2021(tmp_path)
    found = source.read_reports(source.read_records().table)
    assert found.table["lines"].tolist() == [
        ["426783006", "1", "1", "164889003"],
        ["426783006"],
    ]
    assert found.findings["headers_with_several_dx_lines"] == 1


def test_age_that_a_header_states_twice_counts_only_where_both_agree(tmp_path: Path) -> None:
    _write(tmp_path, "1", "# Age: 50", "# Age: 50.0", "# Sex: M", "# Sex: F")
    _write(tmp_path, "2", "# Age: 50", "# Age: 51", "# Sex: m", "# Sex: M")
    _write(tmp_path, "3", "# Age: 50", "# Sex: female")
    found = _read(tmp_path)
    assert found.table["age"].fillna(-1).tolist() == [50, -1, 50]
    assert found.table["sex"].tolist() == [None, "M", "F"]
    assert found.findings["headers_with_conflicting_age_or_sex"] == 2


def test_long_name_gives_a_record_whose_files_can_be_written(tmp_path: Path) -> None:
    stem = "x" * 245
    for name in (f"{stem}1", f"{stem}2", "E1"):
        _write(tmp_path, f"g1/{name}")
    table = _read(tmp_path).table
    assert table["record_id"].str.len().tolist() == [2, 150, 150]
    assert table["record_id"].is_unique
    assert set(table["path"]) == {"g1/E1", f"g1/{stem}1", f"g1/{stem}2"}


def test_hidden_folders_are_passed_over(tmp_path: Path) -> None:
    _write(tmp_path, "g1/E1")
    _write(tmp_path, "g1/.ipynb_checkpoints/E1-checkpoint")
    _write(tmp_path, ".trash/g2/E2")
    found = _read(tmp_path)
    assert found.table["record_id"].tolist() == ["E1"]
    assert found.table["shard"].tolist() == ["g1"]


def test_unreadable_header_is_counted_listed_and_left_to_be_rejected(tmp_path: Path) -> None:
    _write(tmp_path, "a/1", "# Age: 50")
    _write(tmp_path, "b/2", body="nonsense")
    found = _read(tmp_path)
    assert found.unreadable_headers == ("b/2.hea",)
    assert found.findings["unreadable_headers"] == 1
    assert found.table["record_id"].tolist() == ["1", "2"]
    reports = PhysioNet2021(tmp_path).read_reports(found.table)
    assert reports.unreadable_headers == ("b/2.hea",)
    with pytest.raises(BadRecord, match="bad_header"):
        read_record(tmp_path / found.table["path"].iloc[1], root=tmp_path)


def test_two_records_of_one_name_are_refused_with_both_named(tmp_path: Path) -> None:
    for path in ("a/1", "b/1", "b/2"):
        _write(tmp_path, path)
    with pytest.raises(SchemaError, match=r"a/1\.hea and b/1\.hea"):
        _read(tmp_path)


def test_what_macos_leaves_beside_a_header_is_no_record(tmp_path: Path) -> None:
    _write(tmp_path, "a/1")
    _write(tmp_path, "a/._1", body="\x05")
    assert _read(tmp_path).table["record_id"].tolist() == ["1"]


def test_tree_without_headers_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ECG_RAW_ROOT"):
        _read(tmp_path)


def test_shards_are_the_folders_as_deep_as_keeps_them_below_100(tmp_path: Path) -> None:
    for i in range(99):
        _write(tmp_path, f"georgia/g{i}/E{i}")
    assert _read(tmp_path).table["shard"].nunique() == 99
    _write(tmp_path, "ptb-xl/g1/H1")
    _write(tmp_path, "X1")
    shards = _read(tmp_path).table.set_index("record_id")["shard"]
    assert shards.loc[["E5", "H1", "X1"]].tolist() == ["georgia", "ptb-xl", "root"]
    for i in range(99):
        _write(tmp_path, f"patient{i}/P{i}")
    assert _read(tmp_path).table["shard"].unique().tolist() == ["root"]
