"""MIMIC-IV-ECG's reports: every line in its order, joined by study, losses counted."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecg_assets.errors import SchemaError
from ecg_assets.sources import MACHINE_REPORTS, SourceTable
from ecg_assets.sources.mimic_iv_ecg import REPORT_COLUMNS, MimicIvEcg
from ecg_assets.sources.schema import MEASUREMENTS


def _records(*studies: str) -> pd.DataFrame:
    return pd.DataFrame({"record_id": [f"mimic_iv_ecg_{s}" for s in studies], "study_id": studies})


def _write(root: Path, rows: list[dict[str, str]], columns: tuple[str, ...] = MEASUREMENTS) -> None:
    with (root / "machine_measurements.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["subject_id", "study_id", *REPORT_COLUMNS, *columns])
        writer.writeheader()
        writer.writerows(rows)


def _read(root: Path, *studies: str) -> tuple[SourceTable, list[dict[str, Any]]]:
    found = MimicIvEcg(root).read_reports(_records(*studies))
    return found, MACHINE_REPORTS.from_pandas(found.table).to_pylist()


@pytest.mark.reference
def test_golden_reports_are_those_of_the_file(reference_data: Path) -> None:
    root = reference_data / "lead1_pipeline_golden" / "raw"
    source = MimicIvEcg(root)
    found = source.read_reports(source.read_records().table)
    table = MACHINE_REPORTS.from_pandas(found.table).to_pylist()
    with (root / "machine_measurements.csv").open(newline="") as file:
        expected = {
            f"mimic_iv_ecg_{row['study_id']}": [row[c] for c in REPORT_COLUMNS if row[c]]
            for row in csv.DictReader(file)
        }
    assert {row["record_id"]: row["lines"] for row in table} == expected
    assert {row["coding"] for row in table} == {"report-text"}
    assert found.findings["records_without_report"] == 0


# Lines that a reader might take for a missing value, a number or the end of a row.
lines = st.lists(
    st.sampled_from(["", "NA", "nan", "None", "007", "Sinus rhythm", 'say "x", y', "a\nb", " é "]),
    min_size=18,
    max_size=18,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(reports=st.lists(lines, min_size=1, max_size=6), data=st.data())
def test_each_record_gets_its_own_filled_lines_in_their_order(
    tmp_path: Path, reports: list[list[str]], data: st.DataObject
) -> None:
    studies = [str(40_000_000 + i) for i in range(len(reports))]
    rows = [
        {"study_id": study, **dict(zip(REPORT_COLUMNS, report, strict=True))}
        for study, report in zip(studies, reports, strict=True)
    ]
    _write(tmp_path, data.draw(st.permutations(rows)))
    _, table = _read(tmp_path, *studies)
    expected = [[line.strip() for line in report if line.strip()] for report in reports]
    assert [row["lines"] for row in table] == expected


def test_losses_on_both_sides_are_counted(tmp_path: Path) -> None:
    _write(
        tmp_path,
        [
            {"study_id": "3", "report_0": "Sinus rhythm"},
            {"study_id": "1", "report_2": "Atrial flutter"},
            {"study_id": "2", "rr_interval": "800"},
            {"study_id": "1", "report_2": "Atrial flutter"},
            {"study_id": "9"},
        ],
    )
    found, table = _read(tmp_path, "1", "2", "3", "4")
    assert [row["lines"] for row in table] == [["Atrial flutter"], [], ["Sinus rhythm"], []]
    assert found.findings == {
        "records": 4,
        "records_without_report": 1,
        "records_with_empty_report": 1,
        "reports_without_record": 1,
        "duplicate_study_ids": 1,
        "ids_in_two_spellings": 0,
        "values_not_measured": 0,
        "values_implausible": 0,
        "values_not_numbers": 0,
    }


def test_what_was_not_measured_is_empty(tmp_path: Path) -> None:
    _write(
        tmp_path,
        [
            {"study_id": "1", "rr_interval": "29999", "p_axis": "-61.5", "t_axis": "left"},
            {"study_id": "2", "rr_interval": "29999.0", "p_axis": "0"},
        ],
        columns=("rr_interval", "p_axis", "t_axis"),
    )
    found, table = _read(tmp_path, "2", "1", "3")
    assert [row["rr_interval"] for row in table] == [None, None, None]
    assert [row["p_axis"] for row in table] == [0.0, -61.5, None]
    assert [row["t_axis"] for row in table] == [None, None, None]
    assert [row["qrs_end"] for row in table] == [None, None, None]
    assert found.findings["values_not_measured"] == 2
    assert found.findings["values_not_numbers"] == 1


@pytest.mark.parametrize(
    ("interval", "is_measured"),
    [
        *(("65535", False), ("32767", False), ("5", False), ("-800", False), ("199", False)),
        *(("200", True), ("3000", True), ("3001", False), ("0", False), ("inf", False)),
    ],
)
def test_interval_between_beats_that_no_heart_has_is_not_measured(
    tmp_path: Path, interval: str, is_measured: bool
) -> None:
    _write(tmp_path, [{"study_id": "1", "rr_interval": interval, "t_end": "583"}])
    found, table = _read(tmp_path, "1")
    assert table[0]["rr_interval"] == (float(interval) if is_measured else None)
    assert table[0]["t_end"] == 583
    assert found.findings["values_implausible"] == (not is_measured)
    assert found.findings["values_not_measured"] == 0


def test_extremes_of_16_bits_are_no_times_and_no_axes(tmp_path: Path) -> None:
    extremes = dict(zip(MEASUREMENTS, ["32767", "-32768", "65535"] * 3, strict=True))
    values = ("659", "40", "128", "170", "258", "518", "-81", "0", "270")
    plausible = dict(zip(MEASUREMENTS, values, strict=True))
    _write(tmp_path, [{"study_id": "1", **extremes}, {"study_id": "2", **plausible}])
    found, table = _read(tmp_path, "1", "2")
    assert [table[0][name] for name in MEASUREMENTS] == [None] * 9
    assert [table[1][name] for name in MEASUREMENTS] == [float(v) for v in plausible.values()]
    assert found.findings["values_implausible"] == 9


def test_study_written_as_a_float_is_the_recordings(tmp_path: Path) -> None:
    _write(
        tmp_path,
        [
            {"study_id": "40689238.0", "report_0": "Sinus rhythm"},
            {"study_id": "40689239", "report_0": "Atrial flutter"},
            {"study_id": "40689239.0", "report_0": "Atrial flutter"},
        ],
    )
    for studies in (("40689238", "40689239"), ("40689238.0", "40689239.0")):
        found, table = _read(tmp_path, *studies)
        assert [row["lines"] for row in table] == [["Sinus rhythm"], ["Atrial flutter"]]
        assert found.findings["records_without_report"] == 0
        assert found.findings["ids_in_two_spellings"] == 1
        assert found.findings["duplicate_study_ids"] == 1
    _write(tmp_path, [{"study_id": "4.07E+07", "report_0": "Sinus rhythm"}])
    with pytest.raises(SchemaError, match=r"'study_id' is no id.*data row 1"):
        _read(tmp_path, "40689238")


def test_report_of_another_patient_than_its_recording_is_refused(tmp_path: Path) -> None:
    records = _records("1", "2", "3").assign(subject_id=["10000001", "10000002", "10000003"])
    rows = [
        {"study_id": "3", "subject_id": "", "report_0": "Normal ECG"},
        {"study_id": "1", "subject_id": "10000001.0", "report_0": "Normal ECG"},
        {"study_id": "9", "subject_id": "10000009", "report_0": "Normal ECG"},
        {"study_id": "2", "subject_id": "10000002", "report_0": "Atrial flutter"},
    ]
    _write(tmp_path, rows)
    found = MimicIvEcg(tmp_path).read_reports(records)
    assert found.findings["records_without_report"] == 0
    rows[3]["subject_id"] = "10000001"
    _write(tmp_path, rows)
    with pytest.raises(
        SchemaError, match=r"1 rows column 'subject_id' is not .* data row 4"
    ) as error:
        MimicIvEcg(tmp_path).read_reports(records)
    assert "1000000" not in str(error.value)


def test_reports_that_contradict_each_other_are_refused_without_their_text(tmp_path: Path) -> None:
    _write(
        tmp_path,
        [{"study_id": "1", "report_0": "Normal"}, {"study_id": "1", "report_0": "Abnormal"}],
    )
    with pytest.raises(SchemaError, match=r"2 rows share a study_id .*\[1, 2\]") as error:
        _read(tmp_path, "1")
    assert "ormal" not in str(error.value)


def test_missing_report_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "machine_measurements.csv").write_text("study_id,report_0\n1,Normal ECG\n")
    with pytest.raises(SchemaError, match=r"machine_measurements\.csv: columns \['report_1', "):
        _read(tmp_path, "1")


def test_unquoted_comma_is_refused_without_quoting_the_row(tmp_path: Path) -> None:
    _write(tmp_path, [{"study_id": "1", "report_0": "Sinus rhythm"}])
    path = tmp_path / "machine_measurements.csv"
    path.write_text(path.read_text().replace("Sinus rhythm", "Sinus, rhythm"))
    with pytest.raises(SchemaError, match="1 rows have another number of fields") as error:
        _read(tmp_path, "1")
    assert "Sinus" not in str(error.value)
