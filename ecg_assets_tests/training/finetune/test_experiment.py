from __future__ import annotations

from pathlib import Path

import pytest

from ecg_assets.build import read_manifest
from ecg_assets.errors import SettingsError
from ecg_assets.models.checkpoint_folder import read_validation_predictions
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.finetune.experiments import fold_request, grid_request
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets_tests.models.toy_recordings import toy_manifest, toy_signals
from ecg_assets_tests.training.finetune.toy_run import run_toy, toy_request
from ecg_assets_tests.training.killed_run import Killed


def _fold(request: FinetuneRequest, fold: int, root: Path, n_folds: int = 4) -> FinetuneRequest:
    return fold_request(request, toy_manifest(40), fold, n_folds=n_folds, root=root)


def test_a_fold_has_a_manifest_and_a_folder_of_its_own(tmp_path: Path) -> None:
    plain = toy_request(tmp_path / "checkpoints")
    first, second = (_fold(plain, fold, tmp_path / "folds") for fold in (1, 2))
    assert first.output_folder.parent == second.output_folder.parent
    assert first.output_folder.parent.parent == tmp_path / "folds"
    assert first.output_folder.name == "1"
    assert len({plain.checkpoint_id, first.checkpoint_id, second.checkpoint_id}) == 3
    assert read_manifest(first.manifest_folder).made_with["fold"] == "1 of 4"
    held_out = [set(read_manifest(r.manifest_folder).rows("valid")) for r in (first, second)]
    assert held_out[0] and not held_out[0] & held_out[1]
    assert (first.shard_folder, first.cache_folder) == (plain.shard_folder, plain.cache_folder)


def test_the_same_fold_is_the_same_request(tmp_path: Path) -> None:
    plain = toy_request(tmp_path)
    assert _fold(plain, 1, tmp_path) == _fold(plain, 1, tmp_path)


def test_a_killed_fold_resumes_and_a_finished_one_is_reused(tmp_path: Path) -> None:
    request = _fold(toy_request(tmp_path, epochs=2), 1, tmp_path / "folds")
    part = read_manifest(request.manifest_folder)
    data = TrainingData(part, toy_signals(part))
    with pytest.raises(Killed):
        run_toy(request, data, killed_in_epoch=2)
    folder, events = run_toy(request, data)
    assert events[0]["epochs_already_trained"] == 1
    assert folder == request.output_folder / request.checkpoint_id
    scored = read_validation_predictions(folder)
    assert list(scored.record_ids) == list(part.index["record_id"].iloc[part.rows("valid")])
    assert run_toy(request, data)[1][0]["event"] == "reused"


def test_what_changes_the_folds_or_the_training_is_another_experiment(tmp_path: Path) -> None:
    plain = toy_request(tmp_path)
    requests = [
        _fold(plain, 1, tmp_path),
        _fold(plain, 1, tmp_path, n_folds=3),
        _fold(toy_request(tmp_path, seed=2), 1, tmp_path),
        _fold(toy_request(tmp_path, epochs=2), 1, tmp_path),
    ]
    assert len({request.output_folder for request in requests}) == 4


def test_the_test_split_is_never_measured(tmp_path: Path) -> None:
    plain = toy_request(tmp_path)
    assert plain.recipe.reports_test
    assert not _fold(plain, 1, tmp_path).recipe.reports_test
    point = grid_request(plain, learning_rate=1e-3, batch_size=8, root=tmp_path)
    assert not point.recipe.reports_test


def test_rare_labels_are_refused_or_kept(tmp_path: Path) -> None:
    plain, manifest = toy_request(tmp_path), toy_manifest(40)
    manifest.targets[:, 1] = 0
    with pytest.raises(SettingsError, match=r"inverted \(0\)"):
        fold_request(plain, manifest, 1, n_folds=4, root=tmp_path)
    kept = fold_request(plain, manifest, 1, n_folds=4, root=tmp_path, rare_labels="keep")
    assert kept.manifest_folder.is_dir()


def test_points_of_a_grid_share_an_experiment(tmp_path: Path) -> None:
    plain = toy_request(tmp_path / "checkpoints")
    root = tmp_path / "grid"
    points = [
        grid_request(plain, learning_rate=rate, batch_size=size, root=root)
        for rate in (1e-3, 4e-3)
        for size in (8, 16)
    ]
    assert len({point.output_folder for point in points}) == 1
    assert len({point.checkpoint_id for point in points}) == 4
    assert (points[0].recipe.learning_rate, points[0].recipe.batch_size) == (1e-3, 8)
    other = grid_request(
        toy_request(tmp_path, epochs=2), learning_rate=1e-3, batch_size=8, root=root
    )
    assert other.output_folder != points[0].output_folder
