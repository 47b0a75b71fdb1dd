"""The header parser against wfdb's own, and against whatever else may lie there."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import wfdb
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ecg_assets.errors import BadRecord
from ecg_assets.sources import read_header
from ecg_assets.sources.wfdb.header import Header, normalize_lead_name
from ecg_assets_tests.sources.wfdb_recordings import write_recording

UNITS_PER_MV = {"mV": 1, "mv": 1, "uV": 1e3, "V": 1e-3, "NU": math.nan, "mmHg": math.nan}
IN_ONE_FOLDER = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

integers = st.integers(-40_000, 40_000)
gains = st.one_of(
    st.sampled_from(["200", "200.0", "0", "1e3", "1.25e+04", "2963.77", "0.5", "-200"]),
    st.floats(1e-3, 1e6).map(lambda gain: f"{gain:.6f}"),
)
leads = st.one_of(
    st.sampled_from(["I", "aVR", "AVR", "v1", "MDC_ECG_LEAD_AVL", "ECG lead II", "MLII", "-aVR"]),
    st.text("abVIx23 +-", min_size=1, max_size=12).map(str.strip).filter(bool),
)
calibrations = st.tuples(
    gains, st.none() | integers, st.none() | st.sampled_from(sorted(UNITS_PER_MV))
)
layouts = st.sampled_from(["16", "16x1+24", "212", "16x4", "16:3", "516x2", "80:2+512"])


@st.composite
def signal_lines(draw: st.DrawFn) -> str:
    """One lead's line, cut off behind any of its optional fields."""
    gain, baseline, unit = draw(calibrations)
    calibration = gain
    if baseline is not None:
        calibration += f"({baseline})"
    if unit is not None:
        calibration += f"/{unit}"
    numbers = [str(abs(draw(integers))), *(str(draw(integers)) for _ in range(3)), "0"]
    fields = ["100.dat", draw(layouts), calibration, *numbers, draw(leads)]
    return " ".join(fields[: draw(st.integers(2, len(fields)))])


def _write(folder: Path, content: str | bytes) -> Path:
    file = folder / "100.hea"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / "100"


def _stated(value: Any, default: int) -> int:
    return default if value is None else int(value)


@IN_ONE_FOLDER
@given(
    lines=st.lists(signal_lines(), min_size=1, max_size=4),
    rate=st.sampled_from(["", " 500", " 62.4725/999.56", " 360.0(0)"]),
    length=st.none() | st.integers(1, 10**9),
)
def test_every_field_agrees_with_wfdb(
    tmp_path: Path, lines: list[str], rate: str, length: int | None
) -> None:
    first = f"100 {len(lines)}{rate}" + (f" {length}" if rate and length else "")
    path = _write(tmp_path, "\n".join([first, *lines, "# Dx: 1,2"]) + "\n")
    found, oracle = read_header(path), wfdb.rdheader(str(path))
    assert (found.sample_rate, found.n_samples) == (oracle.fs, oracle.sig_len)
    assert list(found.comments) == oracle.comments
    for at, line in enumerate(found.signals):
        assert (line.file_name, line.format) == (oracle.file_name[at], oracle.fmt[at])
        assert line.samples_per_frame == _stated(oracle.samps_per_frame[at], 1)
        assert line.skew == _stated(oracle.skew[at], 0)
        assert line.byte_offset == _stated(oracle.byte_offset[at], 0)
        assert line.units == oracle.units[at]
        per_mv = oracle.adc_gain[at] * UNITS_PER_MV[line.units]
        assert line.gain == pytest.approx(per_mv, rel=1e-12, nan_ok=True)
        assert line.baseline == _stated(oracle.baseline[at], 0)
        assert line.checksum == oracle.checksum[at]
        assert line.lead == normalize_lead_name(oracle.sig_name[at] or "")


@IN_ONE_FOLDER
@given(content=st.binary(max_size=200))
@example(b"")
@example(b"100 1000000000000 500 5000\n")
@example(b"100 1 nan 5000\n1.dat 16\n")
@example(b"100 1 500 5000\n1.dat 16 200(99999999999999999999)/mV\n")
@example(b"100 1 500 5000\n1.dat 16 1e999/mV\n")
@example(b"100 1 500 -5\n1.dat 16\n")
@example(b"100 1 500 5000\n1.dat sixteen\n")
@example(b"100/2 1 500 5000\na 5\n")
@example(b"100 1 500 5000\n1.dat 16 200 16 x\n")
def test_anything_else_is_a_bad_header_and_no_other_error(tmp_path: Path, content: bytes) -> None:
    path = _write(tmp_path, content)
    try:
        assert isinstance(read_header(path), Header)
    except BadRecord as error:
        assert error.reason == "bad_header"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "# only a comment\n",
        "100\n",
        "100 2 500 5000\n100.dat 16\n",
        "100 1 0 5000\n100.dat 16\n",
        "100 1 inf 5000\n100.dat 16\n",
        "100 1 500 5000\n100.dat\n",
        "100 1 500 5000\n100.dat 16 two/mV\n",
        "100 0 500 5000\n",
        "100/1 1 500 5000\nsegment\n",
        "# " + "x" * (1 << 20),
    ],
)
def test_header_that_cannot_be_meant_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(BadRecord, match="bad_header"):
        read_header(_write(tmp_path, content))


@pytest.mark.parametrize(
    ("gain", "per_mv", "unit"),
    [
        ("0/mV", 200.0, "mV"),
        ("", 200.0, "mV"),
        ("1/uV", 1000.0, "uV"),
        ("1/\u03bcV", 1000.0, "\u03bcV"),
        ("200000/V", 200.0, "V"),
        ("16(800)/mmHg", math.nan, "mmHg"),
    ],
)
def test_gain_is_per_mv_whatever_the_unit(
    tmp_path: Path, gain: str, per_mv: float, unit: str
) -> None:
    line = read_header(_write(tmp_path, f"100 1 500 5000\n100.dat 16 {gain}\n")).signals[0]
    assert line.gain == pytest.approx(per_mv, nan_ok=True)
    assert line.units == unit


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-8-sig"])
def test_micro_sign_is_understood_in_each_encoding(tmp_path: Path, encoding: str) -> None:
    content = "100 1 500 5000\n100.dat 16 2/µV\n".encode(encoding)
    line = read_header(_write(tmp_path, content)).signals[0]
    assert (line.gain, line.units) == (2000.0, "µV")


def test_baseline_is_the_adc_zero_unless_stated(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        "100 3 500 5000\nd 16 200/mV 12 1024 0 0 0 I\nd 16 200(7)/mV 12 1024 0 0 0 II\nd 16 200\n",
    )
    assert [line.baseline for line in read_header(path).signals] == [1024, 7, 0]


def test_comments_are_found_by_name(tmp_path: Path) -> None:
    path = write_recording(tmp_path)
    with path.with_suffix(".hea").open("a") as header:
        header.write("#Dx: 426783006,164889003\n# Age: 57\n# Sex:Female\n# no field\n# age: 3\n")
    assert read_header(path).comment_fields() == {
        "dx": "426783006,164889003",
        "age": "57",
        "sex": "Female",
    }


def test_all_values_of_a_comment_are_kept(tmp_path: Path) -> None:
    path = write_recording(tmp_path)
    with path.with_suffix(".hea").open("a") as header:
        header.write("#Dx: 1,2\n# dx : 3\n# Age: 57\n")
    assert read_header(path).comment_values() == {"dx": ["1,2", "3"], "age": ["57"]}


def test_path_may_have_the_extension(tmp_path: Path) -> None:
    path = write_recording(tmp_path)
    dotted = path.with_suffix(".hea").rename(tmp_path / "10.0.hea")
    assert read_header(tmp_path / "10.0") == read_header(dotted)


def test_folder_in_the_place_of_a_header_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "100.hea").mkdir()
    with pytest.raises(BadRecord, match="unreadable"):
        read_header(tmp_path / "100")
