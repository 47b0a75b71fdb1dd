"""Signal specs by value: each against the authors' own arrays, scipy, or its definition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import signal as scipy_signal

from ecg_assets.errors import SpecMismatch
from ecg_assets.preprocess import (
    STANDARD_LEADS,
    SignalSpec,
    count_segments,
    segment,
    signal_spec_of_kind,
    standardize,
)
from ecg_assets.preprocess.filters import apply_filters
from ecg_assets.preprocess.model_input import count_standardized, prepare
from ecg_assets.preprocess.resample import resample
from ecg_assets.preprocess.signal_spec import RESAMPLING, RecordPart
from ecg_assets.preprocess.signal_steps import Butterworth, Fir, Normalization, Notch
from ecg_assets_tests.preprocess.recordings import make_signal

STEEP = {"kind": "butterworth", "order": 5}
HUBERT: dict[str, Any] = {
    "filter": [{"kind": "fir", "low_hz": 0.05, "high_hz": 47, "length_s": 0.3}],
    "normalization": {"kind": "min-max", "low": -1, "high": 1, "epsilon": 1e-8},
    "resampling": "fourier",
    "order": ["filter", "resample", "normalize", "part", "segment"],
    "layout": "end-to-end",
    "decimation": 5,
    "fill": "mean",
}
ST_MEM: dict[str, Any] = {
    "resampling": "fourier",
    "sample_rate_hz": 250,
    "order": ["part", "resample", "segment", "filter", "normalize"],
    "filter": [{**STEEP, "low_hz": 0.67}, {**STEEP, "high_hz": 40}],
    "normalization": {"kind": "z-score", "scope": "recording"},
    "segment_s": 9.0,
    "stride_s": 0.5,
}
JEPA: dict[str, Any] = {
    "resampling": "fourier",
    "sample_rate_hz": 250,
    "normalization": "none",
    "segment_s": 10.0,
}
JEPA_FINE_TUNED = {**JEPA, "filter": ST_MEM["filter"]}
MERL: dict[str, Any] = {
    "normalization": {"kind": "min-max", "scope": "recording", "epsilon": 1e-8},
    "segment_s": 10.0,
    "padding": "zeros",
}
CLEF: dict[str, Any] = {
    "filter": [{**STEEP, "low_hz": 0.67, "high_hz": 40, "form": "ba"}],
    "normalization": {"kind": "z-score", "epsilon": 1e-8},
    "segment_s": 10.0,
}
S4 = {"resampling": "kaiser-best", "sample_rate_hz": 100, "normalization": "none"}
CPC = {**S4, "sample_rate_hz": 240}
EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
OF_MERL = (*STANDARD_LEADS[:4], "aVF", "aVL", *STANDARD_LEADS[6:])


@pytest.fixture(scope="module")
def recordings(reference_data: Path) -> NDArray[np.float64]:
    """The two recordings of the golden arrays in mV, ``(record, lead, sample)`` at 500 Hz."""
    folder = reference_data / "real_ecg" / "physionet2021"
    names = ["georgia/E07501", "ptb-xl/HR06001"]
    signals = [wfdb.rdrecord(str(folder / name)).p_signal.T[:, :5000] for name in names]
    return np.stack(signals).astype(np.float64)


@pytest.mark.reference
@pytest.mark.parametrize(
    ("kind", "leads", "golden"),
    [
        (JEPA, EIGHT, "ecg_jepa_golden/preprocess_linear_probe_output"),
        (JEPA_FINE_TUNED, EIGHT, "ecg_jepa_golden/preprocess_finetune_output"),
        (MERL, OF_MERL, "merl_resnet18_golden/preprocess_output"),
        (S4, STANDARD_LEADS, "s4_golden/preprocess_output"),
        (CPC, STANDARD_LEADS, "ecg_cpc_golden/preprocess_output"),
    ],
)
def test_whole_recordings_equal_the_authors(
    recordings: NDArray[np.float64],
    reference_data: Path,
    kind: dict[str, Any],
    leads: tuple[str, ...],
    golden: str,
) -> None:
    expected = np.load(reference_data / f"{golden}.npy")
    spec = signal_spec_of_kind(kind, leads=leads)
    chosen = recordings[:, [STANDARD_LEADS.index(lead) for lead in leads]]
    np.testing.assert_allclose(prepare(chosen, 500, spec), expected, rtol=0, atol=1e-5)


@pytest.mark.reference
def test_leads_laid_end_to_end_equal_hubert_ecg_s(
    recordings: NDArray[np.float64], reference_data: Path
) -> None:
    folder = reference_data / "hubert_ecg_golden"
    spec = signal_spec_of_kind(HUBERT, leads=STANDARD_LEADS, part=RecordPart(0, 5.0))
    found = prepare(recordings, 500, spec)
    expected = np.load(folder / "preprocess_output.npy")
    np.testing.assert_allclose(found[:, 0], expected, rtol=0, atol=1e-6)
    # The filter's length goes with the sample rate that a recording has.
    other = np.load(folder / "preprocess_400hz_input.npy").astype(np.float64)
    expected = np.load(folder / "preprocess_400hz_output.npy")
    found = prepare(other[None], 400, spec)
    np.testing.assert_allclose(found[0, 0], expected.ravel(), rtol=0, atol=1e-6)
    # What it is before the cut.
    leads = ("I", "aVR", "V6")
    whole = signal_spec_of_kind(
        {key: value for key, value in HUBERT.items() if key not in ("layout", "decimation")},
        leads=leads,
        segment_s=10.0,
    )
    chosen = recordings[:, [STANDARD_LEADS.index(lead) for lead in leads]]
    expected = np.load(folder / "preprocess_step1_filtered_scaled_500hz.npy")
    np.testing.assert_allclose(prepare(chosen, 500, whole), expected, rtol=0, atol=1e-6)


@pytest.mark.reference
def test_crops_that_are_filtered_one_by_one_equal_st_mem_s(
    recordings: NDArray[np.float64], reference_data: Path
) -> None:
    folder = reference_data / "st_mem_golden"
    spec = signal_spec_of_kind(ST_MEM, leads=STANDARD_LEADS)
    crops = segment(prepare(recordings, 500, spec), spec)
    assert crops.shape == (2, 3, 12, 2250)
    expected = np.load(folder / "preprocess_eval_output.npy")
    np.testing.assert_allclose(crops[:1], expected, rtol=0, atol=1e-6)
    middle = np.load(folder / "preprocess_eval_output_second_record_middle_crop.npy")
    np.testing.assert_allclose(crops[1, 1], middle, rtol=0, atol=1e-6)


@pytest.mark.reference
def test_zeros_that_fill_up_a_short_recording_count_as_merl_s(
    recordings: NDArray[np.float64], reference_data: Path
) -> None:
    expected = np.load(reference_data / "merl_resnet18_golden" / "preprocess_cpsc2018_output.npy")
    spec = signal_spec_of_kind(MERL, leads=OF_MERL)
    leads = [STANDARD_LEADS.index(lead) for lead in OF_MERL]
    found = prepare(recordings[:1, leads, :2500], 500, spec)
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-6)


@pytest.mark.reference
@pytest.mark.parametrize("lead", ["I", "II"])
def test_a_filter_as_one_quotient_equals_clef_s(
    recordings: NDArray[np.float64], reference_data: Path, lead: str
) -> None:
    at = STANDARD_LEADS.index(lead)
    expected = np.load(reference_data / "clef_golden" / "preprocess_output.npy")
    spec = signal_spec_of_kind(CLEF, leads=(lead,))
    found = prepare(recordings[:, [at]], 500, spec)
    np.testing.assert_allclose(found[:, 0], expected[:, at], rtol=0, atol=1e-5)


@pytest.mark.reference
def test_a_dataset_s_mean_and_deviation_equal_a_standard_scaler(reference_data: Path) -> None:
    folder = reference_data / "xresnet1d101_golden"
    facts = json.loads((folder / "preprocess_records.json").read_text())
    how = {"kind": "z-score", "scope": "dataset"}
    values = {"mean": [facts["mean"]], "deviation": [facts["std"]]}
    kind = {"sample_rate_hz": 100, "normalization": {**how, **values}, "segment_s": 10.0}
    stored = np.load(folder / "preprocess_input_1000x12.npy").swapaxes(1, 2).astype(np.float64)
    expected = np.load(folder / "preprocess_standardized_1000x12.npy").swapaxes(1, 2)
    found = prepare(stored, 100, signal_spec_of_kind(kind, leads=STANDARD_LEADS))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    # Windows of 2.5 s, 1.25 s apart, as they are scored.
    windows = {**kind, "segment_s": 2.5, "stride_s": 1.25}
    spec = signal_spec_of_kind(windows, leads=STANDARD_LEADS)
    crops = segment(prepare(stored[:1], 100, spec), spec)
    golden = np.load(folder / "preprocess_crops.npy")
    np.testing.assert_allclose(crops[0], golden, rtol=0, atol=1e-5)


SIGNAL = make_signal(6, 3000, seed=5).astype(np.float64).reshape(2, 3, 3000) / 200


def test_filters_equal_scipy_s() -> None:
    expected = scipy_signal.sosfiltfilt(scipy_signal.butter(3, 40, fs=500, output="sos"), SIGNAL)
    found = apply_filters(SIGNAL, 500, [Butterworth(order=3, high_hz=40)])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    b, a = scipy_signal.butter(2, [1, 30], "bandpass", fs=500)
    forwards = Butterworth(order=2, low_hz=1, high_hz=30, form="ba", zero_phase=False)
    expected = scipy_signal.lfilter(b, a, SIGNAL)
    np.testing.assert_allclose(apply_filters(SIGNAL, 500, [forwards]), expected, atol=1e-12)
    taps = scipy_signal.firwin(151, [0.05, 47], pass_zero=False, fs=500)
    fir = Fir(low_hz=0.05, high_hz=47, length_s=0.3)
    expected = scipy_signal.filtfilt(taps, [1], SIGNAL)
    np.testing.assert_allclose(apply_filters(SIGNAL, 500, [fir]), expected, atol=1e-12)
    expected = scipy_signal.filtfilt(*scipy_signal.iirnotch(60, 20, 500), SIGNAL)
    found = apply_filters(SIGNAL, 500, [Notch(frequency_hz=60, quality=20)])
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("method", RESAMPLING)
def test_a_slow_wave_stays_itself_and_a_gap_a_gap(method: str) -> None:
    wave = np.sin(2 * np.pi * np.arange(5000) / 500)
    found = resample(wave[None], 500, 250, method)[0]
    expected = np.sin(2 * np.pi * np.arange(2500) / 250)
    # fairseq-signals' linear grid is a little shorter than its time.
    inner = slice(250, 2250)
    np.testing.assert_allclose(found[inner], expected[inner], atol=2e-2)
    assert found.shape == (2500,)
    wave[2000:2100] = np.nan
    with_gap = resample(wave[None], 500, 250, method)[0]
    assert np.isnan(with_gap[1005:1045]).all()
    assert not np.isnan(with_gap[:990]).any()


def test_normalizations_are_what_they_say() -> None:
    axes: Any
    scope: Any
    for scope, axes in (("lead", -1), ("recording", (-2, -1))):
        how = Normalization(kind="min-max", scope=scope, low=-2, high=3)
        spec = SignalSpec(leads=("I", "II", "V1"), n_channels=3, normalization=how, segment_s=6.0)
        found = prepare(SIGNAL, 500, spec)
        np.testing.assert_allclose(found.min(axis=axes), -2, atol=1e-6)
        np.testing.assert_allclose(found.max(axis=axes), 3, atol=1e-6)
    how = Normalization(kind="z-score", scope="dataset", mean=(1, 2, 3), deviation=(2, 4, 5))
    spec = SignalSpec(leads=("I", "II", "V1"), n_channels=3, normalization=how)
    expected = (SIGNAL - np.array([[1], [2], [3]])) / np.array([[2], [4], [5]])
    np.testing.assert_allclose(prepare(SIGNAL, 500, spec), expected, atol=1e-6)


def test_segments_overlap_by_their_stride() -> None:
    spec = SignalSpec(leads=("I", "II", "V1"), n_channels=3, segment_s=2.5, stride_s=1.25)
    pieces = segment(prepare(SIGNAL, 500, spec), spec)
    assert pieces.shape == (2, 3, 3, 1250)
    whole = prepare(SIGNAL, 500, SignalSpec(leads=spec.leads, n_channels=3))
    for number in range(3):
        start = 625 * number
        np.testing.assert_array_equal(pieces[:, number], whole[..., start : start + 1250])


def test_missing_samples_become_the_mean_of_their_segment() -> None:
    signal = SIGNAL.copy()
    signal[0, 1, 100:200] = np.nan
    spec = SignalSpec(
        leads=("I", "II", "V1"), n_channels=3, normalization="none", fill="mean", segment_s=3.0
    )
    found = segment(prepare(signal, 500, spec), spec)
    expected = np.nanmean(signal[0, :, :1500])
    np.testing.assert_allclose(found[0, 0, 1, 100:200], expected, rtol=1e-5)


NAMES = st.sampled_from(
    [HUBERT, ST_MEM, JEPA_FINE_TUNED, MERL, CLEF, S4, {"stride_s": 1.0}, {"fill": "mean"}]
)


@settings(max_examples=60)
@given(
    kind=NAMES,
    n_samples=st.integers(1, 6000),
    rate=st.sampled_from([100, 250, 333, 400, 497.3, 500, 1000]),
    padding=st.sampled_from(["none", "zeros"]),
    segment_s=st.sampled_from([0.5, 2.5, 9.0, 10.0]),
)
def test_what_is_counted_is_what_is_made(
    kind: dict[str, Any], n_samples: int, rate: float, padding: str, segment_s: float
) -> None:
    highest = 94 if kind is HUBERT else 80 if "filter" in kind else 0
    if rate <= highest:
        return
    spec = signal_spec_of_kind({**kind, "padding": padding}, leads=("I", "V2"), segment_s=segment_s)
    block = make_signal(4, n_samples, seed=n_samples).reshape(2, 2, -1)
    scale = np.full((2, 2), 200.0)
    found = standardize(block[..., : int(10 * rate)], rate, spec, scale, scale * 0)
    n_stored = block[..., : int(10 * rate)].shape[-1]
    assert found.shape == (2, spec.n_rows, int(count_standardized(n_stored, rate, spec)))
    assert segment(found, spec).shape[1] == int(count_segments(n_stored, rate, spec))
    assert np.isfinite(found).all()
    if padding == "zeros" and n_stored * spec.sample_rate_hz >= rate:
        assert count_segments(n_stored, rate, spec) >= 1


def test_values_with_a_name_become_it_and_specs_read_back() -> None:
    by_value = SignalSpec(
        filter=(
            Notch(frequency_hz=50, quality=30),
            Butterworth(order=4, low_hz=0.67, high_hz=40),
            {"kind": "median-baseline", "window_s": 0.4},
        ),
        normalization=Normalization(kind="z-score", scope="recording", epsilon=1e-8),
        segment_s=10.0,
        n_channels=1,
    )
    assert by_value == signal_spec_of_kind("ecg-founder")
    for kind in (HUBERT, ST_MEM, JEPA, MERL, CLEF, S4):
        spec = signal_spec_of_kind(kind, leads=STANDARD_LEADS)
        stored = json.loads(json.dumps(spec.to_json()))
        assert SignalSpec.from_json(stored) == spec
        assert hash(SignalSpec.from_json(stored)) == hash(spec)
    # What was stored before there was a choice.
    first = {"start_s", "order", "stride_s", "padding", "layout", "decimation", "aggregation"}
    assert not first & set(SignalSpec().to_json())


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({"kind": "none", "scope": "recording", "epsilon": 1e-8}, "none"),
        ({"kind": "z-score", "low": -1}, "z-score-per-lead"),
    ],
)
def test_what_a_normalization_does_not_read_makes_no_other_one(
    value: dict[str, Any], name: str
) -> None:
    assert SignalSpec(normalization=value).normalization == name  # type: ignore[arg-type]


def test_a_filter_before_resampling_is_held_against_the_recording_s_sample_rate() -> None:
    notch = ({"kind": "notch", "frequency_hz": 50, "quality": 30},)
    order = ("part", "filter", "resample", "normalize", "segment")
    spec = SignalSpec(filter=notch, order=order, sample_rate_hz=100)
    signal_mv = np.random.default_rng(0).standard_normal((1, 1, 5000))
    assert prepare(signal_mv, 500, spec).shape == (1, 1, 1000)
    with pytest.raises(SpecMismatch, match="has 100 Hz, and the filter knows 50 Hz"):
        prepare(signal_mv[..., :1000], 100, spec)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"filter": "butter"}, "filter is 'butter'; allowed"),
        ({"filter": [{"kind": "butterworth", "order": 4}]}, "low_hz and high_hz are both missing"),
        ({"filter": [{"kind": "notch"}]}, "filter.0.notch: frequency_hz is missing"),
        ({"filter": [{**STEEP, "low_hz": 60, "high_hz": 40}]}, "must be below high_hz"),
        ({"filter": [{**STEEP, "high_hz": 300}]}, "must be above 600"),
        ({"normalization": {"kind": "max"}}, "kind is 'max'"),
        ({"normalization": {"kind": "z-score", "scope": "dataset"}}, "deviation is"),
        ({"order": ["part"]}, "expected each of"),
        ({"order": ["resample", "segment", "part", "filter", "normalize"]}, "part must come"),
        ({"stride_s": 0.0}, "stride_s is 0.0"),
        ({"layout": "end-to-end"}, "n_channels is 12; leads laid end to end are 1 channel"),
        ({"decimation": 5}, "decimation is 5; it is for leads laid end to end"),
        ({"padding": "ones"}, "padding is 'ones'"),
        ({"record_s": float("inf")}, "record_s is inf; it must be finite"),
        ({"stride_s": float("inf")}, "stride_s is inf; it must be finite"),
        ({"normalization": None}, "normalization is None; expected a name"),
        ({"filter": None}, "filter: .*; found None"),
        ({"order": None}, "order is None; expected a list"),
        ({"leads": None}, "leads is None; expected a list"),
    ],
)
def test_what_cannot_be_is_refused_with_its_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SignalSpec(**changes)
