from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from ecg_assets.errors import SchemaError
from ecg_assets.lineage import fingerprint_folder
from ecg_assets.preprocess import (
    SignalSpec,
    export_mat_records,
    preprocess_shard,
    read_mat_files,
)
from ecg_assets_tests.preprocess.recordings import (
    golden_records,
    make_signal,
    record_list,
    write_record,
)


@pytest.mark.reference
def test_mat_files_equal_those_of_the_reference_pipeline(
    reference_data: Path, tmp_path: Path
) -> None:
    folder = reference_data / "lead1_pipeline_golden"
    records = golden_records(folder / "raw")
    row_of_record = {name: row + 40 for row, name in enumerate(records["record_id"])}
    signals = preprocess_shard(records, folder / "raw", ["I"]).signals
    export_mat_records(signals, SignalSpec(), row_of_record, tmp_path / "p1000")
    paths = sorted((folder / "segmented_5s").glob("*.mat"))
    assert len(paths) == 8
    for path in paths:
        golden, found = (scipy.io.loadmat(at) for at in (path, tmp_path / "p1000" / path.name))
        for name in ("feats", "curr_sample_rate", "idx"):
            assert found[name].dtype == golden[name].dtype
            assert found[name].shape == golden[name].shape
        np.testing.assert_allclose(found["feats"], np.nan_to_num(golden["feats"]), atol=1e-5)
        record_id, number = path.stem.rsplit("_", 1)
        assert found["idx"].item() == row_of_record[record_id]
        assert found["segment_i"].item() == int(number)
        assert found["curr_sample_rate"].item() == 500


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
    files = export_mat_records(signals, spec, {"a": 5, "b": 3, "c": 9}, tmp_path / "mat")
    assert files["file"].tolist() == ["a_0.mat", "a_1.mat", "a_2.mat", "b_0.mat", "b_1.mat"]
    assert files["row"].tolist() == [5, 5, 5, 3, 3]
    assert sorted(path.name for path in (tmp_path / "mat").glob("*.mat")) == files["file"].tolist()
    stored, stored_spec = read_mat_files(tmp_path / "mat")
    assert stored.equals(files)
    assert stored_spec == spec
    content = scipy.io.loadmat(tmp_path / "mat" / "b_1.mat")
    assert content["feats"].shape == (2, 1000)
    assert content["org_sample_rate"].item() == 250
    assert content["org_sample_size"].item() == 1100
    assert content["curr_sample_size"].item() == 1000


def test_segment_as_long_as_the_recording_is_named_by_it(root: Path, tmp_path: Path) -> None:
    spec = SignalSpec(record_s=4.0, segment_s=4.0)
    signals = preprocess_shard(record_list(["a"]), root, ["I"]).signals
    files = export_mat_records(signals, spec, {"a": 0}, tmp_path / "mat")
    assert files["file"].tolist() == ["a.mat"]


def test_rerun_gives_the_same_bytes_and_leaves_nothing_old(root: Path, tmp_path: Path) -> None:
    signals = preprocess_shard(record_list(["a", "b"]), root, ["I"]).signals
    folder = tmp_path / "mat"
    prints = []
    for segment_s in (2.0, 1.0, 2.0):
        export_mat_records(signals, SignalSpec(segment_s=segment_s), {"a": 0, "b": 1}, folder)
        prints.append(fingerprint_folder(folder))
    assert prints[0] == prints[2] != prints[1]
    # scipy's own header tells the time, which a quick rerun may not show.
    assert b"Created on" not in (folder / "a_0.mat").read_bytes()[:116]


def test_twelve_copies_take_a_fraction_of_the_reference_file(root: Path, tmp_path: Path) -> None:
    signals = preprocess_shard(record_list(["a"]), root, ["I"]).signals
    export_mat_records(signals, SignalSpec(segment_s=2.0), {"a": 0}, tmp_path / "mat")
    assert (tmp_path / "mat" / "a_0.mat").stat().st_size < 12 * 1000 * 4 / 5


def test_record_without_a_row_stops_the_export_and_keeps_the_old_one(
    root: Path, tmp_path: Path
) -> None:
    signals = preprocess_shard(record_list(["a", "b"]), root, ["I"]).signals
    (tmp_path / "mat").mkdir()
    (tmp_path / "mat" / "old").touch()
    with pytest.raises(SchemaError, match=r"1 of 2 recordings .* first b"):
        export_mat_records(signals, SignalSpec(), {"a": 0}, tmp_path / "mat")
    assert (tmp_path / "mat" / "old").exists()
