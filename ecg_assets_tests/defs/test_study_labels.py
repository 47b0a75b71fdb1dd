"""A published task in the graph: labels, split and counts of PTB-XL's own tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from ecg_assets.defs.input_facts import require_labels, require_split
from ecg_assets.defs.settings import Settings
from ecg_assets.errors import StaleInput
from ecg_assets.labels import LABELS
from ecg_assets.split import SPLIT
from ecg_assets_tests.defs.small_job import TABLES, SmallJob
from ecg_assets_tests.sources import made_ptb_xl as made


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ptb") / "ptb-xl"
    made.write_ptb_xl(folder)
    return folder


def _settings(root: Path, folder: Path, label_set: str, **others: Any) -> Settings:
    values = {"source": "ptb-xl", "raw_root": str(root), "data_dir": str(folder), **others}
    return Settings(label_set=label_set, **values)


def test_task_runs_from_table_to_labels(root: Path, tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        job = SmallJob(instance, _settings(root, tmp_path / "data", "ptb-xl-rhythm-drop"))
        result = job.materialize(*TABLES)
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert all(check.passed for check in checks.values())
    assert "comparison" in checks["counts_are_the_studys"].metadata
    stored = job.settings.stored
    split: pd.DataFrame = stored.read_table(SPLIT)
    assert split["split"].value_counts().to_dict() == {"train": 17418, "test": 2198, "valid": 2183}
    found: pd.DataFrame = stored.read_table(LABELS)
    assert found["record_id"].nunique() == 21030
    require_labels(job.settings, found)
    require_split(job.settings, split)
    with pytest.raises(StaleInput, match=r"(?s)label_study: labels .*drop.*keep"):
        require_labels(job.settings_with(label_set="ptb-xl-rhythm-keep"), found)


def test_label_set_asks_for_the_folds_unless_the_user_says_otherwise(
    root: Path, tmp_path: Path
) -> None:
    study = "ptb-xl-super-keep"
    assert _settings(root, tmp_path, study).split_rule == "folds of ptb-xl"
    assert _settings(root, tmp_path, study, split="patients").split_rule.startswith("hash")
    assert _settings(root, tmp_path, "six-conditions").split_rule.startswith("hash")
    assert _settings(root, tmp_path, study, source="synthetic").split_rule.startswith("hash")
