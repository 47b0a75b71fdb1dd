"""The split asset and its checks under shares that are set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from ecg_assets.defs.assets.sources_and_split import patient_split
from ecg_assets.defs.checks.data import no_split_is_empty, shares_are_those_asked_for
from ecg_assets.defs.settings import Settings
from ecg_assets.errors import SettingsError
from ecg_assets.made_with import with_facts

RECORDS = pd.DataFrame({"record_id": (ids := [str(i) for i in range(500)]), "subject_id": ids})


def _split(settings: Settings) -> pd.DataFrame:
    result = patient_split(settings, with_facts(RECORDS, settings.source_facts()))
    assert isinstance(result, dg.MaterializeResult)
    table = result.value
    assert isinstance(table, pd.DataFrame)
    return table


def _passes(check: dg.AssetChecksDefinition, settings: Settings, split: pd.DataFrame) -> bool:
    result = check(settings, split)
    assert isinstance(result, dg.AssetCheckResult)
    return bool(result.passed)


def _with(settings: Settings, **changes: Any) -> Settings:
    return Settings(**{**settings.model_dump(), **changes})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=str(tmp_path), seed=1, valid_share=0.3, test_share=0.2)


def test_split_has_the_shares_and_its_rule_says_them(settings: Settings) -> None:
    split = _split(settings)
    assert split["split"].value_counts(normalize=True)["valid"] == pytest.approx(0.3, abs=0.05)
    assert settings.split_rule == "hash of patient, seed 1, 50/30/20"
    assert _passes(no_split_is_empty, settings, split)
    assert _passes(shares_are_those_asked_for, settings, split)


def test_split_of_other_shares_fails_exactly_one_check(settings: Settings) -> None:
    split = _split(_with(settings, valid_share=0.1))
    assert _passes(no_split_is_empty, settings, split)
    assert not _passes(shares_are_those_asked_for, settings, split)


def test_shares_of_a_file_are_its_own(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "meta_split.csv"
    path.write_text("save_file,split\n0.mat,train\n1.mat,valid\n2.mat,test\n")
    of_file = _with(settings, meta_split=str(path))
    assert of_file.split_shares is None
    assert _passes(shares_are_those_asked_for, of_file, _split(of_file))


def test_a_split_may_be_empty_only_where_its_share_is_0(settings: Settings) -> None:
    without = _with(settings, test_share=0.0)
    split = _split(without)
    assert "test" not in set(split["split"])
    assert _passes(no_split_is_empty, without, split)
    assert not _passes(no_split_is_empty, settings, split)


def test_shares_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_VALID_SHARE", "0.15")
    assert Settings(seed=2).split_rule == "hash of patient, seed 2, 75/15/10"
    monkeypatch.setenv("ECG_TEST_SHARE", "0.7")
    with pytest.raises(SettingsError, match=r"ECG_TEST_SHARE is 0\.7; .* from 0 to 0\.5"):
        _ = Settings().split_shares
    monkeypatch.setenv("ECG_TEST_SHARE", "a tenth")
    with pytest.raises(SettingsError, match=r"ECG_TEST_SHARE is 'a tenth'. .* valid number"):
        Settings()
