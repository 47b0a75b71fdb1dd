from __future__ import annotations

from typing import Any

import pytest

from ecg_assets.training.finetune.experiments import GRID_SEARCH, draw_grid, grid_points, rank_grid


def _run(valid_loss: float, macro_auroc: float | None = 0.9) -> dict[str, Any]:
    return {
        "checkpoint_id": f"tiny-{valid_loss}",
        "best_epoch": 3,
        "valid_loss": valid_loss,
        "valid_macro_auroc": macro_auroc,
        "test_loss": 0.0,
    }


def test_the_lowest_validation_loss_is_best_and_missing_points_are_named() -> None:
    runs = {(0.01, 32): _run(0.7), (0.001, 16): _run(0.5), (0.001, 32): _run(0.6, None)}
    table = rank_grid(runs, {(0.01, 16): "not trained yet"})
    assert table[["learning_rate", "batch_size"]].to_numpy().tolist() == [
        [0.001, 16],
        [0.001, 32],
        [0.01, 16],
        [0.01, 32],
    ]
    assert table["is_best"].tolist() == [True, False, False, False]
    assert table["undefined"].tolist()[2] == "not trained yet"
    stored = GRID_SEARCH.from_pandas(table).to_pandas()
    assert stored["best_epoch"].isna().tolist() == [False, False, True, False]
    assert stored["valid_macro_auroc"].isna().tolist() == [False, True, True, False]
    assert draw_grid(table).startswith(b"\x89PNG")


def test_of_equal_losses_the_lowest_rate_then_the_smallest_batch_is_best() -> None:
    runs = {(0.01, 16): _run(0.5), (0.001, 32): _run(0.5), (0.001, 16): _run(0.6)}
    table = rank_grid(runs, {})
    best = table[table["is_best"]].iloc[0]
    assert (best["learning_rate"], best["batch_size"]) == (0.001, 32)


def test_no_trained_point_is_refused() -> None:
    with pytest.raises(ValueError, match="runs is empty"):
        rank_grid({}, {(0.01, 16): "not trained yet"})


def test_points_are_named_once_and_in_order() -> None:
    points = grid_points([0.004, 1e-3, 0.001], [32, 16])
    assert points == {
        "lr=0.001_batch=16": (0.001, 16),
        "lr=0.001_batch=32": (0.001, 32),
        "lr=0.004_batch=16": (0.004, 16),
        "lr=0.004_batch=32": (0.004, 32),
    }
