"""What the UI shows of the evaluation matrix and of one cell of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import dagster as dg
import pandas as pd

from ecg_assets.defs.evaluation_view import metrics_metadata
from ecg_assets.defs.pictures import png_metadata
from ecg_assets.defs.tables import table_metadata
from ecg_assets.evaluation.matrix.design import Cell
from ecg_assets.evaluation.matrix.matrix_figure import draw_matrix
from ecg_assets.evaluation.matrix.matrix_table import BEST, MACRO
from ecg_assets.evaluation.matrix.stored_cell import MissingCell, StoredCell


def cell_metadata(stored: StoredCell) -> dict[str, Any]:
    """Describe one cell."""
    facts = stored.facts
    details = {
        name: table_metadata(pd.DataFrame(value)) if isinstance(value, list) else value
        for name, value in facts.details.items()
    }
    return {
        "weights": facts.weights,
        "seen_before": facts.seen_before or "random weights have seen nothing",
        "fingerprint": facts.fingerprint,
        **details,
        **metrics_metadata(stored.result),
        "labels_without_numbers": dict(stored.result.undefined),
    }


def matrix_metadata(
    table: pd.DataFrame, cells: Mapping[Cell, StoredCell | MissingCell]
) -> dict[str, Any]:
    """Describe all cells: macro AUROC with intervals as a table and as a picture."""
    return {
        "macro_auroc": dg.MetadataValue.md(matrix_markdown(table)),
        "picture": png_metadata(draw_matrix(table), "macro AUROC of each cell"),
        "missing_cells": {
            f"{cell.row} by {cell.column}": found.reason
            for cell, found in cells.items()
            if isinstance(found, MissingCell)
        },
    }


def matrix_markdown(table: pd.DataFrame) -> str:
    """Write the macro AUROC of each cell, a row a model and method, the best in bold."""
    shown = table[(table["label"] == MACRO) & (table["metric"] == "auroc")]
    columns = list(dict.fromkeys(zip(shown["source"], shown["label_set"], strict=True)))
    lines = [
        "| model | method | " + " | ".join(f"{s}, {t}" for s, t in columns) + " |",
        "| --- | --- |" + " --- |" * len(columns),
    ]
    for (model, method), rows in shown.groupby(["model", "method"], sort=False):
        text = {(row["source"], row["label_set"]): _cell_text(row) for _, row in rows.iterrows()}
        name = f"{model} ({rows['weights'].iloc[0]})"
        lines.append(f"| {name} | {method} | " + " | ".join(text[c] for c in columns) + " |")
    return "\n".join(lines)


def _cell_text(row: pd.Series[Any]) -> str:
    if not math.isfinite(row["value"]):
        return "missing" if row["verdict"] == "missing" else "undefined"
    text = f"{row['value']:.3f}"
    if math.isfinite(row["low"]):
        text += f" [{row['low']:.3f}, {row['high']:.3f}]"
    return f"**{text}**" if row["verdict"] == BEST else text
