"""The tables that end ``make demo``."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from ecg_assets.defs.resources import Settings
from ecg_assets.errors import SchemaError
from ecg_assets.evaluation import LEADERBOARD, EvaluationResult
from ecg_assets.evaluation.number_format import format_number
from ecg_assets.models.checkpoint_files import RUN


def summary_text(settings: Settings) -> str:
    """Labels with AUROC and interval of each evaluated checkpoint, and the leaderboard.

    The leaderboard has the paired difference of each checkpoint from its set's champion.
    """
    parts = []
    for path in sorted(settings.folder("eval_metrics").glob("*.json")):
        try:
            result = EvaluationResult.from_json(json.loads(path.read_text()))
        except SchemaError as error:  # of a removed checkpoint, by another version
            parts.append(str(error))
            continue
        report = settings.folder("eval_report") / result.checkpoint / "report.html"
        name = _name(settings, result.checkpoint)
        parts.append(f"{_table(result, name)}\n\nReport: {report}")
    if (path := settings.folder("leaderboard.parquet")).is_file():
        table = LEADERBOARD.require(pq.read_table(path)).to_pandas()
        named = table["checkpoint"].map(lambda checkpoint: _name(settings, checkpoint))
        parts.append(_leaderboard(table.assign(checkpoint=named)))
    return "\n\n".join([*parts, "In the UI: make ui"])


def _name(settings: Settings, checkpoint: str) -> str:
    """Name a checkpoint with how it was trained, where that is known."""
    path = settings.checkpoints / checkpoint / RUN
    request = json.loads(path.read_text()).get("request", {}) if path.is_file() else {}
    method = request.get("recipe", {}).get("method")
    return f"{checkpoint} ({method})" if method else checkpoint


def _table(result: EvaluationResult, name: str) -> str:
    rows = [
        (row["label"], row["n_pos"], row["auroc"], row["auroc_low"], row["auroc_high"])
        for row in result.labels.to_dict("records")
    ]
    macro = result.macro
    rows.append(("macro mean", "", macro["auroc"], macro["auroc_low"], macro["auroc_high"]))
    lines = [
        f"{label:<45}{n_pos!s:>7}{format_number(auroc):>9}   {_interval(low, high)}"
        for label, n_pos, auroc, low, high in rows
    ]
    head = f"{'label':<45}{'n pos':>7}{'AUROC':>9}   95 % interval"
    title = (
        f"\n{name} on {result.evaluation_set}: "
        f"{result.n_records} recordings of {result.n_patients} patients"
    )
    return "\n".join([title, "", head, "-" * len(head), *lines])


def _leaderboard(table: pd.DataFrame) -> str:
    parts = []
    for name, rows in table.groupby("evaluation_set", sort=True):
        title = (
            f"Leaderboard on {name}: macro AUROC over {rows['n_labels'].iloc[0]} labels, and its "
            "difference from the champion's, paired by patient"
        )
        head = f"{'checkpoint':<44}{'AUROC':>8}   {'95 % interval':<18}{'difference':>10}   verdict"
        lines = [_row(row) for _, row in rows.iterrows()]
        parts.append("\n".join([title, "", head, "-" * len(head), *lines]))
    return "\n\n".join(parts)


def _row(row: pd.Series[Any]) -> str:
    interval = _interval(row["macro_auroc_low"], row["macro_auroc_high"])
    text = f"{row['checkpoint']:<44}{format_number(row['macro_auroc']):>8}   {interval:<18}"
    if row["is_champion"]:
        return f"{text}{'':>10}   {row['verdict']}"
    difference = format_number(row["difference"], "signed")
    low, high = (format_number(row[f"difference_{end}"], "signed") for end in ("low", "high"))
    paired = f" [{low}, {high}]" if math.isfinite(row["difference_low"]) else ""
    return f"{text}{difference:>10}   {row['verdict']}{paired}"


def _interval(low: float, high: float) -> str:
    return f"[{format_number(low)}, {format_number(high)}]"
