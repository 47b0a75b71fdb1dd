"""Several trainings that belong together: folds, points of a grid, seeds and training shares.

Each is a fine-tuning request of its own, below ``<root>/<experiment>``: apart from the ordinary
checkpoints, resumed and reused as they are. Folds and points of a grid, which something is chosen
by, are never measured on the test split.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from ecg_assets.build import Manifest
from ecg_assets.build.folds import fold_manifest, require_common_labels
from ecg_assets.build.manifest import fingerprint_manifest, write_manifest
from ecg_assets.errors import SettingsError
from ecg_assets.figures import CONTRAST, INK, LINE, make_figure, to_png
from ecg_assets.lineage import fingerprint_json
from ecg_assets.tables import Column, TableSchema
from ecg_assets.training.engine.request import FOLD_INPUT
from ecg_assets.training.finetune.request import FinetuneRequest

_MANIFEST = "manifest"


def fold_request(
    request: FinetuneRequest,
    manifest: Manifest,
    fold: int,
    *,
    n_folds: int,
    root: Path,
    rare_labels: Literal["refuse", "keep"] = "refuse",
) -> FinetuneRequest:
    """Write a fold's manifest and build the request that trains on it.

    Parameters
    ----------
    request
        What would be trained on the manifest's own split; its seed also chooses the folds.
    manifest
        The manifest of `request`.
    fold
        From 1 to `n_folds`.
    root
        Folder of all cross-validations; the fold's is ``<root>/<experiment>/<fold>``.
    rare_labels
        What becomes of labels with fewer positive patients than folds.

    Raises
    ------
    SettingsError
        When there is no such fold, there are too few patients, or a label is too rare.
    """
    exclusive = request.recipe.is_exclusive
    require_labels_to_measure(manifest)
    if rare_labels == "refuse":
        require_common_labels(manifest, n_folds=n_folds, exclusive=exclusive)
    part = fold_manifest(manifest, fold, n_folds=n_folds, seed=request.seed, exclusive=exclusive)
    request = request.changed(recipe=request.recipe.changed(reports_test=False))
    folder = root / experiment_id(request, {"n_folds": n_folds}) / str(fold)
    write_manifest(part, folder / _MANIFEST)
    return request.changed(
        manifest_folder=folder / _MANIFEST,
        output_folder=folder,
        inputs={**request.inputs, FOLD_INPUT: fingerprint_manifest(part)},
    )


def require_labels_to_measure(manifest: Manifest) -> None:
    """Refuse numbers, whose experiments' tables would be of AUROC."""
    if manifest.vocabulary.is_continuous:
        raise SettingsError(
            "Folds, repeated trainings and probe_grid measure labels, and the label set is of "
            f"numbers: {', '.join(manifest.vocabulary.names)}. Train one checkpoint "
            "(finetuned_checkpoint) instead."
        )


def grid_request(
    request: FinetuneRequest, *, learning_rate: float, batch_size: int, root: Path
) -> FinetuneRequest:
    """Build the request of one point of a grid.

    Parameters
    ----------
    request
        What would be trained otherwise; learning rate and batch size give way.
    root
        Folder of all grids; the checkpoints stand below ``<root>/<experiment>``.
    """
    recipe = request.recipe.changed(
        learning_rate=learning_rate, batch_size=batch_size, reports_test=False
    )
    request = request.changed(recipe=recipe)
    varied = ("learning_rate", "batch_size")
    return request.changed(output_folder=root / experiment_id(request, {}, varied=varied))


def repeated_request(
    request: FinetuneRequest, *, fraction: float, seed: int, root: Path
) -> FinetuneRequest:
    """Build the request of one seed on one share of the training patients.

    Parameters
    ----------
    request
        What would be trained otherwise; its seed and share give way.
    root
        Folder of all repeated trainings; the checkpoints stand below ``<root>/<experiment>``.
    """
    recipe = request.recipe.changed(train_fraction=1.0, reports_test=False)
    shared = request.changed(recipe=recipe, seed=0)
    return request.changed(
        recipe=recipe.changed(train_fraction=fraction),
        seed=seed,
        output_folder=root / experiment_id(shared, {"varied": ["seed", "train_fraction"]}),
    )


def experiment_id(
    request: FinetuneRequest, design: Mapping[str, Any], *, varied: tuple[str, ...] = ()
) -> str:
    """Name an experiment by its preset and all that its trainings share.

    Parameters
    ----------
    design
        What tells it from others, as JSON values, e.g. the number of folds.
    varied
        Fields of the recipe that its trainings differ in.
    """
    identity = request.identity
    recipe = {k: v for k, v in identity["recipe"].items() if k not in varied}
    shared = {**identity, "recipe": recipe, "design": dict(design)}
    return f"{request.preset}-{fingerprint_json(shared)[:12]}"


# Validation results of a grid over learning rate and batch size, and the best of them.


Point = tuple[float, int]
"""Learning rate and batch size."""

VALIDATED = (
    Column("best_epoch", pa.int64(), "epoch of the lowest validation loss", nullable=True),
    Column("valid_loss", pa.float64(), "validation loss of that epoch", nullable=True),
    Column(
        "valid_macro_auroc",
        pa.float64(),
        "validation macro AUROC of that epoch; empty where undefined",
        nullable=True,
    ),
)
"""What a grid's table says of a training."""

GRID_SEARCH = TableSchema(
    "grid_search",
    (
        Column("learning_rate", pa.float64(), "peak learning rate"),
        Column("batch_size", pa.int64(), "segments in one forward pass"),
        *VALIDATED,
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


def draw_grid(table: pd.DataFrame) -> bytes:
    """Draw the validation loss as a heat map, with the macro AUROC; the best is framed.

    Parameters
    ----------
    table
        As `GRID_SEARCH` declares.
    """
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    keys = {"index": "learning_rate", "columns": "batch_size"}
    loss = table.astype({"valid_loss": float}).pivot(values="valid_loss", **keys)
    height, width = loss.shape
    figure, [[axes]] = make_figure(1.6 + 1.5 * width, 1.4 + 0.8 * height, has_frame=True)
    low, high = np.nanmin(loss), np.nanmax(loss)
    # The lighter half of the colours: the numbers stand on them.
    highest = high + max(high - low, 1e-9)
    colors = colormaps["Blues"].with_extremes(bad=LINE)
    masked = np.ma.masked_invalid(loss.to_numpy())
    axes.imshow(masked, cmap=colors, aspect="auto", vmin=low, vmax=highest)
    sizes, rates = list(loss.columns), list(loss.index)
    for row in table.to_dict("records"):
        x, y = sizes.index(row["batch_size"]), rates.index(row["learning_rate"])
        axes.text(x, y, _cell(row), ha="center", va="center", color=INK, fontsize=9)
        if row["is_best"]:
            frame = Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, fill=False, edgecolor=CONTRAST)
            frame.set_linewidth(2.5)
            axes.add_patch(frame)
    axes.set_xticks(range(width), [str(size) for size in sizes])
    axes.set_yticks(range(height), [f"{rate:g}" for rate in rates])
    axes.set_xlabel("batch size")
    axes.set_ylabel("learning rate")
    title = "validation loss and macro AUROC\nframed: lowest loss; darker: higher"
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    return to_png(figure)


def _cell(row: dict[Any, Any]) -> str:
    """Two lines: loss and AUROC; or that it was not trained."""
    if pd.isna(row["valid_loss"]):
        return "not trained"
    auroc = row["valid_macro_auroc"]
    shown = "undefined" if pd.isna(auroc) else f"{auroc:.3f}"
    return f"loss {row['valid_loss']:.4g}\nAUROC {shown}"
