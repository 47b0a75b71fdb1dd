"""Sources and recordings: what is read, by name and in mV."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import wfdb
from numpy.typing import NDArray

import ecg_assets
from ecg_assets import BadRecord, Recording, SettingsError
from ecg_assets.preprocess import STANDARD_LEADS
from ecg_assets_tests.api.conftest import Cohort, good_records

# A recording


def test_leads_are_those_of_wfdb_in_millivolts(cohort: Cohort) -> None:
    (name,) = good_records(cohort, 1)
    found = cohort.source.recording(name)
    path = cohort.source.records.set_index("record_id").loc[name, "path"]
    expected = wfdb.rdrecord(str(cohort.source.root / str(path)))
    assert set(found.leads) == set(STANDARD_LEADS)
    for lead in STANDARD_LEADS:
        column = [one.upper() for one in expected.sig_name].index(lead.upper())
        np.testing.assert_allclose(found[lead], expected.p_signal[:, column], atol=1e-6)
    assert (found.sample_rate_hz, found.n_samples, found.duration_s) == (500.0, 5000, 10.0)
    again = ecg_assets.read_recording(cohort.source.root / str(path), leads=["V1", "I"])
    assert again.leads == ("V1", "I")
    np.testing.assert_array_equal(again["I"], found["I"])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_cannot_be_changed_past_a_model_either(
    cohort: Cohort, copied: Callable[[Recording], Recording]
) -> None:
    (name,) = good_records(cohort, 1)
    found = copied(cohort.source.recording(name))
    with pytest.raises(ValueError, match="read-only"):
        found.signal_mv[:] = 0


def test_a_masked_sample_is_missing_and_an_infinite_one_refused() -> None:
    masked = np.ma.MaskedArray([[1, 99, 3]], mask=[[False, True, False]])
    np.testing.assert_array_equal(Recording(masked, ["I"], 500)["I"], [1, np.nan, 3])
    with pytest.raises(ValueError, match="infinite samples; a missing sample is NaN"):
        Recording([[0.0, np.inf]], ["I"], 500)


@pytest.mark.parametrize("factor", [1000, 1e-3, 200])
def test_samples_of_another_unit_are_warned_of(factor: float) -> None:
    beats = np.zeros((2, 5000))
    beats[1] = np.nan
    beats[0].reshape(10, 500)[:, :10] = 1.2  # QRS complexes of 20 ms
    Recording(beats, ["I", "II"], 500)
    Recording(np.full((1, 10), np.nan), ["I"], 500)
    with pytest.warns(UserWarning, match="can hardly be in mV"):
        Recording(beats * factor, ["I", "II"], 500)


def test_one_lead_is_read_by_its_name_alone_in_any_spelling(cohort: Cohort) -> None:
    (name,) = good_records(cohort, 1)
    path = cohort.source.root / str(cohort.source.choose([name])["path"].iloc[0])
    assert ecg_assets.read_recording(path, leads="ii").leads == ("II",)


def test_a_table_has_a_column_a_lead_by_time() -> None:
    frame = Recording(np.arange(6).reshape(2, 3), ["I", "II"], 100).to_frame()
    assert frame["II"].to_dict() == {0.0: 3.0, 0.01: 4.0, 0.02: 5.0}


def test_leads_have_standard_names_and_cannot_be_changed_in_place() -> None:
    recording = Recording(np.zeros((2, 10)), ["AVR", "MDC_ECG_LEAD_V1"], 500)
    assert recording.leads == ("aVR", "V1")
    assert recording["avr"].shape == (10,)
    with pytest.raises(ValueError, match="read-only"):
        recording.signal_mv[0, 0] = 1
    with pytest.raises(KeyError, match="no lead 'II'; there are aVR, V1"):
        recording["II"]


@pytest.mark.parametrize(
    ("shape", "leads", "rate", "message"),
    [
        ((2, 10), ["I"], 500, r"shape \(2, 10\) and leads are \['I'\]"),
        ((10,), ["I"], 500, r"expected \(lead, sample\)"),
        ((2, 10), ["I", "I"], 500, "distinct"),
        ((1, 10), ["I"], 0, "sample_rate_hz is 0"),
        ((1, 10), ["I"], np.nan, "sample_rate_hz is nan"),
    ],
)
def test_what_does_not_fit_is_refused(
    shape: tuple[int, ...], leads: list[str], rate: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Recording(np.zeros(shape), tuple(leads), rate)


# Its picture


def _x(line: Any) -> NDArray[Any]:
    return np.asarray(line.get_xdata())


def _y(line: Any) -> NDArray[Any]:
    return np.asarray(line.get_ydata())


def _twelve(seconds: float = 10.0) -> Recording:
    time = np.arange(round(seconds * 500)) / 500
    signal = np.stack([np.sin(2 * np.pi * time) + number for number in range(12)])
    return Recording(signal, STANDARD_LEADS, 500, "made")


def test_paper_has_its_true_size_and_a_millivolt_is_ten_of_its_millimetres() -> None:
    figure = _twelve().plot()
    (axes,) = figure.axes
    width, height = axes.get_xlim()[1], axes.get_ylim()[1]
    assert figure.get_size_inches() * 25.4 == pytest.approx([width, height])
    assert list(axes.get_position().bounds) == [0, 0, 1, 1]
    traces = [line for line in axes.lines if len(_x(line)) > 100]
    assert len(traces) == 13  # twelve leads and a rhythm strip
    spans = sorted(float(np.ptp(_x(line))) for line in traces)
    assert spans[:12] == pytest.approx([62.5] * 12, abs=0.1)  # 2.5 s
    assert spans[12] == pytest.approx(250, abs=0.1)
    for line in traces:
        assert np.ptp(_y(line)) == pytest.approx(20, abs=0.1)  # 2 mV
    pulses = [line for line in axes.lines if len(_x(line)) == 6]
    assert {float(np.ptp(_y(line))) for line in pulses} == {10.0}
    assert len(pulses) == 4


def test_columns_follow_one_another_in_time() -> None:
    steps = np.repeat([0.0, 1.0, 2.0, 3.0], 1250)  # another height in each 2.5 s
    figure = Recording(np.tile(steps, (12, 1)), STANDARD_LEADS, 500).plot()
    traces = [line for line in figure.axes[0].lines if len(_x(line)) > 1000]
    heights = [float(np.median(_y(line))) for line in traces[:4]]  # I, aVR, V1, V4
    assert np.diff(heights).tolist() == pytest.approx([10, 10, 10])
    starts = [float(_x(line)[0]) for line in traces[:4]]
    assert np.diff(starts).tolist() == pytest.approx([62.5] * 3)
    names = [text.get_text() for text in figure.axes[0].texts][:13]
    assert " ".join(names) == "I aVR V1 V4 II aVL V2 V5 III aVF V3 V6 II"


def test_few_leads_or_seconds_are_drawn_in_rows() -> None:
    short, two = _twelve(5.0), Recording(np.zeros((2, 5000)), ["V1", "MLII"], 500)
    for recording in (short, two):
        axes = recording.plot().axes[0]
        names = [text.get_text() for text in axes.texts][: len(recording.leads)]
        assert names == list(recording.leads)
    with pytest.raises(ValueError, match="layout 3x4 needs"):
        two.plot(layout="3x4")


def test_a_lead_without_signal_and_missing_samples_leave_a_gap() -> None:
    signal = np.zeros((12, 5000))
    signal[0], signal[1, :100] = np.nan, np.nan
    figure = Recording(signal, STANDARD_LEADS, 500).plot()
    traces = [line for line in figure.axes[0].lines if len(_x(line)) > 1000]
    assert np.isnan(_y(traces[0])).all()
    assert np.isnan(_y(traces[4])).sum() == 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "6x2"}, "layout is '6x2'; expected one of auto, 3x4, rows"),
        ({"start_s": 10.0}, "the recording has 10 s"),
        ({"speed_mm_s": 0.0}, "speed_mm_s is 0.0"),
        ({"rhythm_lead": "V9", "layout": "3x4"}, "needs \\['V9'\\]"),
    ],
)
def test_a_picture_that_cannot_be_drawn_is_refused(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        _twelve().plot(**options)  # type: ignore[arg-type]


def test_a_notebook_shows_the_picture_without_pyplot() -> None:
    shown = _twelve().plot()._repr_png_()  # type: ignore[attr-defined]
    assert shown.startswith(b"\x89PNG")
    assert len(shown) < 100_000


# A source


def test_a_source_gives_records_reports_and_labels_of_the_same_recordings(cohort: Cohort) -> None:
    source = cohort.source
    assert len(source) == len(source.records) == 200
    labels = source.labels()
    assert labels.index.tolist() == source.records["record_id"].tolist()
    assert labels.dtypes.unique().tolist() == [pd.Int8Dtype()]
    some = good_records(cohort, 5)
    pd.testing.assert_frame_equal(source.labels("ecg-fm-17", record_ids=some), labels.loc[some])
    stored = ecg_assets.open_shards(cohort.data_dir).labels()
    known = labels.dropna(how="all")
    pd.testing.assert_frame_equal(known.loc[stored.index], stored)
    assert len(known) == len(stored) < len(labels)


def test_evidence_has_the_words_behind_each_label(cohort: Cohort) -> None:
    labels = cohort.source.labels(record_ids=good_records(cohort, 20))
    found = cohort.source.evidence(record_ids=good_records(cohort, 20))
    counted = found[found["probability"] >= 0.5].groupby("record_id")["label"].nunique()
    positives = labels.sum(axis=1)
    assert (counted >= positives[counted.index]).all()
    reports: Any = cohort.source.reports.set_index("record_id")["lines"]
    assert all(row.line in list(reports[row.record_id]) for row in found.itertuples())


def test_a_measured_or_unread_label_is_missing_and_no_zero(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        np.save(tmp_path / f"{name}.npy", np.zeros((1, 5000)))
    (tmp_path / "folder.yaml").write_text("leads: [I]\nsample_rate_hz: 500\nunits_per_mv: 1000\n")
    (tmp_path / "labels.csv").write_text("file,AF\na.npy,1\nb.npy,0\nc.npy,\n")
    labels = ecg_assets.open_source("folder", tmp_path).labels()
    assert labels["AF"].isna().sum() == 1
    assert labels["AF"].dropna().tolist() == [1, 0]


def test_errors_name_arguments_and_not_settings(cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^name is 'ptbxl'; set it to one of mimic"):
        ecg_assets.open_source("ptbxl", tmp_path)
    with pytest.raises(SettingsError, match=r"^root is .*set it to the root folder of PTB-XL"):
        ecg_assets.open_source("ptb-xl", tmp_path / "none")
    with pytest.raises(SettingsError, match="label_set is own, but the data brings no labels"):
        cohort.source.labels("own")
    with pytest.raises(SettingsError, match="no folds"):
        cohort.source.splits()
    with pytest.raises(KeyError, match="'x' is none of the 200 recordings of synthetic"):
        cohort.source.recording("x")
    with pytest.raises(TypeError, match="expected a list"):
        cohort.source.labels(record_ids="x")


def test_a_recording_that_cannot_be_read_says_why_in_a_word(cohort: Cohort) -> None:
    usable = set(cohort.manifest.index["record_id"])
    reasons = set()
    for name in sorted(set(cohort.source.records["record_id"]) - usable):
        try:
            cohort.source.recording(name)
        except BadRecord as error:
            reasons.add(error.reason)
    assert "checksum_mismatch" in reasons or "truncated_file" in reasons
    with pytest.raises(BadRecord, match="missing_file"):
        ecg_assets.read_recording(cohort.source.root / "none")
