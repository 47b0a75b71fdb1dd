from __future__ import annotations

from pathlib import Path

import pytest

from ecg_assets.errors import CheckpointError
from ecg_assets.labels import ECG_FM_LABELS, load_label_set
from ecg_assets.models import load_trained
from ecg_assets.models.load import import_checkpoint_file
from ecg_assets_tests.models.golden_net1d import tiny_founder, write_founder


@pytest.fixture
def public(tmp_path: Path) -> Path:
    return write_founder(tmp_path / "1_lead_ECGFounder.pth", tiny_founder(n_labels=150))


def test_public_founder_becomes_a_model_of_the_deployments_labels(
    public: Path, tmp_path: Path
) -> None:
    six = load_label_set("six-conditions").vocabulary
    folder = import_checkpoint_file(public, tmp_path / "founder", vocabulary=six)
    assert load_trained(folder).vocabulary == six


def test_labels_without_a_statement_leave_all_150(public: Path, tmp_path: Path) -> None:
    folder = import_checkpoint_file(public, tmp_path / "founder", vocabulary=ECG_FM_LABELS)
    assert len(load_trained(folder).vocabulary) == 150


def test_other_numbers_of_outputs_are_not_taken_for_the_deployments_labels(tmp_path: Path) -> None:
    """Six outputs in an unknown order would pass for the six conditions."""
    path = write_founder(tmp_path / "fine_tuned.pth", tiny_founder(n_labels=6))
    six = load_label_set("six-conditions").vocabulary
    with pytest.raises(CheckpointError, match=r"label_vocabulary\.json"):
        import_checkpoint_file(path, tmp_path / "founder", vocabulary=six)
