"""Which evaluated patients a checkpoint saw, told from the records that trainings leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ecg_assets.build import EXCLUDED, INDEX, Manifest, fingerprint_manifest, write_manifest
from ecg_assets.evaluation.leakage import StageOverlap, find_overlaps, overlap_table
from ecg_assets.evaluation.training_history import trace_training
from ecg_assets.labels import LabelVocabulary
from ecg_assets.lineage import fingerprint_file, fingerprint_table
from ecg_assets.preprocess import SignalSpec
from ecg_assets.split import SplitShares, split_by_patient

RULE = "hash of patient, seed 1, 80/10/10"
PATIENTS = [str(number) for number in range(200)]


def _split(seed: int = 1, shares: SplitShares | None = None) -> pd.DataFrame:
    patients = pd.DataFrame({"record_id": PATIENTS, "subject_id": PATIENTS})
    return split_by_patient(patients, seed=seed, shares=shares)


TEST = set(_split().query("split == 'test'")["subject_id"])


def _manifest(split: pd.DataFrame) -> Manifest:
    index = split.assign(shard="p0", row=np.arange(len(split), dtype=np.int32))
    return Manifest(
        index=index,
        targets=np.zeros((len(index), 1), np.uint8),
        vocabulary=LabelVocabulary(("AF",), ("mean",)),
        spec=SignalSpec(),
        pos_weight=np.ones(1),
        excluded=EXCLUDED.empty(),
    )


class _Results:
    """A folder of results with trainings in it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def train(
        self,
        name: str,
        split: pd.DataFrame,
        *,
        pretrained: Path | None = None,
        is_pretraining: bool = False,
        keep_manifest: bool = True,
        rule: str = RULE,
        source: str = "synthetic",
    ) -> Path:
        """Leave what a training leaves: weights, run.json, its request and manifest."""
        parent = f"{source}/pretrained_checkpoint" if is_pretraining else "checkpoints"
        folder, manifests = self.data_dir / parent / name, self.data_dir / f"manifests of {name}"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_text(f"weights of {name}")
        manifest = _manifest(split)
        if keep_manifest:
            write_manifest(manifest, manifests)
        inputs = {"manifests": fingerprint_manifest(manifest)}
        if is_pretraining:
            inputs = {"recordings": fingerprint_table(INDEX.from_pandas(manifest.index))}
        request: dict[str, Any] = {"manifest_folder": str(manifests), "pretrained": None}
        if pretrained is not None:
            inputs["pretrained"] = fingerprint_file(pretrained / "model.safetensors")
            request["pretrained"] = str(pretrained)
        trained_on = {"source": source, "split_rule": rule}
        run = {"checkpoint_id": name, "inputs": inputs, "trained_on": trained_on}
        (folder / "run.json").write_text(json.dumps(run))
        requests = self.data_dir / "requests"
        requests.mkdir(exist_ok=True)
        (requests / f"{name}.json").write_text(json.dumps(request))
        return folder

    def overlaps(self, folder: Path, source: str = "synthetic") -> list[StageOverlap]:
        return find_overlaps(trace_training(folder, self.data_dir), TEST, source)


@pytest.fixture
def results(tmp_path: Path) -> _Results:
    return _Results(tmp_path)


def _seen(overlaps: list[StageOverlap]) -> list[int | None]:
    return [found.n_seen for found in overlaps]


def test_own_test_split_was_not_seen(results: _Results) -> None:
    start = results.train("pre-1", _split(), is_pretraining=True)
    overlaps = results.overlaps(results.train("fine-1", _split(), pretrained=start))
    assert [found.stage.kind for found in overlaps] == ["fine-tuning", "pre-training"]
    assert _seen(overlaps) == [0, 0]
    assert not any(found.is_leak for found in overlaps)


@pytest.mark.parametrize("into", ["train", "valid"])
def test_a_test_patient_in_the_pre_training_is_found_there(results: _Results, into: str) -> None:
    """The manifest differs from the split rule by one patient: the recordings decide."""
    planted = _split()
    planted.loc[planted["subject_id"] == min(TEST), "split"] = into
    start = results.train("pre-1", planted, is_pretraining=True)
    overlaps = results.overlaps(results.train("fine-1", _split(), pretrained=start))
    assert _seen(overlaps) == [0, 1]
    assert [found.is_leak for found in overlaps] == [False, True]
    assert "recordings that it read" in overlaps[1].statement


def test_another_seed_is_found_by_its_rule_when_the_manifest_is_gone(results: _Results) -> None:
    start = results.train(
        "pre-1",
        _split(seed=2),
        is_pretraining=True,
        keep_manifest=False,
        rule=RULE.replace("1,", "2,"),
    )
    overlaps = results.overlaps(results.train("fine-1", _split(), pretrained=start))
    other = _split(seed=2).query("split != 'test'")["subject_id"]
    assert _seen(overlaps) == [0, len(TEST & set(other))]
    assert overlaps[1].is_leak
    assert "By its split rule" in overlaps[1].statement


def test_other_shares_are_repeated_by_their_rule_when_the_manifest_is_gone(
    results: _Results,
) -> None:
    wider = _split(shares=SplitShares(test=0.3))
    narrower = _split(shares=SplitShares(test=0.05))
    start = results.train(
        "pre-1", narrower, keep_manifest=False, is_pretraining=True, rule=_of_shares("85/10/5")
    )
    folder = results.train(
        "fine-1", wider, pretrained=start, keep_manifest=False, rule=_of_shares("60/10/30")
    )
    learned_before = TEST & set(narrower.query("split != 'test'")["subject_id"])
    assert 0 < len(learned_before) < len(TEST)
    assert _seen(results.overlaps(folder)) == [0, len(learned_before)]


def _of_shares(per_cent: str) -> str:
    return RULE.replace("80/10/10", per_cent)


def test_same_rule_without_a_manifest_has_seen_nobody(results: _Results) -> None:
    overlaps = results.overlaps(results.train("fine-1", _split(), keep_manifest=False))
    assert _seen(overlaps) == [0]


def test_a_split_file_that_is_gone_is_unknown(results: _Results) -> None:
    folder = results.train("fine-1", _split(), keep_manifest=False, rule="meta_split abc")
    (found,) = results.overlaps(folder)
    assert found.n_seen is None and not found.is_leak
    assert "meta_split abc" in found.statement


def test_a_manifest_that_was_built_again_is_not_taken_for_the_old_one(results: _Results) -> None:
    folder = results.train("fine-1", _split(seed=2), rule="meta_split abc")
    write_manifest(_manifest(_split()), results.data_dir / "manifests of fine-1")
    assert _seen(results.overlaps(folder)) == [None]


def test_imported_weights_are_unknown_and_mimic_is_named(results: _Results, tmp_path: Path) -> None:
    imported = tmp_path / "synthetic" / "cache" / "imported" / "abc"
    imported.mkdir(parents=True)
    (imported / "model.safetensors").write_text("public weights")
    report = {"source": {"name": "mimic_iv_ecg_physionet_pretrained.pt"}}
    (imported / "import_report.json").write_text(json.dumps(report))
    folder = results.train("fine-1", _split(), pretrained=imported, source="mimic-iv-ecg")
    overlaps = results.overlaps(folder, "mimic-iv-ecg")
    assert _seen(overlaps) == [0, None]
    assert overlaps[1].stage.name == "mimic_iv_ecg_physionet_pretrained.pt"
    assert "pre-trained on MIMIC-IV-ECG, its test patients included" in overlaps[1].statement
    assert not overlaps[1].is_leak
    alone = results.overlaps(imported)
    assert _seen(alone) == [None] and "MIMIC" not in alone[0].statement


def test_the_start_is_found_by_its_weights_without_a_request(results: _Results) -> None:
    start = results.train("pre-1", _split(seed=2), is_pretraining=True)
    folder = results.train("fine-1", _split(), pretrained=start)
    (results.data_dir / "requests" / "fine-1.json").unlink()
    overlaps = results.overlaps(folder)
    assert [found.stage.name for found in overlaps] == ["fine-1", "pre-1"]
    assert overlaps[1].is_leak


def test_a_start_that_is_not_stored_any_more_is_unknown(results: _Results) -> None:
    start = results.train("pre-1", _split(), is_pretraining=True)
    folder = results.train("fine-1", _split(), pretrained=start)
    (start / "model.safetensors").write_text("other weights")
    overlaps = results.overlaps(folder)
    assert [found.stage.kind for found in overlaps] == ["fine-tuning", "unknown"]


def test_patients_of_another_dataset_cannot_be_compared(results: _Results) -> None:
    folder = results.train("fine-1", _split())
    (found,) = results.overlaps(folder, "ptb-xl")
    assert found.n_seen is None and not found.is_leak
    assert "ids say nothing" in found.statement


def test_datasets_that_share_recordings_are_a_leak(results: _Results) -> None:
    (found,) = results.overlaps(
        results.train("fine-1", _split(), source="ptb-xl"), "physionet-2021"
    )
    assert found.is_leak and "contains the recordings of PTB-XL" in found.statement


def test_table_names_trainings_and_no_patient(results: _Results) -> None:
    planted = _split()
    planted["split"] = "train"
    table = overlap_table(results.overlaps(results.train("fine-1", planted)))
    assert table["evaluated_patients_seen"].tolist() == [len(TEST)]
    assert "subject_id" not in table.columns
