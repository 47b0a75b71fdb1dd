"""Reading recordings that wfdb wrote: the same integers, the same millivolts, each fault found."""

from __future__ import annotations

import re
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecg_assets.errors import BadRecord
from ecg_assets.sources import MISSING, Record, read_record
from ecg_assets_tests.sources.wfdb_recordings import (
    LEADS,
    digital,
    edit_header,
    flip_byte,
    rdrecord,
    write_recording,
)

INT32 = np.iinfo(np.int32)


def _require_same(record: Record, path: Path) -> None:
    assert np.array_equal(record.signal.T, rdrecord(path, physical=False).d_signal)
    physical = rdrecord(path).p_signal.astype(np.float32)
    assert np.array_equal(record.physical().T, physical, equal_nan=True)


@pytest.mark.parametrize("fmt", ["16", "80", "212", "24", "32", "508", "516", "524"])
def test_each_format_gives_the_integers_and_millivolts_of_wfdb(tmp_path: Path, fmt: str) -> None:
    path = write_recording(
        tmp_path, signal=digital(n_samples=201, bits=8), fmt=fmt, gain=123.4, baseline=-17
    )
    record = read_record(path)
    assert record.signal.dtype == np.int16
    assert record.lead_names == LEADS
    assert record.sample_rate == 500
    _require_same(record, path)


@pytest.mark.parametrize("fmt", ["61", "160"])
def test_big_endian_and_offset_binary_files_are_read(tmp_path: Path, fmt: str) -> None:
    path = write_recording(tmp_path)
    stored = digital().astype(">i2") if fmt == "61" else (digital() + 32768).astype("<u2")
    (tmp_path / "100.dat").write_bytes(stored.tobytes())
    edit_header(path, "dat 16", f"dat {fmt}")
    assert np.array_equal(read_record(path).signal.T, digital())
    _require_same(read_record(path), path)


def test_plain_file_is_read_without_wfdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, packed = write_recording(tmp_path, "1"), write_recording(tmp_path, "2", fmt="212")
    monkeypatch.setitem(sys.modules, "wfdb", None)
    assert np.array_equal(read_record(plain).signal.T, digital())
    with pytest.raises(ImportError):
        read_record(packed)


def test_wide_integers_stay_32_bits_wide(tmp_path: Path) -> None:
    signal = digital(bits=24)
    path = write_recording(tmp_path, signal=signal, fmt="24")
    record = read_record(path)
    assert record.signal.dtype == np.int32
    _require_same(record, path)


@pytest.mark.parametrize(("fmt", "bits"), [("16", 16), ("212", 12), ("24", 24), ("32", 32)])
@pytest.mark.parametrize("fits", [True, False])
def test_missing_samples_are_the_lowest_value_and_nan(
    tmp_path: Path, fmt: str, bits: int, fits: bool
) -> None:
    signal = digital(bits=8)
    signal[5:9, 1] = -(1 << (bits - 1))
    if not fits:
        # Format 24's -32768 is a sample, which int16 could not tell from a missing one.
        signal[20, 2] = -32768 if bits > 16 else -(1 << (bits - 1)) + 1
    path = write_recording(tmp_path, signal=signal, fmt=fmt)
    record = read_record(path)
    wide = bits > 16 and not fits
    assert record.signal.dtype == (np.int32 if wide else np.int16)
    assert np.all(record.signal[1, 5:9] == (INT32.min if wide else MISSING))
    physical = rdrecord(path).p_signal.astype(np.float32)
    assert np.array_equal(record.physical().T, physical, equal_nan=True)
    assert np.isnan(record.physical()).sum() == 4


def test_leads_come_by_name_in_the_order_asked_for(tmp_path: Path) -> None:
    names = ("mdc_ecg_lead_v1", "AVR", "i")
    for fmt in ("16", "212"):
        path = write_recording(tmp_path / fmt, leads=names, fmt=fmt)
        record = read_record(path, ["I", "V1", "avr"])
        assert record.lead_names == ("I", "V1", "aVR")
        assert np.array_equal(record.signal.T, digital()[:, [2, 0, 1]])


def test_microvolts_become_millivolts(tmp_path: Path) -> None:
    record = read_record(write_recording(tmp_path, gain=0.2, unit="uV", baseline=10))
    assert record.units == ("uV",) * 3
    assert np.allclose(record.gain, 200)
    assert np.allclose(record.physical().T, (digital() - 10) / 200)


def test_signal_without_voltage_is_read_but_never_as_millivolts(tmp_path: Path) -> None:
    path = write_recording(tmp_path, unit="NU")
    record = read_record(path)
    assert np.array_equal(record.signal.T, digital())
    assert np.isnan(record.gain).all()
    assert np.isnan(record.physical()).all()


def test_challenge_files_samples_start_behind_their_matlab_header(tmp_path: Path) -> None:
    path = write_recording(tmp_path)
    samples = (tmp_path / "100.dat").read_bytes()
    (tmp_path / "100.mat").write_bytes(b"\x01" * 24 + samples)
    (tmp_path / "100.dat").unlink()
    edit_header(path, "100.dat 16", "100.mat 16x1+24")
    _require_same(read_record(path), path)
    (tmp_path / "100.mat").write_bytes(b"\x01" * 24 + samples[:-2])
    with pytest.raises(BadRecord, match="truncated_file"):
        read_record(path)


def test_open_length_is_what_the_file_holds(tmp_path: Path) -> None:
    path = write_recording(tmp_path)
    edit_header(path, "100 3 500 200", "100 3 500")
    assert read_record(path).signal.shape == (3, 200)
    with (tmp_path / "100.dat").open("ab") as file:
        file.write(b"\0\0")
    with pytest.raises(BadRecord, match="truncated_file"):
        read_record(path)


@pytest.mark.parametrize("fmt", ["16", "212"])
def test_checksum_is_accepted_signed_or_unsigned_or_absent(tmp_path: Path, fmt: str) -> None:
    for name, change in (("1", 0), ("2", -65536)):
        path = write_recording(tmp_path, name, fmt=fmt)
        oracle = rdrecord(path, physical=False)
        for value in oracle.checksum:
            edit_header(path, f" {value} 0 ", f" {value + change} 0 ")
        assert read_record(path).signal.shape == (3, 200)
    path = write_recording(tmp_path, "3", fmt=fmt)
    header = path.with_suffix(".hea")
    lines = header.read_text().splitlines()
    header.write_text("\n".join([lines[0], *(" ".join(line.split()[:3]) for line in lines[1:])]))
    flip_byte(tmp_path / "3.dat", 0)
    assert read_record(path).lead_names == ("", "", "")


def test_damage_in_a_lead_that_is_not_read_does_no_harm(tmp_path: Path) -> None:
    path = write_recording(tmp_path)
    flip_byte(tmp_path / "100.dat", 2)
    assert np.array_equal(read_record(path, ["I"]).signal[0], digital()[:, 0])
    with pytest.raises(BadRecord, match="checksum_mismatch: lead II"):
        read_record(path, ["I", "II"])


def test_lead_of_a_missing_second_file_is_only_missed_when_asked_for(tmp_path: Path) -> None:
    path = write_recording(tmp_path)
    with path.with_suffix(".hea").open("a") as header:
        header.write("100.xyz 16 200 16 0 0 0 0 vx\n")
    edit_header(path, "100 3 500", "100 4 500")
    assert np.array_equal(read_record(path, ["II"]).signal[0], digital()[:, 1])
    with pytest.raises(BadRecord, match=r"missing_file: 100\.xyz"):
        read_record(path)


def test_frame_of_several_samples_becomes_their_mean_unless_one_is_missing(tmp_path: Path) -> None:
    path = write_recording(tmp_path, signal=digital(400), leads=("I", "II", "V1"))
    edit_header(path, "100 3 500 400", "100 3 250 200")
    edit_header(path, "100.dat 16 ", "100.dat 16x2 ")
    samples = np.fromfile(tmp_path / "100.dat", dtype="<i2")
    samples[7] = -32768
    samples.tofile(tmp_path / "100.dat")
    sums = samples.reshape(200, 3, 2).sum(axis=(0, 2), dtype=np.int64) % 65536
    for old, new in zip(rdrecord(path, physical=False).checksum, sums, strict=True):
        edit_header(path, f" {old} 0 ", f" {new} 0 ")
    record = read_record(path)
    expected = rdrecord(path, physical=False).d_signal.T
    expected[0, 1] = MISSING
    assert np.array_equal(record.signal, expected)


def _two_segments(folder: Path, *, gap: int = 0, gain: float = 200.0) -> Path:
    """Write a recording of two segments, with a layout and a gap between them if wanted."""
    write_recording(folder, "s1")
    write_recording(folder, "s2", gain=gain)
    lines = ["s1 200", "s2 200"]
    if gap:
        layout = (folder / "s1.hea").read_text().replace("s1.dat 16", "~ 0")
        (folder / "layout.hea").write_text(layout.replace("s1 3 500 200", "layout 3 500 0"))
        lines = ["layout 0", lines[0], f"~ {gap}", lines[1]]
    head = f"multi/{len(lines)} 3 500 {400 + gap}"
    (folder / "multi.hea").write_text("\n".join([head, *lines]) + "\n")
    return folder / "multi"


@pytest.mark.parametrize("gap", [0, 50])
def test_segments_are_joined_and_gaps_are_missing(tmp_path: Path, gap: int) -> None:
    record = read_record(_two_segments(tmp_path, gap=gap), ["V1", "I"])
    values = digital()[:, [2, 0]].T
    assert np.array_equal(record.signal[:, :200], values)
    assert np.array_equal(record.signal[:, 200 + gap :], values)
    assert np.all(record.signal[:, 200 : 200 + gap] == MISSING)
    assert record.lead_names == ("V1", "I")


def test_segments_of_different_gain_are_not_put_in_one_row(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match="unreadable: segments differ in gain"):
        read_record(_two_segments(tmp_path, gain=100.0))


def _remove(name: str) -> Callable[[Path], None]:
    return lambda path: path.with_name(name).unlink()


def _edit(old: str, new: str) -> Callable[[Path], None]:
    return lambda path: edit_header(path, old, new)


def _set_format(fmt: str) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        header = path.with_suffix(".hea")
        header.write_text(re.sub(r"dat \d+", f"dat {fmt}", header.read_text()))

    return edit


def _cut(path: Path) -> None:
    file = path.with_suffix(".dat")
    file.write_bytes(file.read_bytes()[:-1])


def _flip(path: Path) -> None:
    flip_byte(path.with_suffix(".dat"), 0)


def _link_out(name: str) -> Callable[[Path], None]:
    def link(path: Path) -> None:
        outside = path.parent.parent / "elsewhere"
        outside.mkdir()
        moved = path.with_name(name).rename(outside / name)
        path.with_name(name).symlink_to(moved)

    return link


FAULTS = [
    (_remove("100.hea"), "missing_file"),
    (_remove("100.dat"), "missing_file"),
    (_edit("100 3 500 200", "100 three 500 200"), "bad_header"),
    (_edit(" I\n", " III\n"), "missing_lead"),
    (_edit(" II\n", " I\n"), "bad_header"),
    (_edit("/mV", "/NU"), "unknown_unit"),
    (_edit("500 200", "500 1000000000000"), "truncated_file"),
    (_edit(" 200.0(0)", "+999999999999 200.0(0)"), "truncated_file"),
    (_cut, "truncated_file"),
    (_flip, "checksum_mismatch"),
    (_edit("100.dat", "../root/100.dat"), "outside_root"),
    (_edit("100.dat", "/etc/hostname"), "outside_root"),
    (_edit("100.dat", "..\\100.dat"), "outside_root"),
    (_edit("100.dat", ".."), "outside_root"),
    (_link_out("100.hea"), "outside_root"),
    (_link_out("100.dat"), "outside_root"),
    (_set_format("17"), "unreadable"),
    (_set_format("516"), "unreadable"),
]


@pytest.mark.parametrize("fmt", ["16", "212"])
@pytest.mark.parametrize(("damage", "reason"), FAULTS)
def test_each_fault_has_its_own_reason(
    tmp_path: Path, fmt: str, damage: Callable[[Path], None], reason: str
) -> None:
    root = tmp_path / "root"
    path = write_recording(root, fmt=fmt)
    assert read_record(path, ["I"], root=root).signal.shape == (1, 200)
    damage(path)
    with pytest.raises(BadRecord) as found:
        read_record(path, ["I"], root=root)
    assert found.value.reason == reason
    assert str(tmp_path) not in found.value.detail


@pytest.mark.parametrize("below", ["../out/100", "a/../../out/100", "link/100"])
def test_path_that_leaves_the_root_is_refused(tmp_path: Path, below: str) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    (root / "a").mkdir(parents=True)
    write_recording(out)
    (root / "link").symlink_to(out)
    for path in (root / below, root / out / "100"):
        with pytest.raises(BadRecord, match="outside_root"):
            read_record(path, root=root)
        assert read_record(path).signal.shape == (3, 200)


def test_links_and_dots_that_stay_below_the_root_are_fine(tmp_path: Path) -> None:
    write_recording(tmp_path / "a")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for below in ("a/100", "b/100", "b/../a/100"):
        assert read_record(tmp_path / below, root=tmp_path).signal.shape == (3, 200)


@pytest.mark.parametrize(
    "header",
    [
        "100 3 500 9000000000\n100.dat 16\n100.dat 16\n100.dat 16\n",
        "100 3 500 9000000000\n100.dat 212\n100.dat 212\n100.dat 212\n",
        "100 3 500 9000000000\n100.dat 516\n100.dat 516\n100.dat 516\n",
        "100 3 500 200\n100.dat 16x900000000\n100.dat 16\n100.dat 16\n",
        "100/2 3 500 9000000200\n~ 9000000000\ns 200\n",
        "100/3 3 500 200\nlayout 0\n~ 9000000000\ns 200\n",
    ],
)
def test_announced_lengths_are_never_allocated(tmp_path: Path, header: str) -> None:
    write_recording(tmp_path, "s")
    path = write_recording(tmp_path)
    (tmp_path / "100.hea").write_text(header)
    tracemalloc.start()
    try:
        with pytest.raises(BadRecord, match=r"truncated_file|unreadable"):
            read_record(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    at=st.integers(0, 300),
    text=st.sampled_from(["", " ", "0", "-1", "9" * 12, "~", "/", "x2", ":5", "+3", "\n", "nan"]),
    fmt=st.sampled_from(["16", "212", "80", "24", "8", "508"]),
)
def test_damaged_header_gives_a_record_or_a_bad_record(
    tmp_path: Path, at: int, text: str, fmt: str
) -> None:
    path = write_recording(tmp_path)
    edit_header(path, "dat 16", f"dat {fmt}")
    header = path.with_suffix(".hea").read_text()
    path.with_suffix(".hea").write_text(header[:at] + text + header[at + 1 :])
    try:
        record = read_record(path, root=tmp_path)
    except BadRecord:
        return
    assert record.signal.shape[0] == len(record.lead_names) == len(record.gain)


def test_absent_lead_gets_the_callers_value_and_is_never_filled_otherwise(tmp_path: Path) -> None:
    path = write_recording(tmp_path)  # I, II, V1
    with pytest.raises(BadRecord, match="missing_lead: aVR"):
        read_record(path, ["V1", "aVR"])
    record = read_record(path, ["V1", "AVR", "I"], absent=MISSING)
    assert record.lead_names == ("V1", "aVR", "I")
    assert np.array_equal(record.signal[[0, 2]], digital()[:, [2, 0]].T)
    assert np.isnan(record.physical()[1]).all()
    assert (read_record(path, ["V6", "I"], absent=0).physical()[0] == 0).all()
    with pytest.raises(BadRecord, match="missing_lead"):
        read_record(path, ["V5", "V6"], absent=0)
    united = read_record(_two_segments(tmp_path / "two"), ["V6", "I"], absent=MISSING)
    assert np.isnan(united.physical()[0]).all()
    assert np.array_equal(united.signal[1, :200], digital()[:, 0])
