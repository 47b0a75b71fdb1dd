"""Folds of a cross-validation and points of a grid: partitions that are trained apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
import pytest

from ecg_assets.build import read_manifest
from ecg_assets.defs.build import build_definitions
from ecg_assets.defs.settings import CodeLocation
from ecg_assets.defs.training_requests import newest_experiment, require_native
from ecg_assets.errors import SettingsError
from ecg_assets.labels import ECG_FM_LABELS
from ecg_assets.lineage import fingerprint_file
from ecg_assets.made_with import read_facts
from ecg_assets.models.checkpoint_folder import WEIGHTS
from ecg_assets.split import find_leaking_patients
from ecg_assets_tests.defs.small_job import SmallJob


def test_table_has_each_fold_and_names_those_that_were_not_trained(finished: SmallJob) -> None:
    table = pq.read_table(finished.settings.stored.root / "cross_validation.parquet").to_pandas()
    assert set(table["fold"]) == {"1", "2", "3", "4", "5", "mean", "sd"}
    trained = table[table["fold"].isin(["1", "2"])]
    assert set(trained["label"]) == {*ECG_FM_LABELS.names, "macro"}
    assert set(trained["metric"]) == {"auroc", "auprc"}
    missing = finished.metadata("cross_validation")["missing_folds"]
    assert missing == dict.fromkeys(("3", "4", "5"), "not trained yet")
    macro = table[(table["label"] == "macro") & (table["metric"] == "auroc")].set_index("fold")
    expected = macro.loc[["1", "2"], "value"]
    assert macro.loc["mean", "value"] == pytest.approx(expected.mean())
    assert macro.loc["sd", "value"] == pytest.approx(expected.std())


def test_folds_hold_out_other_patients_and_never_those_of_test(finished: SmallJob) -> None:
    plain = read_manifest(finished.settings.stored.folder("manifests"))
    root = finished.settings.stored.folder("cross_validation")
    folds = [read_manifest(path) for path in sorted(root.glob("*/*/manifest"))]
    assert len(folds) == 2
    patients = plain.index["subject_id"].to_numpy()
    held_out = [set(patients[fold.rows("valid")]) for fold in folds]
    assert not held_out[0] & held_out[1]
    for fold in folds:
        np.testing.assert_array_equal(fold.rows("test"), plain.rows("test"))
        assert find_leaking_patients(fold.index) == []


def test_experiments_are_no_ordinary_checkpoints_and_never_see_test(finished: SmallJob) -> None:
    for asset, partition in (("fold_checkpoint", "1"), ("grid_checkpoint", "lr=0.004_batch=32")):
        shown = finished.metadata(asset, partition)
        assert shown["checkpoint_id"] not in finished.checkpoints
        assert not Path(shown["folder"]).is_relative_to(finished.settings.store.checkpoints)
        assert set(shown["run"]["splits"]) == {"train", "valid"}
        assert shown["run"]["test_loss"] is None


def test_grid_names_its_best_point_and_those_that_were_not_trained(finished: SmallJob) -> None:
    table = pq.read_table(finished.settings.stored.root / "grid_search.parquet").to_pandas()
    assert len(table) == 4
    best = table[table["is_best"]].iloc[0]
    assert (best["learning_rate"], best["batch_size"]) == (0.004, 32)
    run = finished.metadata("grid_checkpoint", "lr=0.004_batch=32")["run"]
    assert best["valid_loss"] == run["valid_loss"]
    assert table["undefined"].eq("not trained yet").sum() == 3


def test_seeds_have_a_mean_and_a_spread_and_those_not_trained_are_named(
    finished: SmallJob,
) -> None:
    table = pq.read_table(finished.settings.stored.root / "repeated_trainings.parquet").to_pandas()
    test = read_manifest(finished.settings.stored.folder("manifests")).rows("test")
    is_macro = (table["label"] == "macro") & (table["metric"] == "auroc")
    macro = table[is_macro & (table["train_fraction"] == 0.1)].set_index("seed")
    expected = macro.loc[["1", "2"], "value"]
    assert macro.loc["mean", "value"] == pytest.approx(expected.mean())
    assert macro.loc["sd", "value"] == pytest.approx(expected.std())
    assert macro.loc[["1", "2", "mean", "sd"], "n"].eq(len(test)).all()
    missing = table[table["undefined"] == "not trained yet"]
    assert len(missing) == 12
    assert missing["n"].eq(0).all()


def test_repeated_trainings_differ_in_seed_and_share_alone(finished: SmallJob) -> None:
    keys = ("1|0.1", "2|0.1", "1|1")
    runs = [finished.metadata("repeated_checkpoint", key) for key in keys]
    assert len({run["experiment"] for run in runs}) == 1
    assert [run["seed"] for run in runs] == [1, 2, 1]
    used = [run["run"]["splits"]["train"]["n_patients"] for run in runs]
    assert used[0] == used[1] == -(-used[2] // 10)
    assert not {run["checkpoint_id"] for run in runs} & set(finished.checkpoints)


def test_probe_grid_says_which_rate_to_set_and_what_it_was_made_with(finished: SmallJob) -> None:
    stored = pq.read_table(finished.settings.stored.root / "probe_grid.parquet")
    table = stored.to_pandas()
    assert len(table) == 4
    best = table[table["is_best"]]
    assert best["seed"].tolist() == [1, 2]
    mean = table.groupby("learning_rate")["valid_loss"].mean()
    assert best["learning_rate"].unique().tolist() == [mean.idxmin()]
    shown = finished.metadata("probe_grid")
    assert shown["best_learning_rate"] == mean.idxmin()
    assert shown["next"].startswith(f"Set learning_rate: {mean.idxmin():g} for method: linear-p")
    facts = read_facts(stored.schema)
    assert facts is not None
    start = finished.settings.store.checkpoints / finished.checkpoints[0]
    assert facts["inputs"]["pretrained"] == fingerprint_file(start / WEIGHTS)
    assert facts["inputs"]["manifests"] == finished.version("manifests")
    assert facts["grid"]["learning_rates"] == [1e-3, 1e-2]
    assert facts["source"] == "synthetic"
    assert facts["recipe"]["reports_test"] is False
    assert not {"learning_rate", "weight_decay"} & facts["recipe"].keys()  # the preset's


def test_a_second_probe_grid_reads_the_features_of_the_first(
    finished: SmallJob, tmp_path: Path
) -> None:
    with finished.copied_to(tmp_path / "copy") as job:
        folder = job.settings.stored.cache / "features"
        before = {path: path.stat().st_mtime_ns for path in folder.glob("*.npy")}
        assert before
        job.train_probes(seeds=[5], epochs=1)
        assert {path: path.stat().st_mtime_ns for path in folder.glob("*.npy")} == before
        table = pq.read_table(job.settings.stored.root / "probe_grid.parquet").to_pandas()
    assert table["seed"].tolist() == [5, 5]


def test_a_probe_grid_without_a_pretrained_encoder_is_refused(finished: SmallJob) -> None:
    with pytest.raises(ValueError, match="Give a pretrained checkpoint"):
        finished.train_probes(pretrained="")


def test_pictures_are_shown(finished: SmallJob) -> None:
    pictures = {
        "cross_validation": "auroc_by_fold",
        "grid_search": "heat_map",
        "repeated_trainings": "auroc_by_share",
        "probe_grid": "curves",
    }
    for asset, name in pictures.items():
        assert "data:image/png;base64," in finished.metadata(asset)[name]


@pytest.mark.parametrize("asset", ["fold_checkpoint", "grid_checkpoint", "repeated_checkpoint"])
def test_each_partition_reads_all_shards_so_that_it_can_be_backfilled(asset: str) -> None:
    """Dagster would otherwise look for a shard of the partition's name, and refuse."""
    graph = build_definitions().resolve_asset_graph()
    key, shards = dg.AssetKey(asset), dg.AssetKey("signal_shards")
    assert isinstance(graph.get_partition_mapping(key, shards), dg.AllPartitionMapping)
    assert graph.get(key).backfill_policy == dg.BackfillPolicy.multi_run(1)
    assert graph.get(key).pools == {"gpu"}


def _record(instance: dg.DagsterInstance, partition: str, experiment: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = dg.MetadataValue.path(folder)
    metadata: dict[str, Any] = {"experiment": experiment, "folder": path}
    instance.report_runless_asset_event(
        dg.AssetMaterialization("fold_checkpoint", partition=partition, metadata=metadata)
    )


def test_the_newest_experiment_counts_and_other_trainings_are_named(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        _record(instance, "1", "old", tmp_path / "old" / "1")
        _record(instance, "2", "old", tmp_path / "old" / "2")
        _record(instance, "3", "new", tmp_path / "new" / "3")
        (tmp_path / "new" / "3").rmdir()
        _record(instance, "4", "new", tmp_path / "new" / "4")
        _record(instance, "2", "new", tmp_path / "new" / "2")
        found = newest_experiment(instance, "fold_checkpoint", "12345", tmp_path)
    assert found.name == "new"
    assert found.folders == {key: tmp_path / "new" / key for key in ("2", "4")}
    assert found.missing == {
        "1": "not trained: what is there belongs to experiment old",
        "3": "not trained: its folder is gone",
        "5": "not trained yet",
    }


def test_trainings_of_another_source_do_not_count(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        _record(instance, "1", "other", tmp_path / "ptb-xl" / "1")
        with pytest.raises(SettingsError, match="Materialize fold_checkpoint first"):
            newest_experiment(instance, "fold_checkpoint", "12", tmp_path / "synthetic")


@pytest.mark.parametrize("text", ["1", "5,6", "five", "", "-3"])
def test_a_bad_number_of_folds_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ECG_FOLDS", text)
    with pytest.raises(SettingsError, match=f"ECG_FOLDS is '{text}'"):
        CodeLocation()


def test_numbers_of_a_grid_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_GRID_LEARNING_RATES", "1e-4, 0.01")
    assert CodeLocation().learning_rates == [1e-4, 0.01]
    for bad in ("0.1,0", "high", ""):
        monkeypatch.setenv("ECG_GRID_LEARNING_RATES", bad)
        with pytest.raises(SettingsError, match=f"ECG_GRID_LEARNING_RATES is '{bad}'"):
            CodeLocation()


def test_another_trainer_is_refused() -> None:
    require_native("native")
    with pytest.raises(SettingsError, match="trainer: native"):
        require_native("fairseq-signals")
