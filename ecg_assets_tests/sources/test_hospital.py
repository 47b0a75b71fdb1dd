"""DICOM, Philips, GE, HL7 and SCP-ECG: exact samples, no people, no file that ends a shard."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecg_assets.errors import BadRecord, SettingsError
from ecg_assets.labels.label_set import load_label_set
from ecg_assets.labels.labeler import label_records
from ecg_assets.preprocess import STANDARD_LEADS
from ecg_assets.sources import MACHINE_REPORTS, RECORD_LIST, Folder, read_recording
from ecg_assets.sources.file_limits import MOST_HOSPITAL_BYTES
from ecg_assets.sources.folder import hospital
from ecg_assets.sources.folder.hospital import read_hospital_facts
from ecg_assets_tests.sources.hospital_files import (
    EIGHT,
    LEADS,
    PEOPLE,
    WRITERS,
    Ecg,
    made_counts,
    real_dicom,
    write_aecg,
    write_dicom,
    write_file,
    write_muse,
    write_scp,
    write_sierra,
)

READERS: tuple[Callable[..., object], ...] = (read_hospital_facts, read_recording)
XML_WRITERS: dict[str, Callable[..., Path]] = {
    "muse": write_muse,
    "sierra": write_sierra,
    "aecg": write_aecg,
}


@pytest.mark.parametrize("dialect", WRITERS)
def test_samples_are_those_of_the_file_to_the_last_bit(tmp_path: Path, dialect: str) -> None:
    path = write_file(tmp_path, dialect)
    record = read_recording(path, EIGHT, root=tmp_path)
    assert record.lead_names == EIGHT and record.sample_rate == 500
    assert record.signal.dtype == np.int16
    assert record.signal.tolist() == [values.tolist() for values in made_counts(EIGHT).values()]
    assert record.gain.tolist() == [200] * 8 and record.baseline.tolist() == [0] * 8


@pytest.mark.parametrize("dialect", [name for name in WRITERS if not name.startswith("sierra")])
def test_limb_leads_that_are_not_there_follow_from_i_and_ii_without_rounding(
    tmp_path: Path, dialect: str
) -> None:
    record = read_recording(write_file(tmp_path, dialect), LEADS[:6], root=tmp_path)
    mv = (record.signal - record.baseline[:, None]) / record.gain[:, None]
    i, ii = mv[:2]
    expected = [i, ii, ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2]
    assert np.abs(mv - expected).max() < 1e-12
    assert np.any(record.signal[3] % 2)  # rounding at the gain of I and II would have lost it


def test_limb_leads_that_are_there_are_never_computed(tmp_path: Path) -> None:
    counts = made_counts(LEADS)
    counts["III"] = counts["III"] + np.int16(7)
    record = read_recording(write_aecg(tmp_path / "a.xml", Ecg(counts)), root=tmp_path)
    assert record.lead_names == LEADS
    assert record.signal[2].tolist() == counts["III"].tolist()


def test_leads_of_two_gains_make_limb_leads_in_millivolts(tmp_path: Path) -> None:
    text = write_aecg(tmp_path / "a.xml", Ecg()).read_text()
    first, second = text.split("MDC_ECG_LEAD_II", 1)
    (tmp_path / "a.xml").write_text(f"{first}MDC_ECG_LEAD_II{second.replace('5', '4', 1)}")
    text = (tmp_path / "a.xml").read_text()
    assert text.count('scale value="4"') == 1
    record = read_recording(tmp_path / "a.xml", ["III"], root=tmp_path)
    counts = made_counts(("I", "II"))
    expected = counts["II"] * 0.004 - counts["I"] * 0.005
    assert np.abs(record.physical()[0] - expected).max() < 0.0006


def test_limb_lead_that_needs_more_than_16_bits_keeps_its_millivolts(tmp_path: Path) -> None:
    counts = {lead: np.array([20_000, -20_000, 3], np.int16) for lead in ("I", "II")}
    path = write_aecg(tmp_path / "a.xml", replace(Ecg(counts), uv_per_count=0.5))
    record = read_recording(path, ["aVR"], root=tmp_path)
    assert record.physical()[0] == pytest.approx([-10, 10, -0.0015], abs=3e-4)


def test_calibration_pulse_of_philips_is_cut_off_where_there_is_one(tmp_path: Path) -> None:
    ecg = Ecg(made_counts(LEADS))
    for name, calibration in (("with", True), ("without", False)):
        path = write_sierra(tmp_path / f"{name}.xml", ecg, calibration=calibration)
        record = read_recording(path, ["V1"], root=tmp_path)
        assert record.signal[0].tolist() == ecg.counts["V1"].tolist(), name
    flat = {lead: np.append(v, np.zeros(200, np.int16)) for lead, v in ecg.counts.items()}
    path = write_sierra(tmp_path / "flat.xml", Ecg(flat))
    assert read_recording(path, ["V1"], root=tmp_path).signal.shape == (1, 800)


@pytest.mark.parametrize(("rate", "stated"), [(600.0, 600.0), (500.0, 500.0), (128.5, 1e6 / 7782)])
def test_interval_of_scp_in_whole_microseconds_stands_for_its_rate(
    tmp_path: Path, rate: float, stated: float
) -> None:
    path = write_scp(tmp_path / "a.scp", replace(Ecg(), rate=rate))
    assert read_recording(path, ["I"], root=tmp_path).sample_rate == pytest.approx(stated, abs=1e-9)


@pytest.mark.parametrize("write", [write_dicom, write_aecg])
def test_rate_that_is_no_whole_number_is_kept(
    tmp_path: Path, write: Callable[[Path, Ecg], Path]
) -> None:
    path = tmp_path / ("a.dcm" if write is write_dicom else "a.xml")
    write(path, replace(Ecg(), rate=499.78))
    assert read_recording(path, ["I"], root=tmp_path).sample_rate == pytest.approx(499.78)


def test_leads_of_scp_that_start_apart_are_put_where_they_belong(tmp_path: Path) -> None:
    counts = made_counts(("I", "II", "V1"))
    path = write_scp(tmp_path / "a.scp", Ecg(counts), starts={"V1": 11})
    record = read_recording(path, ["I", "V1"], root=tmp_path)
    assert record.signal.shape == (2, 610)
    assert record.signal[1, 10:].tolist() == counts["V1"].tolist()
    assert np.isnan(record.physical()[1, :10]).all() and np.isnan(record.physical()[0, 600:]).all()


def test_unit_is_the_files_and_no_unit_is_no_millivolt(tmp_path: Path) -> None:
    ecg = replace(Ecg(), uv_per_count=0.005, unit="mV")
    write_dicom(tmp_path / "a.dcm", ecg)
    write_aecg(tmp_path / "a.xml", ecg)
    for name in ("a.dcm", "a.xml"):
        record = read_recording(tmp_path / name, ["I"], root=tmp_path)
        assert record.gain.tolist() == [200] and record.units == ("mV",)
    write_dicom(tmp_path / "b.dcm", replace(ecg, unit="mm[Hg]"))
    write_muse(tmp_path / "b.xml", replace(ecg, unit="mm[Hg]"))
    for name in ("b.dcm", "b.xml"):
        with pytest.raises(BadRecord, match="unknown_unit: lead I has no unit"):
            read_recording(tmp_path / name, ["I"], root=tmp_path)


def test_gain_that_only_arithmetic_makes_crooked_is_kept_as_it_is(tmp_path: Path) -> None:
    path = write_muse(tmp_path / "a.xml", replace(Ecg(), uv_per_count=4.88))
    record = read_recording(path, ["I"], root=tmp_path)
    assert record.signal[0].tolist() == made_counts()["I"].tolist()
    assert record.physical()[0] == pytest.approx(made_counts()["I"] * 0.00488, rel=1e-6)


@pytest.mark.parametrize(("offset_uv", "exact"), [(0.3, True), (0.37, False)])
def test_baseline_of_a_channel_is_added(tmp_path: Path, offset_uv: float, exact: bool) -> None:
    import pydicom

    write_dicom(tmp_path / "a.dcm", replace(Ecg(), uv_per_count=0.1))
    whole = pydicom.dcmread(tmp_path / "a.dcm")
    for channel in whole.WaveformSequence[1].ChannelDefinitionSequence:
        channel.ChannelBaseline = offset_uv
    whole.save_as(tmp_path / "a.dcm")
    record = read_recording(tmp_path / "a.dcm", ["I", "III"], root=tmp_path)
    counts = made_counts(("I", "II"))
    assert record.physical()[0] == pytest.approx((counts["I"] * 0.1 + offset_uv) / 1000, abs=2e-5)
    difference = (counts["II"].astype(int) - counts["I"]) * 1e-4
    assert record.physical()[1] == pytest.approx(difference, abs=2e-5)
    assert (record.gain[0], record.baseline[0]) == ((10_000, -3) if exact else (32_000, 0))


def test_two_leads_of_one_name_are_no_lead(tmp_path: Path) -> None:
    text = write_muse(tmp_path / "a.xml").read_text(encoding="latin-1")
    (tmp_path / "a.xml").write_text(text.replace("<LeadID>V2<", "<LeadID>V1<"), encoding="latin-1")
    with pytest.raises(BadRecord, match="bad_header: 2 leads are named V1"):
        read_recording(tmp_path / "a.xml", ["V1"], root=tmp_path)
    assert read_recording(tmp_path / "a.xml", ["V3"], root=tmp_path).signal.shape == (1, 600)


# The one recording of a real cart that a library ships.


def test_recording_of_a_real_cart_is_what_pydicom_makes_of_it(tmp_path: Path) -> None:
    import pydicom

    record = read_recording(real_dicom(), STANDARD_LEADS)
    whole = pydicom.dcmread(real_dicom())
    assert record.sample_rate == 1000 and record.signal.shape == (12, 10_000)
    expected = whole.waveform_array(0).T / 1000
    assert np.abs(record.physical() - expected).max() < 1e-6
    i, ii, iii = record.physical()[:3]
    assert np.abs(ii - i - iii).max() < 1e-6
    facts = read_hospital_facts(real_dicom())
    assert facts.lines == ("RITMO SINUSALE", "ECG NORMALE") and facts.is_machine
    assert (facts.age, facts.sex, facts.measurements["rr_interval"]) == (42, "F", 982)


# What files say, and whom it is of.


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all dialects, whose statements hold what they should not."""
    root = tmp_path_factory.mktemp("mixed")
    said = (
        "Atrial fibrillation",
        "When compared with ECG of 30-NOV-2019 14:55,",
        "Confirmed by KESSLER MD, RUPRECHT (123) on 11/30/2019 2:55:01 PM",
        "Janina Doenitz: abnormal ECG",
        "MRN 00471123",
    )
    for dialect in WRITERS:
        leads = LEADS if dialect.startswith("sierra") else EIGHT
        write_file(root, dialect, Ecg(made_counts(leads), said))
    np.save(root / "array.npy", np.zeros((2, 100)))
    (root / "folder.yaml").write_text("leads: [I, II]\nsample_rate_hz: 500\n")
    return root


def _tables(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    source = Folder(root)
    records = source.read_records().table
    reports = source.read_reports(records).table
    RECORD_LIST.from_pandas(records)
    MACHINE_REPORTS.from_pandas(reports)
    return records, reports


def test_no_name_number_or_date_of_a_file_is_stored(mixed: Path) -> None:
    records, reports = _tables(mixed)
    stored = (records.to_csv() + reports.to_csv()).casefold()
    assert [word for word in PEOPLE if word.casefold() in stored] == []
    assert records["ecg_time"].isna().all()
    lines = dict(zip(reports["record_id"], reports["lines"], strict=True))
    assert lines["muse"] == ["Atrial fibrillation", "When compared with ECG of ___ ___,"]
    assert [len(lines[name]) for name in WRITERS] == [2] * len(WRITERS)


def test_patient_is_one_in_all_dialects_and_known_by_a_pseudonym(mixed: Path) -> None:
    records = _tables(mixed)[0].set_index("record_id")
    of_files = records.drop("array")
    assert of_files["subject_id"].nunique() == 1
    assert str(of_files["subject_id"].iloc[0]).startswith("patient-")
    assert records.loc["array", "subject_id"] == "array"
    assert of_files["age"].tolist() == [58] * len(WRITERS)
    assert set(of_files["sex"]) == {"F"}


def test_statements_are_report_text_that_labels_are_made_of(mixed: Path) -> None:
    reports = _tables(mixed)[1]
    assert set(reports["coding"]) == {"report-text"}
    labels = label_records(reports, label_set=load_label_set("ecg-fm-17")).labels
    found = labels[labels["value"] == 1].groupby("record_id")["label"].agg(list)
    assert found.to_dict() == {name: ["Atrial fibrillation"] for name in WRITERS}


def test_measurements_are_the_carts_and_nothing_that_was_not_measured(mixed: Path) -> None:
    reports = _tables(mixed)[1].set_index("record_id")
    assert set(reports["rr_interval"].drop("array")) == {800}
    scp, muse = reports.loc["scp-plain"].to_dict(), reports.loc["muse"].to_dict()
    assert [scp[name] for name in ("p_onset", "p_end", "qrs_onset", "qrs_end")] == [
        *(100, 190, 250, 344)
    ]
    assert (muse["p_axis"], muse["qrs_axis"]) == (41, -12)
    # Written as 29999 and 999.
    assert np.isnan([scp["t_end"], scp["t_axis"], muse["t_axis"]]).all()
    assert reports.loc["array"].drop(["coding", "lines"]).isna().all()


def test_labels_csv_counts_before_the_file_and_its_labels_before_statements(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_file(tmp_path, "muse", stem=name)
    (tmp_path / "labels.csv").write_text("file,patient,age,AF\na,P1,,1\nb,,40,0\n")
    records, reports = _tables(tmp_path)
    # b has no patient in the table that names patients: the file's would not be P1 if it were.
    assert records["subject_id"].tolist() == ["P1", "b"]
    assert records["age"].tolist() == [58, 40] and records["sex"].tolist() == ["F", "F"]
    assert set(reports["coding"]) == {"own-labels"}
    assert reports["lines"].tolist() == [["AF"], ["(none)"]]
    assert reports["rr_interval"].tolist() == [800, 800]
    (tmp_path / "labels.csv").write_text("file,age\na,\nb,40\n")
    records, reports = _tables(tmp_path)
    assert records["subject_id"].nunique() == 1 and records["subject_id"][0] != "a"
    assert set(reports["coding"]) == {"report-text"}


def test_placeholder_for_a_patient_makes_no_patient_of_all(tmp_path: Path) -> None:
    for name, number in {
        "a": "0000",
        "b": "ANONYMOUS",
        "c": "",
        "d": "ANON01",
        "e": "ANON02",
    }.items():
        write_file(tmp_path, "muse", replace(Ecg(), number=number), stem=name)
    found = Folder(tmp_path).read_records()
    assert found.table["subject_id"].nunique() == 5
    assert found.findings["records_without_patient"] == 3


def test_machines_own_statement_is_taken_and_a_criterion_is_none(tmp_path: Path) -> None:
    ecg = replace(Ecg(), statements=("Normal ECG",))
    write_muse(tmp_path / "edited.xml", ecg, original=("Atrial flutter",))
    write_muse(tmp_path / "people.xml", ecg)
    write_sierra(tmp_path / "philips.xml", replace(ecg, counts=made_counts(LEADS)))
    source = Folder(tmp_path)
    found = source.read_reports(source.read_records().table)
    assert found.table.set_index("record_id")["lines"].to_dict() == {
        "edited": ["Atrial flutter"],
        "people": ["Normal ECG"],
        "philips": ["Normal ECG"],  # and not what stands to its right: not RBBB, old MI
    }
    assert found.findings["reports_by_people"] == 1


# Hostile and damaged files.

_BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>'
)
_STEAL = '<!DOCTYPE x [<!ENTITY c SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("head", [_BOMB, _STEAL], ids=["bomb", "file"])
@pytest.mark.parametrize("dialect", XML_WRITERS)
def test_xml_that_declares_entities_is_refused(tmp_path: Path, dialect: str, head: str) -> None:
    leads = LEADS if dialect == "sierra" else EIGHT
    XML_WRITERS[dialect](tmp_path / "a.xml", Ecg(made_counts(leads), ("ENTITY",)), head=head)
    encoding = "utf-16" if dialect == "sierra" else "latin-1"
    text = (tmp_path / "a.xml").read_text(encoding=encoding)
    (tmp_path / "a.xml").write_text(text.replace(">ENTITY<", ">&c;<"), encoding=encoding)
    for read in READERS:
        with pytest.raises(BadRecord, match=r"unreadable.*(?i:entit)"):
            read(tmp_path / "a.xml", root=tmp_path)


def test_document_type_without_entities_is_read_as_muse_writes_it(tmp_path: Path) -> None:
    path = write_muse(tmp_path / "a.xml", head='<!DOCTYPE RestingECG SYSTEM "restecg.dtd">')
    assert read_recording(path, ["I"], root=tmp_path).signal.shape == (1, 600)


def test_file_that_is_no_ecg_or_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<html/>")
    with pytest.raises(BadRecord, match=r"unreadable: a\.xml is no DICOM file, no ECG in XML"):
        read_recording(tmp_path / "a.xml", root=tmp_path)
    with (tmp_path / "b.scp").open("wb") as file:
        file.truncate(MOST_HOSPITAL_BYTES + 1)
    with pytest.raises(BadRecord, match=rf"b\.scp has {MOST_HOSPITAL_BYTES + 1} bytes"):
        read_recording(tmp_path / "b.scp", root=tmp_path)
    with pytest.raises(BadRecord, match="missing_file"):
        read_recording(tmp_path / "c.dcm", root=tmp_path)
    (tmp_path / "link.scp").symlink_to(write_scp(tmp_path.parent / "outside.scp"))
    for read in READERS:
        with pytest.raises(BadRecord, match="outside_root"):
            read(tmp_path / "link.scp", root=tmp_path)


@pytest.mark.parametrize("dialect", ["muse", "scp-plain"])
def test_samples_that_are_not_those_of_the_checksum_are_refused(
    tmp_path: Path, dialect: str
) -> None:
    path = write_file(tmp_path, dialect)
    if dialect == "muse":
        text = path.read_text(encoding="latin-1")
        at = text.rindex("<WaveFormData>") + 20
        path.write_text(text[:at] + ("B" if text[at] == "A" else "A") + text[at + 1 :])
    else:
        data = bytearray(path.read_bytes())
        data[-400] ^= 1
        path.write_bytes(data)
    with pytest.raises(BadRecord, match="checksum_mismatch"):
        read_recording(path, ["V6"], root=tmp_path)


def test_damaged_files_end_in_a_reason_and_in_nothing_else(tmp_path: Path) -> None:
    dice = random.Random(1)
    paths = [write_file(tmp_path, dialect) for dialect in WRITERS]
    good = {path: path.read_bytes() for path in paths}
    reasons = []
    for _ in range(12):
        for path in paths:
            data = bytearray(good[path])
            for _ in range(dice.randint(1, 8)):
                data[dice.randrange(min(len(data), 2000))] = dice.choice([0, 0xFF, 0x30, 0x80])
            path.write_bytes(data[: dice.choice([len(data), dice.randrange(len(data))])])
            for read in READERS:
                try:
                    read(path, root=tmp_path)
                    reasons.append("read")
                except BadRecord as error:
                    assert str(tmp_path) not in str(error)
                    reasons.append(error.reason)
    assert 50 < reasons.count("unreadable") < len(reasons)


def test_what_to_install_is_said_before_a_file_is_rejected_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file(tmp_path, "muse")
    monkeypatch.setattr(hospital, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"need ecgdatakit and pydicom.*'\.\[hospital\]'"):
        Folder(tmp_path).read_records()
    with pytest.raises(SettingsError, match="hospital"):
        read_recording(tmp_path / "muse.xml", root=tmp_path)
