"""Reading recordings that wfdb wrote: the same integers, the same millivolts, each fault found."""

from __future__ import annotations

import os
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


def _put_in_frames(path: Path, *numbers: int) -> None:
    """Make frames of a record of format 16: so many samples of each lead, one after the other."""
    frames = np.fromfile(path.with_suffix(".dat"), dtype="<i2").reshape(-1, sum(numbers))
    lines = [f"{path.name} {len(numbers)} 62.4725 {len(frames)}"]
    ends = np.cumsum(numbers).tolist()
    for number, end, lead in zip(numbers, ends, LEADS, strict=True):
        checksum = int(frames[:, end - number : end].sum(dtype=np.int64)) % 65536
        lines.append(f"{path.name}.dat 16x{number} 200/mV 16 0 0 {checksum} 0 {lead}")
    path.with_suffix(".hea").write_text("\n".join(lines) + "\n")


def test_frame_of_several_samples_is_read_as_so_many_samples(tmp_path: Path) -> None:
    path = write_recording(tmp_path, signal=digital(400))
    samples = np.fromfile(tmp_path / "100.dat", dtype="<i2")
    samples[7] = -32768
    samples.tofile(tmp_path / "100.dat")
    _put_in_frames(path, 8, 8, 8)
    expected = samples.reshape(50, 3, 8).transpose(1, 0, 2).reshape(3, 400)
    record = read_record(path)
    assert np.array_equal(record.signal, expected)
    assert record.sample_rate == pytest.approx(499.78)
    assert np.flatnonzero(np.isnan(record.physical()[0])).tolist() == [7]


def test_leads_of_different_rates_are_read_by_name_and_not_together(tmp_path: Path) -> None:
    path = write_recording(tmp_path, signal=digital(400))
    _put_in_frames(path, 4, 1, 1)
    samples = np.fromfile(tmp_path / "100.dat", dtype="<i2").reshape(200, 6)
    first, others = read_record(path, ["I"]), read_record(path, ["V1", "II"])
    assert np.array_equal(first.signal[0], samples[:, :4].ravel())
    assert np.array_equal(others.signal, samples[:, [5, 4]].T)
    assert (first.sample_rate, others.sample_rate) == (4 * 62.4725, 62.4725)
    with pytest.raises(BadRecord, match=r"mixed_sample_rates: .*I 4, II 1, V1 1"):
        read_record(path)


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


def _reorder(path: Path, *order: int) -> None:
    """Write a recording's leads in another order, header and samples."""
    header = path.with_suffix(".hea")
    first, *lines = header.read_text().splitlines()
    header.write_text("\n".join([first, *(lines[at] for at in order)]) + "\n")
    samples = np.fromfile(path.with_suffix(".dat"), dtype="<i2").reshape(-1, len(lines))
    samples[:, order].tofile(path.with_suffix(".dat"))


@pytest.mark.parametrize("leads", [None, ["V1", "I"]])
def test_segments_with_leads_in_another_order_are_joined_by_name(
    tmp_path: Path, leads: list[str] | None
) -> None:
    path = _two_segments(tmp_path)
    expected = read_record(path, leads).signal
    _reorder(tmp_path / "s2", 2, 0, 1)
    assert np.array_equal(read_record(path, leads).signal, expected)


def test_segment_of_a_layout_may_lack_a_lead_and_a_fixed_one_may_not(tmp_path: Path) -> None:
    path = _two_segments(tmp_path, gap=50)
    write_recording(tmp_path, "s2", signal=digital(n_leads=2), leads=("V1", "I"))
    record = read_record(path, ["II", "I"])
    assert np.array_equal(record.signal[:, :200], digital()[:, [1, 0]].T)
    assert np.all(record.signal[0, 200:] == MISSING)
    assert np.array_equal(record.signal[1, 250:], digital(n_leads=2)[:, 1])
    with pytest.raises(BadRecord, match="segments_differ: segment s2 has the leads V1, I, not"):
        read_record(_fixed(tmp_path))


def _fixed(folder: Path) -> Path:
    """Write a header of the segments s1 and s2 without a layout."""
    (folder / "fixed.hea").write_text("fixed/2 3 500 400\ns1 200\ns2 200\n")
    return folder / "fixed"


@pytest.mark.parametrize(
    ("segment", "old", "new", "reason"),
    [
        ("s2", " V1", " V5", "segments_differ"),
        ("s2", " V1", " I", "segments_differ"),
        ("s2", "3 500 200", "3 250 200", "segments_differ"),
        ("s1", "3 500 200", "3 500 199", "segments_differ"),
        ("s2", "3 500 200", "3 500 201", "segments_differ"),
        ("fixed", "3 500 400", "3 250 400", "segments_differ"),
        ("fixed", "3 500 400", "3 500 399", "bad_header"),
        ("s2", " 0 V1", "", "segments_differ"),
    ],
)
def test_segments_that_do_not_fit_together_are_refused(
    tmp_path: Path, segment: str, old: str, new: str, reason: str
) -> None:
    _two_segments(tmp_path)
    path = _fixed(tmp_path)
    assert read_record(path, ["I"]).signal.shape == (1, 400)
    edit_header(tmp_path / segment, old, new)
    with pytest.raises(BadRecord, match=reason):
        read_record(path, ["I"])


def test_damage_in_a_segment_is_found_by_its_checksum(tmp_path: Path) -> None:
    path = _two_segments(tmp_path)
    flip_byte(tmp_path / "s2.dat", 0)
    with pytest.raises(BadRecord, match="checksum_mismatch: lead I"):
        read_record(path, ["I"])


def test_lead_that_no_segment_holds_is_a_missing_lead(tmp_path: Path) -> None:
    path = _two_segments(tmp_path, gap=50)
    for name in ("s1", "s2"):
        write_recording(tmp_path, name, signal=digital(n_leads=2), leads=("V1", "I"))
    with pytest.raises(BadRecord, match="missing_lead"):
        read_record(path, ["II"])
    assert np.all(read_record(path).signal[1] == MISSING)


@pytest.mark.parametrize("fmt", ["16", "212", "24"])
@pytest.mark.parametrize(
    "date",
    [
        *("31/02/2020", "2006", "05-May-2020", "1/1/1/1", "00/00/0000"),
        *("25:61:61", "noon", "12:00:00 2020-05-05T00:00"),
    ],
)
def test_base_time_and_date_are_not_needed_to_read(tmp_path: Path, fmt: str, date: str) -> None:
    path = write_recording(tmp_path, fmt=fmt)
    edit_header(path, "3 500 200", f"3 500 200 {date}")
    assert np.array_equal(read_record(path).signal.T, digital())
    multi = _two_segments(tmp_path)
    edit_header(multi, "3 500 400", f"3 500 400 {date}")
    edit_header(tmp_path / "s2", "3 500 200", f"3 500 200 {date}")
    assert read_record(multi).signal.shape == (3, 400)


def test_differences_start_at_the_initial_value(tmp_path: Path) -> None:
    steps = np.array([[0, 0], [3, -4], [-128, 127]], dtype=np.int8)
    steps.tofile(tmp_path / "8.dat")
    (tmp_path / "8.hea").write_text(
        "8 2 500 3\n8.dat 8 200/mV 12 0 -995 0 0 I\n8.dat 8 200/mV 12 0 40 0 0 II\n"
    )
    edit_header(tmp_path / "8", " -995 0 0 I", " -995 62429 0 I")
    edit_header(tmp_path / "8", " 40 0 0 II", " 40 239 0 II")
    _require_same(read_record(tmp_path / "8"), tmp_path / "8")
    assert read_record(tmp_path / "8", ["II"]).signal.tolist() == [[40, 36, 163]]


@pytest.mark.parametrize(
    "header",
    [
        "100 3 500 100\n100.dat 212 200\nother.dat 212 200\n100.dat 212 200\n",
        "100 3 500 100\n100.dat 212 200\n100.dat 16 200\n100.dat 212 200\n",
        "100 3 500 100\n100.dat 212+4 200\n100.dat 212 200\n100.dat 212 200\n",
        "100 3 500\n100.dat 516 200\n100.dat 516 200\n100.dat 516 200\n",
    ],
)
def test_header_that_says_of_one_file_what_cannot_be_is_refused(
    tmp_path: Path, header: str
) -> None:
    path = write_recording(tmp_path)
    write_recording(tmp_path, "other")
    path.with_suffix(".hea").write_text(header)
    with pytest.raises(BadRecord, match="bad_header"):
        read_record(path)


def test_path_may_be_a_string(tmp_path: Path) -> None:
    for fmt in ("16", "212"):
        path = write_recording(tmp_path / fmt, fmt=fmt)
        record = read_record(str(path), ["II"], root=str(tmp_path))
        assert np.array_equal(record.signal[0], digital()[:, 1])
        path.with_suffix(".dat").unlink()
        for root in (None, str(tmp_path)):
            with pytest.raises(BadRecord, match="missing_file"):
                read_record(str(path), root=root)
    assert read_record(str(_two_segments(tmp_path)), ["I"]).signal.shape == (1, 400)


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "100.hea/100", "\udc80"])
def test_name_that_no_file_can_have_is_a_bad_record(tmp_path: Path, name: str) -> None:
    write_recording(tmp_path)
    for root in (None, tmp_path, tmp_path / "elsewhere"):
        with pytest.raises(BadRecord):
            read_record(f"{tmp_path}/{name}", root=root)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of POSIX")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("fmt", ["16", "212"])
@pytest.mark.parametrize("name", ["100.hea", "100.dat"])
def test_named_pipe_is_refused_and_not_waited_for(tmp_path: Path, fmt: str, name: str) -> None:
    path = write_recording(tmp_path, fmt=fmt)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(BadRecord, match=rf"unreadable: {name} is no regular file"):
        read_record(path, root=tmp_path)


@pytest.mark.parametrize("fmt", ["16", "212", "24"])
@pytest.mark.parametrize("length", ["", " 20000000000"])
def test_file_of_holes_is_refused_before_anything_is_allocated(
    tmp_path: Path, fmt: str, length: str
) -> None:
    path = write_recording(tmp_path, fmt=fmt)
    edit_header(path, "3 500 200", f"3 500{length}")
    with (tmp_path / "100.dat").open("r+b") as file:
        file.truncate(6 << 36)
    tracemalloc.start()
    try:
        with pytest.raises(BadRecord, match="unreadable"):
            read_record(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


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
