"""The tables that end ``make demo``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from ecg_assets.defs.resources import Settings
from ecg_assets.errors import SchemaError
from ecg_assets.evaluation import LEADERBOARD, EvaluationResult
from ecg_assets.evaluation.class_results import DETAILS
from ecg_assets.evaluation.number_format import format_number
from ecg_assets.finetune import PRESETS
from ecg_assets.models.checkpoint_files import RUN, read_json

CLASSES = "classification_results"


def summary_text(settings: Settings) -> str:
    """Labels with AUROC and interval of each evaluated checkpoint, and the leaderboard.

    The leaderboard has the paired difference of each checkpoint from its set's champion.
    Of models of exclusive classes their accuracy follows, and where its tables lie.
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
    folders = sorted(path.parent for path in settings.folder(CLASSES).glob(f"*/{DETAILS}"))
    if folders:
        parts.append(_classes(settings, folders))
    return "\n\n".join([*parts, "In the UI: make ui"])


def _name(settings: Settings, checkpoint: str) -> str:
    """Name a checkpoint with how it was trained, where that is known."""
    path = settings.checkpoints / checkpoint / RUN
    request = json.loads(path.read_text()).get("request", {}) if path.is_file() else {}
    recipe = request.get("recipe", {})
    if "method" not in recipe:
        return checkpoint
    words = [recipe["method"]]
    if recipe["method"] == "full" and "pretrained" in request["inputs"]:
        words.append("from pretrained weights")
    preset = PRESETS.get(str(request.get("preset")))
    if preset is not None and preset.objective != recipe.get("objective", preset.objective):
        words.append(recipe["objective"])
    return f"{checkpoint} ({', '.join(words)})"


def _classes(settings: Settings, folders: Sequence[Path]) -> str:
    width = _width(folder.name for folder in folders)
    head = f"{'checkpoint':<{width}}{'accuracy':>9}{'right':>9}{'macro F1':>10}   files"
    lines = []
    for folder in folders:
        details = read_json(folder / DETAILS)
        confusion = np.array(details["confusion_matrix"])
        right = f"{np.trace(confusion)}/{confusion.sum()}"
        numbers = (details["overall_accuracy"], details["macro_averages"]["f1-score"])
        accuracy, f1 = (format_number(math.nan if x is None else x) for x in numbers)
        lines.append(f"{folder.name:<{width}}{accuracy:>9}{right:>9}{f1:>10}   {folder}")
    title = "Recordings with just one of the classes, by the class with the highest score"
    return "\n".join([title, "", head, "-" * len(head), *lines])


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
    parts, width = [], _width(table["checkpoint"])
    for name, rows in table.groupby("evaluation_set", sort=True):
        title = (
            f"Leaderboard on {name}: macro AUROC over {rows['n_labels'].iloc[0]} labels, and its "
            "difference from the champion's, paired by patient"
        )
        numbers = f"{'AUROC':>8}   {'95 % interval':<18}{'difference':>10}   verdict"
        head = f"{'checkpoint':<{width}}{numbers}"
        lines = [_row(row, width) for _, row in rows.iterrows()]
        parts.append("\n".join([title, "", head, "-" * len(head), *lines]))
    return "\n\n".join(parts)


def _row(row: pd.Series[Any], width: int) -> str:
    interval = _interval(row["macro_auroc_low"], row["macro_auroc_high"])
    text = f"{row['checkpoint']:<{width}}{format_number(row['macro_auroc']):>8}   {interval:<18}"
    if row["is_champion"]:
        return f"{text}{'':>10}   {row['verdict']}"
    difference = format_number(row["difference"], "signed")
    low, high = (format_number(row[f"difference_{end}"], "signed") for end in ("low", "high"))
    paired = f" [{low}, {high}]" if math.isfinite(row["difference_low"]) else ""
    return f"{text}{difference:>10}   {row['verdict']}{paired}"


def _interval(low: float, high: float) -> str:
    return f"[{format_number(low)}, {format_number(high)}]"


def _width(names: Iterable[str]) -> int:
    return max(44, *(len(name) + 1 for name in names))
