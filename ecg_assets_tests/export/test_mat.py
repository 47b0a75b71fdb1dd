from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import scipy.io

from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.export.mat import MatForm, MatLayout, export_mat_records, read_mat_folder
from ecg_assets.lineage import fingerprint_folder
from ecg_assets.preprocess import SignalSpec, preprocess_shard
from ecg_assets.sources import MISSING
from ecg_assets_tests.preprocess.recordings import make_signal, record_list, write_record


def _rows(**row_of_record: int) -> pd.DataFrame:
    """Recordings with their row in the record list; study_id is their row and 100."""
    rows = list(row_of_record.values())
    return pd.DataFrame(
        {
            "record_id": list(row_of_record),
            "study_id": [str(row + 100) for row in rows],
            "row": rows,
        }
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Recordings of 3, 2 and no segments of 2 s, at two sample rates."""
    for name, n_samples, rate in (("a", 3000, 500), ("b", 1100, 250), ("c", 900, 500)):
        signal = make_signal(2, n_samples, seed=n_samples)
        write_record(tmp_path / "raw" / name, signal, leads=("I", "II"), sample_rate_hz=rate)
    return tmp_path / "raw"


def test_list_of_files_is_what_the_folder_holds(root: Path, tmp_path: Path) -> None:
    spec = SignalSpec(leads=("II", "I"), n_channels=2, segment_s=2.0)
    signals = preprocess_shard(record_list(["a", "b", "c"]), root, ["I", "II"]).signals
    files = export_mat_records(signals, spec, _rows(a=5, b=3, c=9), tmp_path / "mat")
    assert files["file"].tolist() == ["a_0.mat", "a_1.mat", "a_2.mat", "b_0.mat", "b_1.mat"]
    assert files["row"].tolist() == [5, 5, 5, 3, 3]
    assert sorted(path.name for path in (tmp_path / "mat").glob("*.mat")) == files["file"].tolist()
    stored = read_mat_folder(tmp_path / "mat")
    assert stored.files.equals(files)
    assert stored.meta["record_id"].tolist() == ["a", "b", "c"]
    assert (stored.spec, stored.form) == (spec, MatForm())
    content = scipy.io.loadmat(tmp_path / "mat" / "b_1.mat")
    assert content["feats"].shape == (2, 1000)
    assert content["org_sample_rate"].item() == 250
    assert content["org_sample_size"].item() == 1100
    assert content["curr_sample_size"].item() == 1000


def test_segment_as_long_as_the_recording_is_named_by_it(root: Path, tmp_path: Path) -> None:
    spec = SignalSpec(record_s=4.0, segment_s=4.0)
    signals = preprocess_shard(record_list(["a"]), root, ["I"]).signals
    files = export_mat_records(signals, spec, _rows(a=0), tmp_path / "mat")
    assert files["file"].tolist() == ["a.mat"]


def test_rerun_gives_the_same_bytes_and_leaves_nothing_old(root: Path, tmp_path: Path) -> None:
    signals = preprocess_shard(record_list(["a", "b"]), root, ["I"]).signals
    folder = tmp_path / "mat"
    prints = []
    for segment_s in (2.0, 1.0, 2.0):
        export_mat_records(signals, SignalSpec(segment_s=segment_s), _rows(a=0, b=1), folder)
        prints.append(fingerprint_folder(folder))
    assert prints[0] == prints[2] != prints[1]
    # scipy's own header tells the time, which a quick rerun may not show.
    assert b"Created on" not in (folder / "a_0.mat").read_bytes()[:116]


def test_twelve_copies_take_a_fraction_of_the_reference_file(root: Path, tmp_path: Path) -> None:
    signals = preprocess_shard(record_list(["a"]), root, ["I"]).signals
    export_mat_records(signals, SignalSpec(segment_s=2.0), _rows(a=0), tmp_path / "mat")
    assert (tmp_path / "mat" / "a_0.mat").stat().st_size < 12 * 1000 * 4 / 5


def test_uncompressed_files_hold_the_same(root: Path, tmp_path: Path) -> None:
    signals = preprocess_shard(record_list(["a"]), root, ["I"]).signals
    spec, sizes, contents = SignalSpec(segment_s=2.0), [], []
    for compress in (True, False):
        form = MatForm(compress=compress)
        export_mat_records(signals, spec, _rows(a=0), tmp_path / "mat", form=form)
        sizes.append((tmp_path / "mat" / "a_0.mat").stat().st_size)
        contents.append(scipy.io.loadmat(tmp_path / "mat" / "a_0.mat")["feats"])
    assert sizes[0] < 12 * 1000 * 4 < sizes[1]
    assert np.array_equal(*contents)


def test_mean_and_deviation_are_those_of_the_recording_in_millivolts(
    root: Path, tmp_path: Path
) -> None:
    stored = make_signal(2, 3000, seed=5)
    stored[1, :7] = MISSING
    write_record(root / "d", stored, leads=("I", "II"), gain=500.0)
    spec = SignalSpec(leads=("II", "I"), n_channels=2, record_s=4.0, segment_s=2.0)
    signals = preprocess_shard(record_list(["d"]), root, ["I", "II"]).signals
    export_mat_records(signals, spec, _rows(d=0), tmp_path / "mat")
    content = scipy.io.loadmat(tmp_path / "mat" / "d_1.mat")
    signal_mv = np.where(stored == MISSING, np.nan, stored / 500)[::-1, :2000]
    np.testing.assert_allclose(content["mean"][:, 0], np.nanmean(signal_mv, axis=1))
    np.testing.assert_allclose(content["std"][:, 0], np.nanstd(signal_mv, axis=1))


def test_lead_without_any_sample_is_named_and_has_no_mean(root: Path, tmp_path: Path) -> None:
    stored = make_signal(2, 2000, seed=6)
    stored[0] = MISSING
    stored[1, 3] = MISSING
    write_record(root / "d", stored, leads=("I", "II"))
    spec = SignalSpec(leads=("I", "II"), n_channels=2, record_s=4.0, segment_s=2.0)
    signals = preprocess_shard(record_list(["d"]), root, ["I", "II"]).signals
    export_mat_records(signals, spec, _rows(d=0), tmp_path / "mat")
    meta = read_mat_folder(tmp_path / "mat").meta.iloc[0]
    assert meta["missing_leads"].tolist() == ["I", "II"]
    assert meta["absent_leads"].tolist() == ["I"]
    assert meta["constant_leads"].tolist() == []
    content = scipy.io.loadmat(tmp_path / "mat" / "d_0.mat")
    for means in (meta["mean_mv"], meta["deviation_mv"], content["mean"], content["std"]):
        assert np.isnan(means.ravel()).tolist() == [True, False]
    assert (content["feats"][0] == 0).all()


def test_reference_layout_has_whole_recordings_and_numbers_segments_by_the_record_list(
    root: Path, tmp_path: Path
) -> None:
    spec = SignalSpec(leads=("II",), record_s=4.0, segment_s=2.0)
    signals = preprocess_shard(record_list(["a", "b", "c"]), root, ["I", "II"]).signals
    records = _rows(a=5, b=3, c=9)
    folder = tmp_path / "mat"
    files = export_mat_records(signals, spec, records, folder, form=MatForm("reference"))
    names = ["a_0", "a_1", "b_0", "b_1"]
    assert files["file"].tolist() == [f"lead_2/segmented_2s/{name}.mat" for name in names]
    assert files["row"].tolist() == [10, 11, 6, 7]
    wholes = sorted((folder / "lead_2" / "mats_4s").iterdir())
    assert [path.name for path in wholes] == ["a.mat", "b.mat"]
    whole, piece = scipy.io.loadmat(wholes[1]), scipy.io.loadmat(folder / files["file"][3])
    assert whole["idx"].item() == piece["original_idx"].item() == 103
    assert np.array_equal(whole["feats"][:, 1000:], piece["feats"])


def test_reference_layout_refuses_a_study_id_that_is_no_number(root: Path, tmp_path: Path) -> None:
    signals = preprocess_shard(record_list(["a"]), root, ["I"]).signals
    records = _rows(a=0).assign(study_id="HR1")
    spec = SignalSpec(record_s=4.0, segment_s=2.0)
    with pytest.raises(SchemaError, match="study_id of a is 'HR1'"):
        export_mat_records(signals, spec, records, tmp_path / "mat", form=MatForm("reference"))


def test_all_of_a_recording_is_exported_where_it_is_used_and_the_layout_has_no_one_length(
    root: Path, tmp_path: Path
) -> None:
    spec = SignalSpec(record_s=None, segment_s=2.0, start_s=1.0)
    signals = preprocess_shard(record_list(["a", "b"]), root, ["I"]).signals
    files = export_mat_records(signals, spec, _rows(a=0, b=1), tmp_path / "mat")
    assert files["file"].tolist() == ["a_0.mat", "a_1.mat", "b_0.mat"]  # of 5 and 3.4 s
    assert read_mat_folder(tmp_path / "mat").spec == spec
    with pytest.raises(SettingsError, match="needs one length"):
        export_mat_records(
            signals, spec, _rows(a=0, b=1), tmp_path / "other", form=MatForm("reference")
        )


def test_nan_is_refused_in_the_layout_that_has_none() -> None:
    with pytest.raises(ValueError, match="only 'reference' keeps NaN"):
        MatForm("fairseq", keep_missing=True)


def test_folder_of_an_older_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="Materialize mat_records"):
        read_mat_folder(tmp_path)


def test_shard_without_recordings_gives_a_folder_without_files(root: Path, tmp_path: Path) -> None:
    signals = preprocess_shard(record_list(["a"]), root, ["I"]).signals.slice(0, 0)
    for layout in get_args(MatLayout):
        folder = tmp_path / layout
        export_mat_records(signals, SignalSpec(), _rows(a=0), folder, form=MatForm(layout))
        assert len(read_mat_folder(folder).files) == len(read_mat_folder(folder).meta) == 0


def test_record_without_a_row_stops_the_export_and_keeps_the_old_one(
    root: Path, tmp_path: Path
) -> None:
    signals = preprocess_shard(record_list(["a", "b"]), root, ["I"]).signals
    (tmp_path / "mat").mkdir()
    (tmp_path / "mat" / "old").touch()
    with pytest.raises(SchemaError, match=r"1 of 2 recordings .* first b"):
        export_mat_records(signals, SignalSpec(), _rows(a=0), tmp_path / "mat")
    assert (tmp_path / "mat" / "old").exists()
