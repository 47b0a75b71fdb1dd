"""The table that ends ``make demo``."""

from __future__ import annotations

import json

from ecg_assets.defs.resources import Settings
from ecg_assets.evaluation import EvaluationResult
from ecg_assets.evaluation.report import format_number


def summary_text(settings: Settings) -> str:
    """Labels with AUROC and interval of each evaluated checkpoint, and where its report lies."""
    parts = []
    for path in sorted(settings.folder("eval_metrics").glob("*.json")):
        result = EvaluationResult.from_json(json.loads(path.read_text()))
        report = settings.folder("eval_report") / result.checkpoint / "report.html"
        parts.append(f"{_table(result)}\n\nReport: {report}\nIn the UI: make ui")
    return "\n\n".join(parts)


def _table(result: EvaluationResult) -> str:
    rows = [
        (row["label"], row["n_pos"], row["auroc"], row["auroc_low"], row["auroc_high"])
        for row in result.labels.to_dict("records")
    ]
    macro = result.macro
    rows.append(("macro mean", "", macro["auroc"], macro["auroc_low"], macro["auroc_high"]))
    lines = [
        f"{label:<45}{n_pos!s:>7}{format_number(auroc):>9}   "
        f"[{format_number(low)}, {format_number(high)}]"
        for label, n_pos, auroc, low, high in rows
    ]
    head = f"{'label':<45}{'n pos':>7}{'AUROC':>9}   95 % interval"
    title = (
        f"\n{result.checkpoint} on {result.evaluation_set}: "
        f"{result.n_records} recordings of {result.n_patients} patients"
    )
    return "\n".join([title, "", head, "-" * len(head), *lines])
