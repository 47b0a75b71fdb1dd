"""Exports against what the Lead-I pipeline and fairseq-signals wrote of the same recordings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray

from ecg_assets.export.mat import MatForm, export_mat_records
from ecg_assets.preprocess import STANDARD_LEADS, SignalSpec, preprocess_shard
from ecg_assets_tests.preprocess.recordings import golden_records, numbered, write_code_15

pytestmark = pytest.mark.reference

FLOAT32 = 1e-6
"""The last digit of scores up to 8: the pipeline computes them in float32, we do not."""
AS_REFERENCE = MatForm("reference", compress=False, keep_missing=True)


def _variables(path: Path) -> dict[str, NDArray[Any]]:
    """Read a .mat file's variables in their order."""
    content = scipy.io.loadmat(path)
    return {name: value for name, value in content.items() if not name.startswith("__")}


def _export_golden(golden: Path, folder: Path, form: MatForm) -> None:
    records = golden_records(golden / "raw")
    signals = preprocess_shard(records, golden / "raw", ["I"]).signals
    export_mat_records(signals, SignalSpec(), numbered(records), folder, form=form)


def _require_equal(found: Mapping[str, Any], golden: Mapping[str, Any]) -> None:
    """Equal names, order, types and shapes; equal values, samples within float32."""
    assert list(found) == list(golden)
    for name, expected in golden.items():
        assert found[name].dtype == expected.dtype, name
        assert found[name].shape == expected.shape, name
        if name == "feats":
            np.testing.assert_allclose(found[name], expected, rtol=0, atol=FLOAT32)
        else:
            np.testing.assert_array_equal(found[name], expected)


@pytest.mark.parametrize("kind", ["mats_10s", "segmented_5s"])
def test_reference_layout_reads_back_as_the_pipeline_wrote_it(
    reference_data: Path, tmp_path: Path, kind: str
) -> None:
    golden = reference_data / "lead1_pipeline_golden"
    _export_golden(golden, tmp_path / "p1000", AS_REFERENCE)
    paths = sorted((golden / kind).glob("*.mat"))
    assert len(paths) == {"mats_10s": 4, "segmented_5s": 8}[kind]
    for path in paths:
        found = tmp_path / "p1000" / "lead_1" / kind / path.name
        _require_equal(_variables(found), _variables(path))
        assert found.stat().st_size == path.stat().st_size


def test_missing_samples_are_zero_unless_the_pipeline_s_way_is_asked_for(
    reference_data: Path, tmp_path: Path
) -> None:
    golden = reference_data / "lead1_pipeline_golden"
    _export_golden(golden, tmp_path / "p1000", MatForm("reference"))
    name = "mats_10s/mimic_iv_ecg_40001001.mat"
    expected = scipy.io.loadmat(golden / name)["feats"]
    found = scipy.io.loadmat(tmp_path / "p1000" / "lead_1" / name)["feats"]
    assert np.isnan(expected).sum() == 120
    assert (found[np.isnan(expected)] == 0).all()
    np.testing.assert_allclose(found, np.nan_to_num(expected), rtol=0, atol=FLOAT32)


def test_fairseq_layout_reads_back_as_fairseq_signals_wrote_it(
    reference_data: Path, tmp_path: Path
) -> None:
    golden_folder = reference_data / "real_ecg" / "code15"
    records = write_code_15(golden_folder, tmp_path / "raw")
    signals = preprocess_shard(records, tmp_path / "raw", STANDARD_LEADS).signals
    spec = SignalSpec(leads=STANDARD_LEADS, n_channels=12, record_s=60.0)
    export_mat_records(signals, spec, numbered(records), tmp_path / "mat")
    goldens = sorted((golden_folder / "segmented").glob("*.mat"))
    assert len(goldens) == 6
    for path in goldens:
        golden, found = _variables(path), _variables(tmp_path / "mat" / path.name)
        assert list(found) == list(golden)
        for name, expected in golden.items():
            # A model sees float32; fairseq-signals stores the float64 it computed with.
            type_ = np.dtype(np.float32) if name == "feats" else expected.dtype
            assert found[name].dtype == type_, name
            assert found[name].shape == expected.shape, name
            # What differs is the 16-bit steps that the recordings are stored in here.
            tolerance = {"feats": 2e-3, "mean": 1e-5, "std": 1e-5}.get(name, 0)
            np.testing.assert_allclose(found[name], expected, rtol=0, atol=tolerance)
