"""Reading by a path's form: the same recording comes out of every format."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray

from ecg_assets.errors import BadRecord, SettingsError
from ecg_assets.sources import MISSING, read_record, read_recording
from ecg_assets.sources.file_limits import MOST_TEXT_BYTES
from ecg_assets.sources.folder import arrays as array_record
from ecg_assets_tests.sources.wfdb_recordings import LEADS, digital, write_recording

SETTINGS = "leads: [I, II, V1]\nsample_rate_hz: 500\n"


def _signal() -> NDArray[np.float64]:
    """Millivolts ``(lead, sample)`` of the recording that `write_recording` writes."""
    return digital().T / 200


def _settle(root: Path, text: str = SETTINGS) -> None:
    (root / "folder.yaml").write_text(text, encoding="utf-8")


def _write_csv(path: Path, signal: NDArray[np.float64], header: str = "I,II,V1") -> None:
    rows = "\n".join(",".join("" if np.isnan(v) else repr(float(v)) for v in s) for s in signal.T)
    path.write_text(f"{header}\n{rows}\n", encoding="utf-8")


def _reason(path: Path, *, root: Path, leads: tuple[str, ...] = ("II",)) -> str:
    with pytest.raises(BadRecord) as error:
        read_recording(path, leads, root=root)
    assert str(root) not in error.value.detail
    return error.value.reason


def test_every_format_gives_the_same_millivolts(tmp_path: Path) -> None:
    _settle(tmp_path)
    signal = _signal()
    write_recording(tmp_path, "wfdb")
    np.save(tmp_path / "lead_first.npy", signal)
    np.save(tmp_path / "sample_first.npy", signal.T.astype(np.float32))
    _write_csv(tmp_path / "table.csv", signal)
    scipy.io.savemat(tmp_path / "val.mat", {"val": signal.T})
    scipy.io.savemat(tmp_path / "packed.mat", {"feats": signal}, do_compression=True)
    names = ("lead_first.npy", "sample_first.npy", "table.csv", "val.mat", "packed.mat")
    expected = read_recording(tmp_path / "wfdb", ["V1", "I"], root=tmp_path)
    assert expected.lead_names == ("V1", "I")
    for name in names:
        found = read_recording(tmp_path / name, ["V1", "I"], root=tmp_path)
        assert found.lead_names == expected.lead_names
        assert found.sample_rate == 500
        assert found.signal.dtype == np.int16
        assert np.allclose(found.physical(), expected.physical(), atol=1e-6), name
        every = read_recording(tmp_path / name, root=tmp_path)
        assert every.lead_names == LEADS


def test_wfdb_record_is_read_by_the_wfdb_reader(tmp_path: Path) -> None:
    write_recording(tmp_path, "100")
    for name in ("100", "100.hea"):
        found = read_recording(tmp_path / name, ["II"], root=tmp_path)
        assert np.array_equal(found.signal, read_record(tmp_path / "100", ["II"]).signal)
    (tmp_path / "100.dat").rename(tmp_path / "100.mat")
    header = (tmp_path / "100.hea").read_text().replace("100.dat", "100.mat")
    (tmp_path / "100.hea").write_text(header)
    assert read_recording(tmp_path / "100.mat", ["II"], root=tmp_path).gain.tolist() == [200]


def test_integers_are_stored_as_they_are(tmp_path: Path) -> None:
    _settle(tmp_path, SETTINGS + "units_per_mv: 200\n")
    stored = digital().T.astype(np.int16)
    stored[0, 5] = MISSING
    np.save(tmp_path / "a.npy", stored)
    scipy.io.savemat(tmp_path / "b.mat", {"val": stored.astype(np.int32)})
    for name in ("a.npy", "b.mat"):
        found = read_recording(tmp_path / name, root=tmp_path)
        assert np.array_equal(found.signal, stored)
        assert found.gain.tolist() == [200] * 3
        assert np.isnan(found.physical()[0, 5])
    np.save(tmp_path / "c.npy", stored.astype(np.int32) * 100)
    assert _reason(tmp_path / "c.npy", root=tmp_path) == "samples_exceed_int16"
    _settle(tmp_path)
    assert _reason(tmp_path / "a.npy", root=tmp_path) == "unknown_unit"


@pytest.mark.parametrize("name", ["a.npy", "a.mat"])
def test_integers_that_cannot_be_in_the_stated_unit_are_refused(tmp_path: Path, name: str) -> None:
    microvolts = np.round(_signal() * 150).astype(np.int16)
    microvolts[1, 3:5] = (MISSING, 900)
    if name == "a.npy":
        np.save(tmp_path / name, microvolts)
    else:
        scipy.io.savemat(tmp_path / name, {"val": microvolts})
    _settle(tmp_path, SETTINGS + "units_per_mv: 1\n")
    with pytest.raises(BadRecord, match=r"unlikely_unit: .*folder\.yaml's units_per_mv"):
        read_recording(tmp_path / name, root=tmp_path)
    _settle(tmp_path, SETTINGS + "units_per_mv: 1000\n")
    found = read_recording(tmp_path / name, root=tmp_path)
    assert np.nanmax(found.physical()) == pytest.approx(0.9)


def test_missing_samples_do_not_count_to_what_a_lead_spans(tmp_path: Path) -> None:
    _settle(tmp_path, SETTINGS + "units_per_mv: 500\n")
    stored = np.full((3, 20), MISSING, dtype=np.int16)
    stored[1, :2] = (-5, 32_000)
    np.save(tmp_path / "a.npy", stored)
    assert np.array_equal(read_recording(tmp_path / "a.npy", root=tmp_path).signal, stored)


def test_unit_of_floats_is_that_of_the_folder(tmp_path: Path) -> None:
    _settle(tmp_path, SETTINGS + "units_per_mv: 1000\n")
    np.save(tmp_path / "microvolts.npy", _signal() * 1000)
    found = read_recording(tmp_path / "microvolts.npy", root=tmp_path)
    assert np.allclose(found.physical(), _signal(), atol=1e-6)


def test_empty_cells_and_nan_are_missing(tmp_path: Path) -> None:
    _settle(tmp_path)
    signal = _signal()
    signal[1, 7] = np.nan
    np.save(tmp_path / "a.npy", signal)
    _write_csv(tmp_path / "b.csv", signal)
    for name in ("a.npy", "b.csv"):
        found = read_recording(tmp_path / name, ["II"], root=tmp_path)
        assert np.flatnonzero(found.signal == MISSING).tolist() == [7]


def test_sample_rate_is_the_files_own_then_the_rows_then_the_folders(tmp_path: Path) -> None:
    _settle(tmp_path)
    np.save(tmp_path / "a.npy", _signal())
    scipy.io.savemat(tmp_path / "b.mat", {"signal": _signal(), "fs": 400})
    rates = [
        read_recording(tmp_path / name, root=tmp_path).sample_rate
        for name in ("a.npy", "a.npy#62.5", "b.mat", "b.mat#400")
    ]
    assert rates == [500, 62.5, 400, 400]
    assert _reason(tmp_path / "b.mat#250", root=tmp_path) == "bad_sample_rate"
    assert _reason(tmp_path / "a.npy#fast", root=tmp_path) == "bad_sample_rate"
    _settle(tmp_path, "leads: [I, II, V1]")
    assert _reason(tmp_path / "a.npy", root=tmp_path) == "missing_sample_rate"


def test_leads_are_found_by_any_spelling_and_never_guessed(tmp_path: Path) -> None:
    _settle(tmp_path)
    _write_csv(tmp_path / "a.csv", _signal(), header="DI, lead II ,v1")
    assert read_recording(tmp_path / "a.csv", root=tmp_path).lead_names == ("I", "II", "V1")
    assert _reason(tmp_path / "a.csv", root=tmp_path, leads=("V6",)) == "missing_lead"
    _write_csv(tmp_path / "b.csv", _signal(), header="II,II,V1")
    assert _reason(tmp_path / "b.csv", root=tmp_path) == "bad_header"
    np.save(tmp_path / "c.npy", _signal())
    _settle(tmp_path, "sample_rate_hz: 500")
    assert _reason(tmp_path / "c.npy", root=tmp_path) == "missing_lead_names"
    _settle(tmp_path, "sample_rate_hz: 500\nleads: [I, II]")
    assert _reason(tmp_path / "c.npy", root=tmp_path) == "bad_shape"
    np.save(tmp_path / "square.npy", np.zeros((3, 3)))
    _settle(tmp_path)
    assert _reason(tmp_path / "square.npy", root=tmp_path) == "bad_shape"


class _Planted:
    """An object whose unpickling writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_objects_in_a_file_are_never_unpickled(tmp_path: Path) -> None:
    _settle(tmp_path)
    planted = np.array([_Planted(tmp_path / "executed")], dtype=object)
    np.save(tmp_path / "a.npy", planted, allow_pickle=True)
    (tmp_path / "b.npy").write_bytes(planted.dumps())
    for name in ("a.npy", "b.npy"):
        assert _reason(tmp_path / name, root=tmp_path) == "unreadable"
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["a.npy", "a.csv", "a.mat"])
def test_spoilt_file_is_a_bad_record(tmp_path: Path, name: str) -> None:
    _settle(tmp_path)
    path = tmp_path / name
    assert _reason(path, root=tmp_path) == "missing_file"
    if name == "a.npy":
        np.save(path, _signal())
    elif name == "a.mat":
        scipy.io.savemat(path, {"val": _signal()}, do_compression=True)
    else:
        _write_csv(path, _signal())
    whole = path.read_bytes()
    generator = np.random.default_rng(1)
    for _ in range(200):
        content = bytearray(whole[: int(generator.integers(len(whole)))])
        for place in generator.integers(max(len(content), 1), size=3):
            content[place : place + 1] = generator.bytes(1)
        path.write_bytes(content)
        try:
            read_recording(path, ["II"], root=tmp_path)
        except BadRecord as error:
            assert str(tmp_path) not in error.detail


def test_file_that_claims_more_than_it_holds_allocates_nothing(tmp_path: Path) -> None:
    _settle(tmp_path)
    np.save(tmp_path / "a.npy", _signal())
    content = (tmp_path / "a.npy").read_bytes()
    assert b"(3, 200)" in content
    # The header's length is fixed; blanks at its end make room.
    claimed = content.replace(b"(3, 200)", b"(3, 2000000000000)", 1).replace(b" " * 10, b"", 1)
    (tmp_path / "a.npy").write_bytes(claimed)
    assert _reason(tmp_path / "a.npy", root=tmp_path) == "unreadable"


@pytest.mark.parametrize("dtype", ["<f8", "<i2", "<f4"])
@pytest.mark.parametrize("shape", [(3, 1 << 30), (1 << 30, 3), (3, 1 << 23)])
def test_npy_of_holes_is_refused_before_it_is_copied(
    tmp_path: Path, dtype: str, shape: tuple[int, int]
) -> None:
    _settle(tmp_path, SETTINGS + "units_per_mv: 1\n")
    with (tmp_path / "a.npy").open("wb") as file:
        header = {"descr": dtype, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + shape[0] * shape[1] * np.dtype(dtype).itemsize)
    tracemalloc.start()
    try:
        assert _reason(tmp_path / "a.npy", root=tmp_path) == "unreadable"
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_csv_of_too_many_rows_or_bytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _settle(tmp_path)
    _write_csv(tmp_path / "a.csv", _signal())
    monkeypatch.setattr(array_record, "MOST_SAMPLES", 199)
    assert _reason(tmp_path / "a.csv", root=tmp_path) == "unreadable"
    monkeypatch.undo()
    with (tmp_path / "a.csv").open("ab") as file:
        file.truncate(MOST_TEXT_BYTES + 1)
    with pytest.raises(BadRecord, match=rf"unreadable: a\.csv has {MOST_TEXT_BYTES + 1} bytes"):
        read_recording(tmp_path / "a.csv", root=tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of POSIX")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["a.npy", "a.csv", "a.mat"])
def test_named_pipe_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    _settle(tmp_path)
    os.mkfifo(tmp_path / name)
    assert _reason(tmp_path / name, root=tmp_path) == "unreadable"
    (tmp_path / "folder.yaml").unlink()
    os.mkfifo(tmp_path / "folder.yaml")
    with pytest.raises(SettingsError, match=r"folder\.yaml: it is no regular file"):
        read_recording(tmp_path / "b.csv", root=tmp_path)


def test_damaged_mat_that_crashes_its_reader_is_a_bad_record(tmp_path: Path) -> None:
    _settle(tmp_path)
    scipy.io.savemat(tmp_path / "whole.mat", {"val": _signal(), "fs": 500.0})
    content = bytearray((tmp_path / "whole.mat").read_bytes())
    # The data's type, behind the header, the matrix' flags, its shape and its name.
    at = content.index((9).to_bytes(4, "little"), 128 + 40)
    content[at] = 0
    (tmp_path / "damaged.mat").write_bytes(content)
    for _ in range(2):
        assert _reason(tmp_path / "damaged.mat", root=tmp_path) == "unreadable"
        assert read_recording(tmp_path / "whole.mat", root=tmp_path).signal.shape == (3, 200)


def test_path_and_root_may_be_strings(tmp_path: Path) -> None:
    _settle(tmp_path)
    np.save(tmp_path / "a.npy", _signal())
    write_recording(tmp_path, "100", fmt="24")
    for name in ("a.npy", "a.npy#500", "100"):
        assert read_recording(f"{tmp_path}/{name}", ["II"], root=str(tmp_path)).sample_rate == 500
    with pytest.raises(BadRecord, match="missing_file"):
        read_recording(f"{tmp_path}/b.npy", ["II"], root=str(tmp_path))


def test_other_contents_are_named(tmp_path: Path) -> None:
    _settle(tmp_path)
    scipy.io.savemat(tmp_path / "a.mat", {"other": _signal()})
    (tmp_path / "b.csv").write_text("I,II\n0.1,high\n")
    np.save(tmp_path / "c.npy", np.full((3, 9), "x"))
    for name in ("a.mat", "b.csv", "c.npy"):
        assert _reason(tmp_path / name, root=tmp_path) == "unreadable"


@pytest.mark.parametrize("name", ["x.npy", "x.csv", "x.mat"])
def test_file_outside_the_root_is_refused(tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    _settle(root)
    (tmp_path / name).write_text("I,II\n1,2\n")
    (root / name).symlink_to(tmp_path / name)
    assert _reason(root / name, root=root) == "outside_root"
    assert _reason(root / ".." / name, root=root) == "outside_root"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sample_rate: 500", "unknown keys"),
        ("sample_rate_hz: fast", "sample_rate_hz is 'fast'"),
        ("sample_rate_hz: -1", "above 0"),
        ("leads: I", "expected a list"),
        ("leads: [I, DI]", "twice"),
        ("leads: [1]", "expected names"),
        ("- 1", "keys and values"),
        ("{", "folder.yaml"),
        ("leads: [I]\nleads: [II]", r"keys \['leads'\] stand there more than once"),
        ("leads: &x [I]\nunits_per_mv: *x", "alias"),
        ("leads: " + "[" * 3000 + "]" * 3000, "nested too deep"),
        ("#" * ((1 << 20) + 1), "at most 1048576 are read"),
    ],
)
def test_folder_yaml_that_cannot_be_meant_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    _settle(tmp_path, text)
    _write_csv(tmp_path / "a.csv", _signal())
    with pytest.raises(SettingsError, match=message):
        read_recording(tmp_path / "a.csv", root=tmp_path)


@pytest.mark.reference
def test_real_code_15_mat_files_are_read(reference_data: Path, tmp_path: Path) -> None:
    names = "[I, II, III, aVR, aVL, aVF, V1, V2, V3, V4, V5, V6]"
    _settle(tmp_path, f"leads: {names}")
    files = sorted((reference_data / "real_ecg" / "code15" / "org").glob("*.mat"))
    assert len(files) == 10
    for file in files:
        (tmp_path / file.name).write_bytes(file.read_bytes())
        found = read_recording(tmp_path / file.name, ["aVL", "II"], root=tmp_path)
        expected = scipy.io.loadmat(file)["feats"][[4, 1]]
        assert np.abs(found.physical() - expected).max() < 0.5001e-3
        assert found.sample_rate == 400
