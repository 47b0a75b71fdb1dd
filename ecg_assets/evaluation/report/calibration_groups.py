"""Whether scores mean the same in women and men, in the young and the old: table and picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ecg_assets.evaluation.result import NO_RECORD
from ecg_assets.evaluation.shift.slices import FEW
from ecg_assets.figures import ACCENT, DASHED, INK, draw_interval, make_figure, to_png
from ecg_assets.metrics.metrics import MACRO, METRICS, Place, shown_in

GROUPED_BY = ("all", "sex", "age")
"""Slices whose groups are shown."""

TOO_FEW = f"fewer than {FEW} recordings with the label, or without it"
_COLUMNS = 4


def calibrate_groups(slices: pd.DataFrame) -> pd.DataFrame:
    """Put the calibration of each label in each group of sex and age into a row, label by label.

    Parameters
    ----------
    slices
        As `ecg_assets.evaluation.shift.slices.SLICE_METRICS` declares.

    Returns
    -------
    DataFrame
        Columns label, slice, group, n, n_patients, n_pos, each metric of `Place.CALIBRATION` with
        ``_low`` and ``_high``, and ``undefined``: why metrics have no number here, else None. Of
        fewer than `FEW` positives or negatives there is none. Without rows where the table is of
        a version that had no calibration.
    """
    metrics = shown_in(Place.CALIBRATION)
    chosen = slices[
        slices["slice"].isin(GROUPED_BY)
        & slices["metric"].isin(metrics)
        & (slices["label"] != MACRO)
    ]
    keys = ["label", "slice", "group"]
    groups = chosen.groupby(keys, sort=False)
    table = groups[["n", "n_patients", "n_pos"]].first()
    ends = {"": "value", "_low": "low", "_high": "high"}
    wide = {end: chosen.pivot(index=keys, columns="metric", values=ends[end]) for end in ends}
    for metric in metrics:
        for end, values in wide.items():
            table[f"{metric}{end}"] = values.get(metric, np.nan)
    is_few = np.minimum(table["n_pos"], table["n"] - table["n_pos"]) < FEW
    table.loc[is_few, [f"{metric}{end}" for metric in metrics for end in ends]] = np.nan
    rows: list[dict[Any, Any]] = table.to_dict("records")
    reasons = [_explain(row, metrics) for row in rows]
    table = table.assign(undefined=pd.Series(reasons, table.index, object)).reset_index()
    place_of = {label: place for place, label in enumerate(table["label"].unique())}
    return table.sort_values(
        "label", key=lambda labels: labels.map(place_of), kind="stable", ignore_index=True
    )


def _explain(row: Mapping[Any, Any], metrics: list[str]) -> str | None:
    if row["n"] == 0:
        return NO_RECORD
    if min(row["n_pos"], row["n"] - row["n_pos"]) < FEW:
        return TOO_FEW
    lacking = [METRICS[name] for name in metrics if np.isnan(row[name])]
    return "; ".join(f"{one.title}: {one.otherwise}" for one in lacking) or None


def draw_calibration_groups(table: pd.DataFrame) -> bytes | None:
    """Draw calibration in the large by group, a small picture a label; None where all is undefined.

    Parameters
    ----------
    table
        As `calibrate_groups` gives it.
    """
    column = "calibration_in_the_large"
    groups = table[["slice", "group"]].drop_duplicates()
    names = list(groups.itertuples(index=False, name=None))
    labels = table.loc[table[column].notna(), "label"].unique()
    if not len(labels):
        return None
    n_columns = min(_COLUMNS, len(labels))
    n_rows = -(-len(labels) // n_columns)
    size = (2.6 * n_columns + 1.2, (0.21 * len(names) + 0.5) * n_rows + 0.5)
    figure, grid = make_figure(
        *size, n_rows, n_columns, is_list=True, lines="x", sharex=True, sharey=True
    )
    for axes in grid.flat[len(labels) :]:
        axes.set_visible(False)
    place_of = {name: -place for place, name in enumerate(names)}
    ends = [column, f"{column}_low", f"{column}_high"]
    for axes, label in zip(grid.flat, labels, strict=False):
        rows = table[(table["label"] == label) & table[column].notna()]
        axes.axvline(0, **DASHED)
        for row in rows.to_dict("records"):
            color = INK if row["slice"] == "all" else ACCENT
            place = place_of[row["slice"], row["group"]]
            draw_interval(axes, place, [row[end] for end in ends], color, size=4)
        axes.set_title(str(label), fontsize=8, color=INK)
        axes.tick_params(labelsize=7)
    grid[0, 0].set_yticks(list(place_of.values()), [group for _, group in names])
    grid[0, 0].locator_params(axis="x", nbins=4)  # shared; more would run into each other
    grid[0, 0].set_ylim(0.7 - len(names), 0.7)
    figure.supxlabel("share of positives − mean score, 95 % interval", fontsize=9)
    return to_png(figure)
