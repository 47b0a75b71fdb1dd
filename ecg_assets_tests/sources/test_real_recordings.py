"""Real recordings: the same integers and millivolts as wfdb, whatever the format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecg_assets.errors import BadRecord
from ecg_assets.sources import MISSING, read_record
from ecg_assets_tests.sources.wfdb_recordings import rdrecord

pytestmark = pytest.mark.reference

OTHER_FORMATS = (
    *("100", "100_3chan", "3000003_0003", "310derive", "310derive_2", "310derive_3"),
    *("a103l", "flac_3_constant", "v102s"),
)


def _require_same(path: Path, root: Path) -> None:
    record = read_record(path, root=root)
    digital, physical = rdrecord(path, physical=False), rdrecord(path).p_signal
    missing = np.isnan(physical).T
    assert np.array_equal(record.signal[~missing], digital.d_signal.T[~missing])
    assert np.all(record.signal[missing] == MISSING)
    is_voltage = ~np.isnan(record.gain)
    assert is_voltage.tolist() == [unit.lower() == "mv" for unit in digital.units]
    assert np.array_equal(
        record.physical()[is_voltage], physical.T[is_voltage].astype(np.float32), equal_nan=True
    )
    assert record.sample_rate == digital.fs
    assert record.signal.dtype == np.int16


@pytest.mark.parametrize("dataset", ["georgia", "ningbo", "ptb-xl"])
def test_challenge_recordings_agree_with_wfdb(reference_data: Path, dataset: str) -> None:
    root = reference_data / "real_ecg" / "physionet2021"
    headers = sorted((root / dataset).rglob("*.hea"))
    assert len(headers) >= 5
    for header in headers:
        _require_same(header.with_suffix(""), root)


def test_recordings_in_mimics_layout_agree_with_wfdb(reference_data: Path) -> None:
    root = reference_data / "lead1_pipeline_golden" / "raw"
    headers = sorted(root.rglob("*.hea"))
    assert len(headers) == 6
    for header in headers:
        _require_same(header.with_suffix(""), root)
    second, third = (read_record(h.with_suffix(""), ["I"]).signal for h in headers[1:3])
    assert (second == MISSING).sum() == 10
    assert np.ptp(third) == 0


@pytest.mark.parametrize("name", OTHER_FORMATS)
def test_recording_of_another_format_agrees_with_wfdb(reference_data: Path, name: str) -> None:
    root = reference_data / "real_ecg" / "wfdb_formats"
    _require_same(root / name, root)


@pytest.mark.parametrize(
    ("name", "leads", "rate"),
    [
        ("03700181", ["MCL1"], 500.0),
        ("mixedsignals", ["V", "II"], 4 * 62.4725),
    ],
)
def test_leads_with_several_samples_a_frame_come_as_they_were_sampled(
    reference_data: Path, name: str, leads: list[str], rate: float
) -> None:
    path = reference_data / "real_ecg" / "wfdb_formats" / name
    oracle = rdrecord(path, physical=False, smooth_frames=False)
    record = read_record(path, leads)
    assert record.sample_rate == rate
    for lead, signal in zip(leads, record.signal, strict=True):
        assert np.array_equal(signal, oracle.e_d_signal[oracle.sig_name.index(lead)])
    with pytest.raises(BadRecord, match="mixed_sample_rates"):
        read_record(path)


def test_leads_of_a_recording_whose_second_file_is_missing(reference_data: Path) -> None:
    path = reference_data / "real_ecg" / "wfdb_formats" / "s0010_re"
    record = read_record(path, ["V6", "aVR"])
    oracle = rdrecord(path, physical=False, channels=[11, 3]).d_signal
    assert np.array_equal(record.signal.T, oracle)
    with pytest.raises(BadRecord, match=r"missing_file: s0010_re\.xyz"):
        read_record(path)


def test_header_without_a_signal_file_is_a_missing_file(reference_data: Path) -> None:
    with pytest.raises(BadRecord, match=r"missing_file: 1003\.dat"):
        read_record(reference_data / "real_ecg" / "wfdb_formats" / "1003", ["II"])
