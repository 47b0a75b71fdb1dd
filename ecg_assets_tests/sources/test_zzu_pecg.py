"""ZZU pECG: ages in days, findings with modifiers glued to them, recordings of nine leads."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from ecg_assets.errors import SchemaError
from ecg_assets.preprocess.shard import preprocess_shard
from ecg_assets.sources import MACHINE_REPORTS, RECORD_LIST, open_source, read_recording
from ecg_assets.sources.synthetic.made.sph import simulate_cohort
from ecg_assets.sources.synthetic.made.zzu_pecg import write_zzu_pecg
from ecg_assets.sources.zzu_pecg import ZZU_PECG, ZzuPecg

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
COLUMNS = ("Filename", "ECG_ID", "Patient_ID", "Age", "Gender", "Acquisition_date", "Lead")
N_RECORDS = 12
NINE_LEADS = "zzu_pecg_P00001_E04"
"""The fourth of the made recordings; the twelfth has nine leads too, and is damaged."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made") / "zzu"
    write_zzu_pecg(root, n_records=N_RECORDS, seed=0)
    return root


def _write(root: Path, **cells: str) -> ZzuPecg:
    """Write one row, of a girl of a year."""
    row = {
        **dict(zip(COLUMNS, ("P01/P01234/P01234_E02", "P01234_E02", "P01234"), strict=False)),
        **{"Age": "365d", "Gender": "'Female'", "Acquisition_date": "2019-11-22 10:46:08"},
        **{"Lead": "12", "AHA_code": "'C22'"},
        **cells,
    }
    with (root / "AttributesDictionary.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([row, row.values()])
    return ZzuPecg(root)


def _lines(source: ZzuPecg) -> list[str]:
    reports = source.read_reports(source.read_records().table).table
    (row,) = MACHINE_REPORTS.from_pandas(reports).to_pylist()
    assert row["coding"] == "aha"
    return list(row["lines"])


def test_table_gives_records_in_years(tmp_path: Path) -> None:
    found = _write(tmp_path, Age="573d").read_records()
    (row,) = RECORD_LIST.from_pandas(found.table).to_pylist()
    assert row["age"] == pytest.approx(573 / 365)
    assert row["sex"] == "F" and row["subject_id"] == "P01234"
    assert row["record_id"] == "zzu_pecg_P01234_E02"
    assert row["path"] == "Child_ecg/P01/P01234/P01234_E02"
    assert row["shard"] == "P01"
    assert f"{row['ecg_time']}" == "2019-11-22 10:46:08"


@pytest.mark.parametrize(
    ("written", "years"),
    [("1d", 1 / 365), ("730 days", 2), ("730", 2), ("2 years", 2), ("?", None)],
)
def test_age_is_in_days_unless_it_says_otherwise(
    tmp_path: Path, written: str, years: float | None
) -> None:
    age = _write(tmp_path, Age=written).read_records().table["age"].iloc[0]
    assert np.isnan(age) if years is None else age == pytest.approx(years)


@pytest.mark.parametrize("file", ["Child_ecg/P01/P01234/P01234_E02", "P01/P01234/P01234_E02.hea"])
def test_name_may_have_the_folder_or_the_ending(tmp_path: Path, file: str) -> None:
    table = _write(tmp_path, Filename=file).read_records().table
    assert table["path"].tolist() == ["Child_ecg/P01/P01234/P01234_E02"]
    assert table["shard"].tolist() == ["P01"]


@pytest.mark.parametrize(
    ("cell", "lines"),
    [
        ("'C22'", ["22"]),
        ("'L145+Modifier362';'F60+Modifier310'", ["145+362", "60+310"]),
        ("'Left ventricular high voltage';'L147'", ["Left ventricular high voltage", "147"]),
        ("'N(180 + 181)'", ["180+181"]),
        ("'Suggests208';'C21';'C21'", ["208", "21"]),
        ("'Modifier308'", ["(none)"]),
        ("Null", []),
        ("", []),
    ],
)
def test_line_is_the_number_of_a_statement_or_a_finding_without_one(
    tmp_path: Path, cell: str, lines: list[str]
) -> None:
    assert _lines(_write(tmp_path, AHA_code=cell)) == lines


def test_modifiers_and_findings_without_a_code_are_counted(tmp_path: Path) -> None:
    source = _write(tmp_path, AHA_code="'L145+Modifier362';'F60+Modifier310';'Osborn wave'")
    found = source.read_reports(source.read_records().table).findings
    assert found["statements"] == 3 and found["findings_without_aha_code"] == 1
    assert found["statements_with_modifiers"] == 2


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"Filename": "../P01234_E02"}, "'Filename' leaves the dataset's root"),
        ({"Filename": ""}, "'Filename' is empty"),
        ({"Patient_ID": ""}, "'Patient_ID' is empty"),
        ({"ECG_ID": ""}, "'ECG_ID' is empty"),
    ],
)
def test_cell_that_cannot_be_is_named(tmp_path: Path, cells: dict[str, str], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        _write(tmp_path, **cells).read_records()


def test_recordings_and_their_leads_are_counted(made: Path) -> None:
    found = open_source("zzu-pecg", made).read_records()
    assert found.findings["records"] == N_RECORDS > found.findings["patients"]
    assert found.findings["records_of_12_leads"] == 10
    assert found.findings["records_of_9_leads"] == 2
    assert found.table["age"].between(0, 15).all()
    assert dict(ZZU_PECG.published_findings) == {
        "records": 14190,
        "patients": 11643,
        "records_of_12_leads": 12334,
    }
    assert set(ZZU_PECG.published_findings) <= set(found.findings)


def test_recording_of_nine_leads_is_left_out_of_twelve_with_the_reason(made: Path) -> None:
    records = open_source("zzu-pecg", made).read_records().table
    tables = preprocess_shard(records, made, LEADS)
    rejects = tables.rejects.set_index("record_id")
    assert rejects.loc[NINE_LEADS, "reason"] == "missing_lead"
    assert "V2, V4, V6 not among" in str(rejects.loc[NINE_LEADS, "detail"])
    assert len(tables.signals) + len(rejects) == N_RECORDS
    lengths = tables.signals["n_samples"].to_pylist()
    assert lengths[:4] == [5000, 6000, 3500, 5000]


def test_recording_of_nine_leads_gives_its_own_by_name(made: Path) -> None:
    """V3 stands where a recording of twelve has V2."""
    signals = [signal for _, _, signal in simulate_cohort(N_RECORDS, 0, LEADS)]
    records = open_source("zzu-pecg", made).read_records().table.set_index("record_id")
    path = made / str(records.loc[NINE_LEADS, "path"])
    found = read_recording(path, ["V3", "aVF"], root=made)
    assert np.abs(found.physical() - signals[3][[8, 5]]).max() < 1e-3
    limb = preprocess_shard(records.reset_index(), made, ("I", "V3"))
    assert NINE_LEADS in limb.signals["record_id"].to_pylist()


def test_record_whose_samples_are_cut_off_is_a_reject(made: Path) -> None:
    records = open_source("zzu-pecg", made).read_records().table
    rejects = preprocess_shard(records, made, ("I",)).rejects
    assert rejects["reason"].tolist() == ["truncated_file"]


def test_made_findings_are_codes_of_the_coding(made: Path) -> None:
    from ecg_assets.labels.codings import find_coding

    source = open_source("zzu-pecg", made)
    lines = source.read_reports(source.read_records().table).table["lines"]
    readings = [find_coding("aha").read(line) for of_record in lines for line in of_record]
    assert all(one.mentions and not one.unread for one in readings)
