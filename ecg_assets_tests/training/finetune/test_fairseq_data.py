from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecg_assets.errors import SettingsError
from ecg_assets.training.fairseq_signals.install import find_fairseq_data


def _write(folder: Path, root: Path, *, weights: str = "[2.000000,0.500000]") -> Path:
    """Write manifests of one .mat file a split, and the file."""
    folder.mkdir(parents=True)
    (root / "p1000").mkdir(parents=True, exist_ok=True)
    (root / "p1000" / "a_0.mat").touch()
    for split in ("train", "valid", "test"):
        (folder / f"{split}.tsv").write_text(f"{root}\np1000/a_0.mat\t2500\n")
    (folder / "pos_weight.txt").write_text(weights)
    np.save(folder / "y.npy", np.zeros((1, 2)))
    return folder


@pytest.mark.parametrize(
    ("below", "weights"),
    [("", "[2.000000,0.500000]"), ("lead_1/manifests", "2.00000000 0.50000000")],
)
def test_both_layouts_are_found_with_their_weights(
    tmp_path: Path, below: str, weights: str
) -> None:
    folder = tmp_path / "fairseq_manifests"
    written = _write(folder / below, tmp_path / "mats", weights=weights)
    found = find_fairseq_data(folder, n_labels=2, with_test=True)
    assert found.folder == written
    assert found.pos_weight == (2.0, 0.5)


@pytest.mark.parametrize("missing", ["train.tsv", "valid.tsv", "test.tsv", "y.npy"])
def test_a_missing_file_names_the_assets_to_materialize(tmp_path: Path, missing: str) -> None:
    folder = _write(tmp_path / "m", tmp_path / "mats")
    (folder / missing).unlink()
    with pytest.raises(SettingsError, match=r"mat_records .* fairseq_manifests"):
        find_fairseq_data(folder, n_labels=2, with_test=True)


def test_a_test_split_is_needed_only_where_it_is_measured(tmp_path: Path) -> None:
    folder = _write(tmp_path / "m", tmp_path / "mats")
    (folder / "test.tsv").unlink()
    assert find_fairseq_data(folder, n_labels=2, with_test=False).folder == folder


def test_lists_that_lead_nowhere_are_refused(tmp_path: Path) -> None:
    folder = _write(tmp_path / "m", tmp_path / "mats")
    (folder / "valid.tsv").write_text(f"{tmp_path}\n")
    with pytest.raises(SettingsError, match=r"valid\.tsv names no \.mat file"):
        find_fairseq_data(folder, n_labels=2, with_test=False)
    (folder / "valid.tsv").write_text(f"{tmp_path}\ngone_0.mat\t2500\n")
    with pytest.raises(SettingsError, match=r"gone_0\.mat, which is not there"):
        find_fairseq_data(folder, n_labels=2, with_test=False)


def test_labels_of_another_number_are_refused(tmp_path: Path) -> None:
    folder = _write(tmp_path / "m", tmp_path / "mats")
    with pytest.raises(SettingsError, match=r"2 labels in y\.npy .* manifests have 17"):
        find_fairseq_data(folder, n_labels=17, with_test=False)
