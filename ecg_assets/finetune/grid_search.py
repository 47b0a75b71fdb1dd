"""Validation results of a grid over learning rate and batch size, and the best of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ecg_assets.tables import Column, TableSchema

Point = tuple[float, int]
"""Learning rate and batch size."""

GRID_SEARCH = TableSchema(
    "grid_search",
    (
        Column("learning_rate", pa.float64(), "peak learning rate"),
        Column("batch_size", pa.int64(), "segments in one forward pass"),
        Column("best_epoch", pa.int64(), "epoch of the lowest validation loss", nullable=True),
        Column("valid_loss", pa.float64(), "validation loss of that epoch", nullable=True),
        Column(
            "valid_macro_auroc",
            pa.float64(),
            "validation macro AUROC of that epoch; empty where undefined",
            nullable=True,
        ),
        Column("is_best", pa.bool_(), "whether it has the lowest validation loss of all"),
        Column("checkpoint", pa.string(), "name of its folder", nullable=True),
        Column("undefined", pa.string(), "why there are no numbers", nullable=True),
    ),
)


def rank_grid(
    runs: Mapping[Point, Mapping[str, Any]], missing: Mapping[Point, str]
) -> pd.DataFrame:
    """Put the points of a grid side by side, by learning rate and batch size.

    Parameters
    ----------
    runs
        Content of run.json of each trained point. Numbers of the test split are not read.
    missing
        Why another point was not trained.

    Returns
    -------
    DataFrame
        `GRID_SEARCH`. The best is the one with the lowest validation loss; of equal ones that
        with the lowest learning rate, then the smallest batch.

    Raises
    ------
    ValueError
        When no point is given.
    """
    if not runs:
        raise ValueError("runs is empty; expected one trained point of the grid at least.")
    rows = [_row(point, run, None) for point, run in runs.items()]
    rows += [_row(point, {}, reason) for point, reason in missing.items()]
    table = pd.DataFrame(rows).sort_values(["learning_rate", "batch_size"], ignore_index=True)
    best = int(np.nanargmin(table["valid_loss"].to_numpy(float)))
    table["best_epoch"] = table["best_epoch"].astype("Int64")
    table["is_best"] = np.arange(len(table)) == best
    return table[[column.name for column in GRID_SEARCH.columns]]


def grid_key(learning_rate: float, batch_size: int) -> str:
    """Name a point of the grid.

    >>> grid_key(1e-3, 32)
    'lr=0.001_batch=32'
    """
    return f"lr={learning_rate!r}_batch={batch_size}"


def grid_points(learning_rates: Iterable[float], batch_sizes: Iterable[int]) -> dict[str, Point]:
    """Name all points of a grid, learning rate by learning rate."""
    sizes = sorted(set(batch_sizes))
    points = [(rate, size) for rate in sorted(set(learning_rates)) for size in sizes]
    return {grid_key(*point): point for point in points}


def _row(point: Point, run: Mapping[str, Any], reason: str | None) -> dict[str, Any]:
    """Take what the table needs out of run.json; an undefined AUROC is None there."""
    numbers = {name: run.get(name) for name in ("best_epoch", "valid_loss", "valid_macro_auroc")}
    rate, size = point
    return {
        "learning_rate": rate,
        "batch_size": size,
        **numbers,
        "checkpoint": run.get("checkpoint_id"),
        "undefined": reason,
    }
