from __future__ import annotations

from pathlib import Path

import pytest

from ecg_assets.defs.settings import Settings
from ecg_assets.errors import SettingsError


def _settings(root: Path, label_set: str) -> Settings:
    (root / "labels.csv").write_text("file,patient,Wide QRS,AF\na.csv,1,0,1\n")
    return Settings(source="folder", raw_root=str(root), label_set=label_set)


def test_own_labels_are_the_columns_of_labels_csv(tmp_path: Path) -> None:
    label_set = _settings(tmp_path, "own").load_label_set()
    assert label_set.vocabulary.names == ("Wide QRS", "AF")


def test_file_that_names_a_label_the_data_lacks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text("labels: {AFIB: {includes: ['own:AFIB']}}")
    with pytest.raises(SettingsError, match=r"\['own:Wide QRS', 'own:AF'\]"):
        _settings(tmp_path, str(path)).load_label_set()


def test_own_labels_of_another_source_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ECG_SOURCE=folder"):
        Settings(source="synthetic", label_set="own").load_label_set()
