"""Settings in the version graph: what each makes stale, and what it does not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import ecg_assets
from ecg_assets.defs import shaping
from ecg_assets.defs.assets.evaluation import IntervalsConfig
from ecg_assets.defs.build import build_definitions
from ecg_assets.defs.freshness import find_stale
from ecg_assets.defs.settings import VARIABLES, CodeLocation, Settings
from ecg_assets.defs.shaping import NOT_SHAPING, STANDS_FOR_ITSELF
from ecg_assets_tests.defs.small_job import MATRIX, SmallJob

LABELS = {"labels", "label_evidence", "unmatched_statements"}
TRAINED = {"finetuned_checkpoint", "fold_checkpoint", "grid_checkpoint", "probe_grid"}
ASKED_FOR = {*TRAINED, "repeated_checkpoint"}
"""Trainings by a preset; a repeated one's seed is its partition's."""
COMPUTED = {
    *("predictions", "external_metrics", "lead_degradation", "embeddings", "record_scores"),
    *("saliency", "frozen_embeddings", "matrix_cell", "pretrained_checkpoint"),
}
RESAMPLED = {
    *("eval_metrics", "external_metrics", "lead_degradation", "slice_metrics", "eval_report"),
    *("leaderboard", "matrix_cell", "evaluation_matrix"),
}
READS_SPEC = {"manifests", "mat_records"}
ALL = {"record_list"}

SHAPED: dict[str, tuple[Any, set[str]]] = {
    "source": ("ptb-xl", ALL),
    "n_synthetic_records": (100, ALL),
    "label_set": ("six-conditions", {*LABELS, "label_crosswalk"}),
    "label_threshold": (
        0.9,
        {*LABELS, "label_differences", "label_crosswalk", "matrix_cell"},
    ),
    "ecg_fm_root": ("another clone", {"upstream_labels", "label_differences"}),
    "split": ("folds", {"split"}),
    "valid_share": (0.2, {"split"}),
    "test_share": (0.2, {"split"}),
    "seed": (
        2,
        {
            *("split", "pretrained_checkpoint", "frozen_embeddings", "label_noise"),
            *TRAINED,
            *RESAMPLED,
        },
    ),
    "stored_leads": (["I", "II"], {"signal_shards"}),
    "signal_kind": ("raw", READS_SPEC),
    "resampling": ("polyphase", {*READS_SPEC, "frozen_embeddings", "matrix_cell"}),
    "record_part": ("all", {*READS_SPEC, "frozen_embeddings", "matrix_cell"}),
    "segment_s": (2.5, READS_SPEC),
    "signal_quality": ("zhao2018", {"signal_shards"}),
    "flawed_records": ("keep", {"manifests", "external_metrics", "matrix_cell", "mat_records"}),
    "max_per_condition": ("20", {"manifests", "matrix_cell"}),
    "preset": ("ecg-fm-lead-i", ASKED_FOR),
    "pretrained": ("/models/encoder.pt", ASKED_FOR),
    "precision": ("bf16", {*ASKED_FOR, *COMPUTED}),
}
"""Setting to another value and the assets that it shapes itself."""

WITH_A_TEST_OF_THEIR_OWN = {
    *("meta_split", "leads", "matrix", "protocol", "folders_per_shard", "raw_root"),
}


def _follow(finished: SmallJob, assets: Iterable[str]) -> set[str]:
    """Assets, and all that is made from them; a checkpoint stands for itself."""
    graph = finished.definitions.resolve_asset_graph()
    children: dict[str, set[str]] = {}
    for key in graph.get_all_asset_keys():
        for parent in graph.get(key).parent_keys:
            children.setdefault(parent.to_user_string(), set()).add(key.to_user_string())
    found, left = set(), set(assets)
    while left:
        name = left.pop()
        found.add(name)
        left |= children.get(name, set()) - set(STANDS_FOR_ITSELF) - found
    return found


def _stale(finished: SmallJob, **changes: Any) -> set[str]:
    settings = finished.settings_with(**changes)
    definitions = build_definitions({"settings": settings})
    return {key.to_user_string() for key in find_stale(definitions, finished.instance)}


def test_nothing_is_stale_after_the_whole_job_nor_when_a_setting_is_back(
    finished: SmallJob,
) -> None:
    assert _stale(finished) == set()
    assert _stale(finished, seed=2)
    assert _stale(finished) == set()


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallJob]:
    """The job before anything is materialized."""
    folder = tmp_path_factory.mktemp("nothing")
    matrix = folder / "matrix.yaml"
    matrix.write_text(MATRIX, encoding="utf-8")
    with dg.DagsterInstance.ephemeral() as instance:
        yield SmallJob.at(folder, instance, ecg_fm_root="a clone", matrix=str(matrix))


@pytest.mark.parametrize("setting", SHAPED)
def test_a_setting_is_in_the_version_of_what_it_shapes_and_of_nothing_else(
    job: SmallJob, setting: str
) -> None:
    value, shaped = SHAPED[setting]
    before = _versions(job.settings)
    after = _versions(job.settings_with(**{setting: value}))
    changed = {asset for asset, version in after.items() if version != before[asset]}
    assert shaped <= changed <= _follow(job, shaped)


@pytest.mark.parametrize("setting", ["source", "label_set", "seed", "precision"])
def test_a_setting_makes_stale_what_follows_from_it_and_nothing_else(
    finished: SmallJob, setting: str
) -> None:
    """As Dagster sees it, of some: of the others their versions are enough."""
    value, shaped = SHAPED[setting]
    assert _stale(finished, **{setting: value}) == _follow(finished, shaped)


def test_leads_shape_shards_and_what_is_read_of_them(finished: SmallJob) -> None:
    two = ["I", "II"]
    expected = {"signal_shards", *READS_SPEC, "frozen_embeddings", "matrix_cell"}
    assert _stale(finished, leads=two, stored_leads=two) == _follow(finished, expected)


def test_a_root_is_known_by_its_content(finished: SmallJob) -> None:
    """Another folder makes its tables again; what follows is up to what they hold."""
    assert _stale(finished, raw_root="/elsewhere") == {"record_list", "machine_reports"}


def _versions(settings: Settings) -> dict[str, str | None]:
    graph = build_definitions({"settings": settings}).resolve_asset_graph()
    keys = graph.get_all_asset_keys()
    return {key.to_user_string(): graph.get(key).code_version for key in keys}


def _of_mimic(**settings: Any) -> dict[str, str | None]:
    return _versions(Settings(source="mimic-iv-ecg", raw_root="/nowhere", **settings))


def _shards_of_folder(root: Path) -> str | None:
    settings = Settings(source="folder", raw_root=str(root), label_set="own")
    graph = build_definitions({"settings": settings}).resolve_asset_graph()
    return graph.get(dg.AssetKey("signal_shards")).code_version


def test_what_folder_yaml_says_shapes_the_shards(tmp_path: Path) -> None:
    """Not how it is written: a corrected unit makes them again."""
    found = [_shards_of_folder(tmp_path)]
    for text in ("units_per_mv: 1\n", "# mV\nunits_per_mv: 1\n", "units_per_mv: 1000\n"):
        (tmp_path / "folder.yaml").write_text(text)
        found.append(_shards_of_folder(tmp_path))
    none, one, again, other = found
    assert one == again and len({none, one, other}) == 3


def test_folders_a_shard_shape_mimic_alone() -> None:
    one, other = _of_mimic(folders_per_shard=5), _of_mimic(folders_per_shard=20)
    assert one["signal_shards"] != other["signal_shards"]


def test_a_split_file_counts_by_its_content(finished: SmallJob, tmp_path: Path) -> None:
    path = tmp_path / "meta_split.csv"
    path.write_text("save_file,split\na.mat,train\n")
    assert _stale(finished, meta_split=str(path)) == _follow(finished, {"split"})


def test_a_design_of_the_matrix_counts_by_its_content(finished: SmallJob, tmp_path: Path) -> None:
    path = tmp_path / "matrix.yaml"
    path.write_text(MATRIX, encoding="utf-8")
    assert _stale(finished, matrix=str(path)) == set()
    path.write_text(MATRIX.replace("epochs: 1", "epochs: 2"), encoding="utf-8")
    assert _stale(finished, matrix=str(path)) == {"matrix_cell", "evaluation_matrix"}


def test_a_label_file_counts_by_its_content(finished: SmallJob, tmp_path: Path) -> None:
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    for path in (one, other):
        path.write_text("labels:\n  Atrial fibrillation:\n")
    versions = []
    for path in (one, other):
        definitions = build_definitions({"settings": finished.settings_with(label_set=str(path))})
        graph = definitions.resolve_asset_graph()
        versions.append({key: graph.get(key).code_version for key in graph.get_all_asset_keys()})
    by_name = [{k.to_user_string(): v for k, v in found.items()} for found in versions]
    assert by_name[0]["labels"] == by_name[1]["labels"]


@pytest.mark.parametrize("setting", NOT_SHAPING)
def test_where_and_how_fast_shape_nothing(job: SmallJob, setting: str) -> None:
    other = {
        "data_dir": "elsewhere",
        "device": "auto",
        "workers": 7,
        "max_rejected_share": 0.5,
        "ecg_fm_python": "/usr/bin/python3",
    }
    assert _versions(job.settings_with(**{setting: other[setting]})) == _versions(job.settings)


def test_every_setting_is_known_to_shape_data_or_not() -> None:
    shaping = set(SHAPED) | WITH_A_TEST_OF_THEIR_OWN
    assert set(Settings.model_fields) == shaping | set(NOT_SHAPING)
    assert not shaping & set(NOT_SHAPING)


def test_every_variable_is_in_the_table_of_settings() -> None:
    """One that is read elsewhere would be reported as unknown, and could shape data unseen."""
    by_code, read = re.compile(r'(?:environ|getenv)\b[^\n]*"(ECG_[A-Z_]+)"'), set()
    for path in Path(ecg_assets.__file__).parent.rglob("*.py"):
        read |= set(by_code.findall(path.read_text("utf-8")))
    assert {"ECG_PRESET"} <= read <= set(VARIABLES)
    fixed = {
        "n_folds": "part of fold_checkpoint's version",
        "learning_rates": "names the partitions of grid_checkpoint",
        "batch_sizes": "names the partitions of grid_checkpoint",
        "shards_per_run": "how many shards share a run",
        "executor": "where steps run",
        "launch": "what starts what computes",
        "launcher": "how many processes train",
        "postgres_url": "where runs are kept",
        "ui_hosts": "who is answered",
        "sensor_seconds": "how often the sensors look",
        "alert": "who is told",
        "owners": "whose the assets are",
    }
    assert set(CodeLocation.model_fields) == set(fixed)
    assert len(VARIABLES) == len(Settings.model_fields) + len(CodeLocation.model_fields)


class _OtherIntervals(IntervalsConfig):
    n_resamples: int = 70


def test_defaults_of_run_configuration_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another default makes the asset otherwise: its code version has to say so."""
    before = _of_mimic()
    monkeypatch.setattr(shaping, "IntervalsConfig", _OtherIntervals)
    changed = {asset for asset, version in _of_mimic().items() if version != before[asset]}
    assert {"eval_metrics", "leaderboard", "matrix_cell", "lead_degradation"} <= changed
    assert not changed & {"predictions", "manifests", "label_noise"}
