"""From a recording's file to probabilities."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import wfdb
from numpy.typing import NDArray
from scipy.special import expit

from ecg_assets.errors import BadRecord, SpecMismatch
from ecg_assets.labels.vocabulary import ECG_FM_LABELS, LabelVocabulary
from ecg_assets.models.apply import apply_to_shards
from ecg_assets.models.checkpoint import TrainedModel
from ecg_assets.models.scoring import predict_recording
from ecg_assets.preprocess import (
    STANDARD_LEADS,
    ShardDataset,
    SignalSpec,
    preprocess_shard,
    write_shard,
)
from ecg_assets.sources import Folder
from ecg_assets_tests.models.fairseq_checkpoints import random_classifier, write_finetuned
from ecg_assets_tests.sources.hospital_files import real_dicom

PAGE = Path(__file__).resolve().parents[2] / "docs" / "checkpoints.md"
LABELS = LabelVocabulary(("a", "b", "c"), ("mean", "max", "mean"))
SPEC = SignalSpec(leads=STANDARD_LEADS, n_channels=12)


def _write(folder: Path, *, n_samples: int = 5000, n_leads: int = 12) -> Path:
    """Write random leads in MIMIC-IV-ECG's order, in which aVF stands before aVL."""
    names = [*STANDARD_LEADS[:4], "aVF", "aVL", *STANDARD_LEADS[6:]][:n_leads]
    signal = np.random.default_rng(0).standard_normal((n_samples, n_leads)) / 3
    return _write_signal(folder / "r1", signal, names)


def _write_signal(
    path: Path, signal_mv: NDArray[np.float64], leads: Sequence[str] = STANDARD_LEADS
) -> Path:
    """Write ``(sample, lead)`` in mV."""
    n_leads = len(leads)
    wfdb.wrsamp(
        path.name,
        fs=500,
        units=["mV"] * n_leads,
        sig_name=list(leads),
        p_signal=signal_mv,
        fmt=["16"] * n_leads,
        adc_gain=[200.0] * n_leads,
        baseline=[0] * n_leads,
        write_dir=str(path.parent),
    )
    return path


def test_probabilities_are_those_of_the_segments_put_together(tmp_path: Path) -> None:
    path = _write(tmp_path)
    trained = TrainedModel(random_classifier(), SPEC, LABELS)
    found = predict_recording(trained, path)
    # Independently: wfdb reads, numpy standardizes.
    record = wfdb.rdrecord(str(path))
    columns = [record.sig_name.index(lead) for lead in STANDARD_LEADS]
    signal = record.p_signal[:, columns].T
    signal = (signal - signal.mean(axis=1, keepdims=True)) / signal.std(axis=1, keepdims=True)
    segments = np.stack([signal[:, :2500], signal[:, 2500:]]).astype(np.float32)
    with torch.inference_mode():
        score = expit(trained.model(torch.from_numpy(segments)).logits.numpy())
    expected = {"a": score[:, 0].mean(), "b": score[:, 1].max(), "c": score[:, 2].mean()}
    assert found == pytest.approx(expected, abs=1e-5)


def test_the_documented_lines_lead_from_a_file_to_predictions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (lines,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    paths = {
        "mimic_iv_ecg_finetuned.pt": write_finetuned(tmp_path / "a.pt", n_labels=17),
        "checkpoints/ecg-fm": tmp_path / "folder",
        "files/p1000/p10000032/s40689238/40689238": _write(tmp_path),
    }
    for documented, here in paths.items():
        assert f'"{documented}"' in lines
        lines = lines.replace(documented, str(here))
    exec(lines, {})
    assert capsys.readouterr().out.strip() in ECG_FM_LABELS.names


def test_one_lead_is_repeated_for_a_model_of_twelve_channels(tmp_path: Path) -> None:
    path = _write(tmp_path, n_leads=1)
    one = SignalSpec(leads=("I",), n_channels=12)
    found = predict_recording(TrainedModel(random_classifier(), one, LABELS), path)
    assert list(found) == ["a", "b", "c"]


def test_a_short_recording_and_one_without_a_lead_are_refused(tmp_path: Path) -> None:
    trained = TrainedModel(random_classifier(), SPEC, LABELS)
    with pytest.raises(SpecMismatch, match=r"has 4\.0 s; the model reads segments of 5\.0 s"):
        predict_recording(trained, _write(tmp_path, n_samples=2000))
    with pytest.raises(BadRecord, match="missing_lead"):
        predict_recording(trained, _write(tmp_path, n_leads=3))


def test_all_segments_of_a_long_recording_count_where_the_model_uses_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ecg_assets.models.scoring.MOST_SEGMENTS", 4)  # of its six
    path, model = _write(tmp_path, n_samples=15_000), random_classifier()
    whole = TrainedModel(model, replace(SPEC, record_s=None), LABELS)
    found = predict_recording(whole, path)
    signal = wfdb.rdrecord(str(path)).p_signal
    columns = [wfdb.rdheader(str(path)).sig_name.index(lead) for lead in STANDARD_LEADS]
    scored = ((signal - signal.mean(axis=0)) / signal.std(axis=0))[:, columns].T
    segments = np.stack(np.split(scored, 6, axis=1)).astype(np.float32)
    with torch.inference_mode():
        score = expit(model(torch.from_numpy(segments)).logits.numpy())
    expected = {"a": score[:, 0].mean(), "b": score[:, 1].max(), "c": score[:, 2].mean()}
    assert found == pytest.approx(expected, abs=1e-5)


def test_part_of_a_long_recording_is_scored_with_a_warning(tmp_path: Path) -> None:
    signal = np.random.default_rng(0).standard_normal((15_000, 12)) / 3
    signal[:5000] = 0.25
    _write_signal(tmp_path / "long", signal)
    _write_signal(tmp_path / "middle", signal[5000:10_000])
    trained = TrainedModel(random_classifier(), SPEC, LABELS)
    part = TrainedModel(trained.model, replace(SPEC, start_s=10.0), LABELS)
    with pytest.warns(UserWarning, match="longer than what is used of them: 10 to 20 s"):
        found = predict_recording(part, tmp_path / "long")
    expected = predict_recording(trained, tmp_path / "middle")
    assert found == pytest.approx(expected, abs=1e-6)
    # What is used holds no signal, though the rest does.
    with pytest.raises(BadRecord, match="all samples that are used"):
        predict_recording(trained, tmp_path / "long")


@pytest.mark.parametrize("value", [np.nan, 0.0], ids=["missing", "zero"])
def test_a_recording_without_signal_has_no_probabilities(tmp_path: Path, value: float) -> None:
    _write_signal(tmp_path / "none", np.full((5000, 12), value))
    trained = TrainedModel(random_classifier(), SPEC, LABELS)
    with pytest.raises(BadRecord, match="nothing to score"):
        predict_recording(trained, tmp_path / "none")


def test_recording_of_a_real_cart_goes_from_its_file_through_a_shard_to_a_prediction(
    tmp_path: Path,
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "real.dcm").write_bytes(real_dicom().read_bytes())
    (root / "cut.dcm").write_bytes(real_dicom().read_bytes()[:100_000])
    records = Folder(root).read_records()
    assert records.findings["hospital_files_unreadable"] == 1
    tables = preprocess_shard(records.table, root, STANDARD_LEADS)
    assert tables.rejects[["record_id", "reason"]].to_numpy().tolist() == [["cut", "unreadable"]]
    write_shard(tables, tmp_path / "s.parquet", tmp_path / "rejects.parquet")
    trained = TrainedModel(random_classifier(), SPEC, LABELS)
    (applied,) = apply_to_shards(trained, ShardDataset({"s": tmp_path / "s.parquet"}), device="cpu")
    assert applied.record_ids == ["real"]
    from_file = predict_recording(trained, root / "real.dcm")
    assert applied.score[0] == pytest.approx(list(from_file.values()), abs=1e-6)
    assert 0 < applied.score.min() < applied.score.max() < 1
