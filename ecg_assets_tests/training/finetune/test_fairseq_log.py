from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from ecg_assets.errors import EcgAssetsError
from ecg_assets.metrics.ranks import TieBlocks, label_aurocs
from ecg_assets.training.engine.history import COLUMNS, history_frame
from ecg_assets.training.fairseq_signals.process import best_epoch, epoch_history, read_log_line

VALID = '[2026-01-01 10:00:00,000][valid][INFO] - {{"epoch": {0}, "valid_loss": "{1}"}}'
TRAIN = '[2026-01-01 10:00:00,000][train][INFO] - {{"epoch": {0}, "train_wall": "{1}"}}'


def _history(*lines: str) -> list[dict[str, float]]:
    return epoch_history(entry for entry in map(read_log_line, lines) if entry is not None)


@pytest.mark.reference
def test_a_real_log_becomes_a_history_in_natural_logarithm(reference_data: Path) -> None:
    lines = (reference_data / "fairseq_golden" / "finetune_log.jsonl.txt").read_text()
    first, second = _history(*lines.splitlines())
    assert tuple(first) == COLUMNS
    assert [row["epoch"] for row in (first, second)] == [1, 2]
    assert first["valid_loss"] == pytest.approx(1.628 * math.log(2))
    assert second["train_loss"] == pytest.approx(1.531 * math.log(2))
    assert second["test_loss"] == pytest.approx(1.543 * math.log(2))
    assert second["learning_rate"] == 5e-05


@pytest.mark.reference
def test_the_logged_auroc_is_micro_and_never_taken_for_macro(reference_data: Path) -> None:
    golden = reference_data / "fairseq_golden" / "trainer"
    lines = (golden / "log.txt").read_text().splitlines()
    logged = {entry.tag: entry.values for entry in map(read_log_line, lines) if entry}
    scores = np.load(golden / "validation_scores.npz")
    for split in ("valid", "test"):
        target = scores[f"{split}_targets"].astype(np.uint8)
        together = TieBlocks.from_scores(target.ravel(), scores[f"{split}_scores"].ravel())
        curves = together.curves(np.ones(target.size, np.int64))
        given = logged[split]["auroc"], logged[split]["auprc"]
        assert curves == pytest.approx(given, rel=0, abs=1e-6)
        macro = np.nanmean(label_aurocs(target, scores[f"{split}_scores"]))
        assert abs(macro - logged[split]["auroc"]) > 0.02
        is_right = (scores[f"{split}_scores"] >= 0.5) == target
        assert is_right.mean() == pytest.approx(logged[split]["accuracy"], rel=0, abs=1e-5)
    (row,) = _history(*lines)
    assert row["valid_loss"] == pytest.approx(1.655 * math.log(2))
    assert row["valid_macro_auroc"] is row["test_macro_auroc"] is None


def test_line_of_a_running_epoch() -> None:
    entry = read_log_line(
        '[2026-01-01][train_inner][INFO] - {"epoch": 2, "update": 1.111, "loss": "2", '
        '"num_updates": "10", "train_wall": "11", "wall": "14", "note": "x", "gnorm": "nan"}'
    )
    assert entry is not None
    assert entry.values == {
        "epoch": 2, "update": 1.111, "loss": pytest.approx(2 * math.log(2)), "num_updates": 10,
        "train_wall": 11, "wall": 14,
    }  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        "[2026-01-01][fairseq_cli.train][INFO] - {'checkpoint': {'save_dir': 'x'}}",
        "[2026-01-01][valid][INFO] - {not json}",
        "Traceback (most recent call last):",
    ],
)
def test_other_lines_are_no_numbers(line: str) -> None:
    assert read_log_line(line) is None


def test_seconds_are_those_of_the_epoch() -> None:
    rows = _history(
        VALID.format(1, "1"), TRAIN.format(1, 13), VALID.format(2, "1"), TRAIN.format(2, 19)
    )
    assert [row["seconds"] for row in rows] == [13, 6]


def test_an_epoch_without_validation_gives_no_row() -> None:
    assert _history(TRAIN.format(1, 13)) == []


def test_of_equal_losses_the_last_is_best_as_its_file_is_replaced() -> None:
    rows = _history(
        *(
            line
            for epoch, loss in enumerate(("1.1", "0.9", "0.9", "1.0"), start=1)
            for line in (VALID.format(epoch, loss), TRAIN.format(epoch, epoch))
        )
    )
    assert best_epoch(rows)["epoch"] == 3


def test_a_loss_that_is_no_number_is_never_best() -> None:
    rows = _history(
        VALID.format(1, "1"), TRAIN.format(1, 1), VALID.format(2, "nan"), TRAIN.format(2, 2)
    )
    assert best_epoch(rows)["epoch"] == 1
    assert history_frame(rows)["valid_loss"].isna().tolist() == [False, True]
    with pytest.raises(EcgAssetsError, match="Lower the learning rate"):
        best_epoch(rows[1:])
