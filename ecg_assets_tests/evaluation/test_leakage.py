"""Which evaluated patients a checkpoint saw, told from what its folder carries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ecg_assets.build import EXCLUDED, Manifest
from ecg_assets.errors import CheckpointError, LeakageError
from ecg_assets.evaluation.leakage import (
    StageOverlap,
    describe_overlaps,
    find_overlaps,
    overlap_table,
)
from ecg_assets.evaluation.sets import require_unseen
from ecg_assets.labels import LabelVocabulary
from ecg_assets.made_with import known_facts
from ecg_assets.models.checkpoint_folder import SEEN_PATIENTS
from ecg_assets.models.seen_patients import (
    FINE_TUNING,
    PRE_TRAINING,
    SeenPatients,
    read_seen_patients,
)
from ecg_assets.preprocess import SignalSpec
from ecg_assets.split import split_by_patient

PATIENTS = [str(number) for number in range(200)]


def _split(seed: int = 1) -> pd.DataFrame:
    patients = pd.DataFrame({"record_id": PATIENTS, "subject_id": PATIENTS})
    return split_by_patient(patients, seed=seed)


TEST = set(_split().query("split == 'test'")["subject_id"])


def _manifest(split: pd.DataFrame, source: str) -> Manifest:
    return Manifest(
        index=split.assign(shard="p0", row=np.arange(len(split), dtype=np.int32)),
        targets=np.zeros((len(split), 1), np.uint8),
        vocabulary=LabelVocabulary(("AF",), ("mean",)),
        spec=SignalSpec(),
        pos_weight=np.ones(1),
        excluded=EXCLUDED.empty(),
        made_with={**known_facts(split), **({"source": source} if source else {})},
    )


def _train(
    folder: Path,
    split: pd.DataFrame,
    *,
    start: Path | None = None,
    kind: str = FINE_TUNING,
    source: str = "synthetic",
) -> Path:
    """Leave what a training leaves of whom it saw."""
    folder.mkdir(parents=True)
    manifest = _manifest(split, source)
    SeenPatients.of_training(folder.name, kind, manifest, start=start).write(folder)
    return folder


def _overlaps(folder: Path, source: str = "synthetic") -> list[StageOverlap]:
    return find_overlaps(read_seen_patients(folder), TEST, source)


def _counts(overlaps: list[StageOverlap]) -> list[int | None]:
    return [found.n_seen for found in overlaps]


def test_own_test_split_was_not_seen(tmp_path: Path) -> None:
    start = _train(tmp_path / "pre-1", _split(), kind=PRE_TRAINING)
    overlaps = _overlaps(_train(tmp_path / "fine-1", _split(), start=start))
    assert [found.stage.kind for found in overlaps] == ["fine-tuning", "pre-training"]
    assert _counts(overlaps) == [0, 0]
    assert not any(found.is_leak for found in overlaps)


@pytest.mark.parametrize("into", ["train", "valid"])
def test_a_test_patient_in_the_pre_training_is_found_there(tmp_path: Path, into: str) -> None:
    planted = _split()
    planted.loc[planted["subject_id"] == min(TEST), "split"] = into
    start = _train(tmp_path / "pre-1", planted, kind=PRE_TRAINING)
    overlaps = _overlaps(_train(tmp_path / "fine-1", _split(), start=start))
    assert _counts(overlaps) == [0, 1]
    assert [found.is_leak for found in overlaps] == [False, True]
    assert not any(found.saw_labels for found in overlaps)


def test_the_rule_is_not_believed_but_the_patients(tmp_path: Path) -> None:
    """The same words for another split: the count is of those who were trained on."""
    other = _split(seed=2)
    other.attrs = _split().attrs
    (found,) = _overlaps(_train(tmp_path / "fine-1", other))
    learned = set(other.query("split != 'test'")["subject_id"])
    assert found.stage.split_rule == "hash of patient, seed 1, 80/10/10"
    assert found.n_seen == len(TEST & learned) > 0
    assert found.saw_labels
    with pytest.raises(LeakageError, match=f"{found.n_seen} of {len(TEST)} patients"):
        require_unseen(read_seen_patients(tmp_path / "fine-1"), TEST, "synthetic")


def test_a_checkpoint_tells_its_history_wherever_it_is_taken(tmp_path: Path) -> None:
    start = _train(tmp_path / "here" / "pre-1", _split(seed=2), kind=PRE_TRAINING)
    folder = _train(tmp_path / "here" / "fine-1", _split(), start=start)
    for path in start.iterdir():
        path.unlink()
    start.rmdir()
    moved = folder.rename(tmp_path / "another name")
    overlaps = _overlaps(moved)
    assert [found.stage.name for found in overlaps] == ["fine-1", "pre-1"]
    assert overlaps[1].is_leak


def test_nobody_can_be_read_out_of_the_file(tmp_path: Path) -> None:
    names = [f"patient-{number:05d}" for number in range(2000)]
    split = split_by_patient(pd.DataFrame({"record_id": names, "subject_id": names}), seed=1)
    one = _train(tmp_path / "one", split)
    content = (one / SEEN_PATIENTS).read_bytes()
    assert b"patient-" not in content
    hashes = pq.read_table(one / SEEN_PATIENTS)["patient"].to_pylist()
    assert hashes == sorted(hashes)
    other = pq.read_table(_train(tmp_path / "two", split) / SEEN_PATIENTS)["patient"].to_pylist()
    assert not set(hashes) & set(other)


def test_all_patients_of_mimic_take_a_few_megabytes(tmp_path: Path) -> None:
    names = [str(10_000_000 + 61 * number) for number in range(161_352)]
    split = pd.DataFrame({"record_id": names, "subject_id": names, "split": "train"})
    folder = _train(tmp_path / "mimic", split)
    assert (folder / SEEN_PATIENTS).stat().st_size < 2_000_000
    (n_seen,) = read_seen_patients(folder).count([*names[:7], "nobody"], "synthetic")
    assert n_seen == 7


@pytest.mark.parametrize(
    ("family", "source", "said"),
    [
        ("xresnet1d101", "ptb-xl", "trained on PTB-XL with its labels, folds 1 to 8"),
        ("xresnet1d101", "physionet-2021", "trained on PTB-XL with its labels, folds 1 to 8"),
        ("hubert-ecg", "ptb-xl", "it is not known who was in the pre-training"),
    ],
)
def test_weights_are_not_said_to_have_seen_test_patients_where_that_is_not_known(
    tmp_path: Path, family: str, source: str, said: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
    (found,) = _overlaps(tmp_path, source)
    assert said in found.statement
    assert "test patients included" not in found.statement


def test_imported_weights_are_unknown_and_mimic_is_named(tmp_path: Path) -> None:
    imported = tmp_path / "cache" / "imported" / "abc"
    imported.mkdir(parents=True)
    report = {"source": {"name": "mimic_iv_ecg_physionet_pretrained.pt"}}
    (imported / "import_report.json").write_text(json.dumps(report))
    folder = _train(tmp_path / "fine-1", _split(), start=imported, source="mimic-iv-ecg")
    overlaps = _overlaps(folder, "mimic-iv-ecg")
    assert _counts(overlaps) == [0, None]
    assert overlaps[1].stage.name == "mimic_iv_ecg_physionet_pretrained.pt"
    assert "pre-trained on MIMIC-IV-ECG, its test patients included" in overlaps[1].statement
    assert not overlaps[1].is_leak
    alone = _overlaps(imported)
    assert _counts(alone) == [None] and "MIMIC" not in alone[0].statement


@pytest.mark.parametrize(
    "model_type,inputs,is_warned",
    [
        ("ecg_fm", {"pretrained": "4f"}, True),
        ("ecg_fm", None, True),
        ("ecg_fm", {"labels": "4f"}, False),
        ("ecg-founder", {"pretrained": "4f"}, False),
    ],
)
def test_mimic_is_named_where_the_weights_may_be_ecg_fms(
    tmp_path: Path, model_type: str, inputs: dict[str, str] | None, is_warned: bool
) -> None:
    """A training without `pretrained` began with random weights, which saw nobody."""
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    if inputs is not None:
        (folder / "run.json").write_text(json.dumps({"request": {"inputs": inputs}}))
    (found,) = _overlaps(folder, "mimic-iv-ecg")
    assert ("pre-trained on MIMIC" in found.statement) == is_warned


def test_a_folder_of_an_earlier_version_is_unknown_and_never_0(tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"trained_on": {"source": "synthetic"}}))
    (found,) = _overlaps(folder)
    assert found.n_seen is None and not found.is_leak
    assert "Unknown" in found.statement


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    folder = _train(tmp_path / "fine-1", _split())
    (folder / SEEN_PATIENTS).write_bytes(b"PAR1 and no more")
    with pytest.raises(CheckpointError, match="cannot read seen_patients"):
        read_seen_patients(folder)


def test_patients_of_another_dataset_cannot_be_compared(tmp_path: Path) -> None:
    (found,) = _overlaps(_train(tmp_path / "fine-1", _split()), "ptb-xl")
    assert found.n_seen is None and not found.is_leak
    assert "ids say nothing" in found.statement


def test_datasets_that_share_recordings_are_a_leak(tmp_path: Path) -> None:
    folder = _train(tmp_path / "fine-1", _split(), source="ptb-xl")
    (found,) = _overlaps(folder, "physionet-2021")
    assert found.is_leak and "contains the recordings of PTB-XL" in found.statement


def test_table_and_words_name_trainings_and_no_patient(tmp_path: Path) -> None:
    planted = _split()
    planted["split"] = "train"
    overlaps = _overlaps(_train(tmp_path / "fine-1", planted))
    table = overlap_table(overlaps)
    assert table["evaluated_patients_seen"].tolist() == [len(TEST)]
    assert "subject_id" not in table.columns
    words = describe_overlaps(overlaps, len(TEST))
    assert words == f"fine-1: saw {len(TEST)} of {len(TEST)} test patients."
