"""A protocol's table as people read it: a page, CSV files, a LaTeX table, pictures."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecg_assets.evaluation.matrix.stored import MissingCell
from ecg_assets.evaluation.report.numbers import (
    UNDEFINED,
    format_number,
)
from ecg_assets.evaluation.report.page import render_checked
from ecg_assets.figures import (
    ACCENT,
    CONTRAST,
    DASHED,
    INK,
    MUTED,
    draw_interval,
    make_figure,
    to_png,
)
from ecg_assets.metrics.mean_ranks import draw_critical_difference
from ecg_assets.protocols.cells import StoredCell
from ecg_assets.protocols.protocol import Protocol, Rules
from ecg_assets.protocols.table import (
    MISSING,
    OTHER_DATA,
    OUTSIDE,
    Cells,
    ComparedModels,
    RankedModels,
    tabulate_comparisons,
)
from ecg_assets.storage import replace_file, to_json_value
from ecg_assets.tables import write_csv

PAGE, TABLE, COMPARISONS, LATEX, DOCUMENT = (
    "protocol.html",
    "protocol_table.csv",
    "protocol_comparisons.csv",
    "protocol_table.tex",
    "protocol.json",
)


@dataclass(frozen=True)
class ProtocolFiles:
    """What `write_page` wrote."""

    page: Path
    table: Path
    latex: Path


def write_page(
    folder: Path,
    protocol: Protocol,
    cells: Cells,
    table: pd.DataFrame,
    compared: Sequence[ComparedModels],
) -> ProtocolFiles:
    """Write the page, both tables as CSV, the LaTeX table, and every number of the page as JSON.

    Parameters
    ----------
    folder
        Of the protocol's results; other files in it are left alone.
    table
        `PROTOCOL_TABLE`.
    compared
        Models two by two.

    Raises
    ------
    ReportError
        When the page would show a number that is not in the document; nothing is written.
    """
    pictures = {"Our numbers and the published ones": draw_protocol(table)}
    for one in compared:
        if one.ranked is not None:
            pictures[f"Mean ranks, {one.mode}"] = draw_critical_difference(
                one.ranked.ranks.mean_ranks,
                one.ranked.ranks.critical_difference,
                one.ranked.models,
            )
    document = build_document(protocol, cells, table, compared)
    text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    html = render(json.loads(text), pictures)
    comparisons = tabulate_comparisons(compared)
    files = {PAGE: html, DOCUMENT: text, LATEX: to_latex(protocol, table)}
    for name, content in files.items():
        with replace_file(folder / name) as temporary:
            temporary.write_text(content, encoding="utf-8")
    for name, frame in ((TABLE, table), (COMPARISONS, comparisons)):
        with replace_file(folder / name) as temporary:
            write_csv(frame, temporary)
    return ProtocolFiles(folder / PAGE, folder / TABLE, folder / LATEX)


def build_document(
    protocol: Protocol,
    cells: Cells,
    table: pd.DataFrame,
    compared: Sequence[ComparedModels],
) -> dict[str, Any]:
    """Collect every number and text of the page as JSON values."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    comparisons = tabulate_comparisons(compared)
    n_missing = sum(isinstance(found, MissingCell) for found in cells.values())
    document = {
        "protocol": {
            "name": protocol.name,
            "title": protocol.title,
            "reference": protocol.reference,
            "numbers": protocol.numbers,
            "about": protocol.about,
            "n_resamples": protocol.n_resamples,
            "n_permutations": protocol.n_permutations,
            "seeds": list(protocol.seeds),
            "interval": {
                "unit": str(protocol.as_published.interval.unit),
                "n_resamples": protocol.as_published.interval.n_resamples,
                "percent": protocol.as_published.interval.percent,
                "undefined": str(protocol.as_published.interval.undefined),
            },
            "signal": json.dumps(protocol.as_published.signal) or "",
            "modes": {
                name: {
                    "method": mode.method,
                    "train_fraction": mode.train_fraction,
                    "changes": json.dumps(mode.changes),
                }
                for name, mode in protocol.modes.items()
            },
        },
        "tasks": [
            {
                "name": name,
                "title": task.title,
                "source": task.source,
                "test_source": task.test_source,
                "version": task.version,
                "label_set": task.label_set_by(Rules.CORRECTED),
                "published_label_set": task.label_set_by(Rules.AS_PUBLISHED),
                "published_test_records": task.published_test_records,
                "metric": task.metric.replace("_", " "),
                "note": task.note,
            }
            for name, task in protocol.tasks.items()
        ],
        "rows": rows,
        "comparisons": comparisons.astype(object)
        .where(comparisons.notna(), None)
        .to_dict("records"),
        "ranks": [
            _describe_ranks(one.mode, one.ranked) for one in compared if one.ranked is not None
        ],
        "n_cells": len(cells),
        "n_missing": n_missing,
        "made_of": _made_of(cells),
    }
    found: dict[str, Any] = to_json_value(document)
    return found


def _describe_ranks(mode: str, ranked: RankedModels) -> dict[str, Any]:
    ranks = ranked.ranks
    return {
        "mode": mode,
        "n_tasks": len(ranked.tasks),
        "tasks": ", ".join(ranked.tasks),
        "seen": ", ".join(ranked.seen),
        "has_seen": bool(set(ranked.seen) & set(ranked.tasks)),
        "critical_difference": ranks.critical_difference,
        "alpha": ranks.alpha,
        "friedman_p": ranks.friedman_p,
        "models": [
            {"model": model, "rank": rank, "low": low, "high": high}
            for model, rank, low, high in sorted(
                zip(
                    ranked.models,
                    ranks.mean_ranks,
                    ranks.mean_low,
                    ranks.mean_high,
                    strict=True,
                ),
                key=lambda one: float(one[1]),
            )
        ],
    }


def _made_of(cells: Cells) -> list[dict[str, Any]]:
    """Say of each stored cell what its scores were made from."""
    return [
        {
            "cell": f"{cell.task}, {cell.model}, {cell.mode}, seed {cell.seed}, {rules}",
            "method": found.facts.method,
            "weights": found.facts.weights,
            "weights_sha256": found.facts.weights_sha256,
            "seen_before": found.facts.seen_before,
            "signals": found.facts.data.get("signals", ""),
            "records": found.facts.data.get("records", {}),
            "identity": found.facts.identity,
        }
        for (cell, rules), found in cells.items()
        if isinstance(found, StoredCell)
    ]


def render(document: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """Render the page and hold every number on it against the document.

    Raises
    ------
    ReportError
        When a number differs, or is not marked with its place in the document.
    """
    view = {
        **document,
        "sections": _sections(document),
        "outside": OUTSIDE,
        "other_data": OTHER_DATA,
        "missing": MISSING,
    }
    return render_checked(
        document,
        view,
        pictures,
        template="protocol.html",
        what=f"The page of {document['protocol']['name']}",
        file=DOCUMENT,
        package="ecg_assets.protocols",
    )


def _sections(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Arrange rows by task: of each model and mode the row by either rules, as pointers."""
    sections = []
    for place, task in enumerate(document["tasks"]):
        lines: dict[tuple[str, str, str], dict[str, Any]] = {}
        for at, row in enumerate(document["rows"]):
            if row["task"] != task["name"]:
                continue
            line = lines.setdefault((row["model"], row["mode"], row["seed"]), {"row": row})
            line["published" if row["rules"] == Rules.AS_PUBLISHED else "corrected"] = f"/rows/{at}"
        pairs = [
            f"/comparisons/{at}"
            for at, pair in enumerate(document["comparisons"])
            if pair["task"] == task["name"]
        ]
        sections.append({"at": f"/tasks/{place}", "lines": list(lines.values()), "pairs": pairs})
    return sections


# Pictures.

_WIDTH, _ROW, _FRAME = 8.4, 0.3, 1.0  # inches
_LOOKS = {Rules.CORRECTED: ("o", ACCENT, -0.16), Rules.AS_PUBLISHED: ("s", INK, 0.16)}


def draw_protocol(table: pd.DataFrame) -> bytes:
    """Draw our number by either rules with its interval, and the paper's, a panel a task.

    Parameters
    ----------
    table
        `PROTOCOL_TABLE`; of several seeds their mean is drawn.

    Returns
    -------
    bytes
        A PNG, the same bytes for the same numbers.
    """
    from matplotlib.lines import Line2D

    shown = table[~table.duplicated(["task", "model", "mode", "rules"])]
    tasks = list(dict.fromkeys(shown["task"]))
    counts = [shown.loc[shown["task"] == t, ["model", "mode"]].drop_duplicates() for t in tasks]
    ratios = [max(len(count), 1) for count in counts]
    height = sum(ratios) * _ROW + len(tasks) * _FRAME + 0.4
    figure, grid = make_figure(
        _WIDTH, height, len(tasks), 1, lines="x", is_list=True, height_ratios=ratios, sharex=True
    )
    ends = shown[["value", "low", "published"]].to_numpy(np.float64)
    lowest = np.nanmin([0.5, *ends[np.isfinite(ends)]])
    for axes, task in zip(grid[:, 0], tasks, strict=True):
        _draw_task(axes, shown[shown["task"] == task])
        axes.set_title(task, loc="left", fontsize=9.5, color=INK)
        axes.axvline(0.5, **DASHED)
        axes.set_xlim(max(0.0, lowest - 0.03), 1.01)
    grid[-1, 0].set_xlabel("mean over labels on the test split, with interval", fontsize=9)
    handles = [
        Line2D([], [], marker=marker, color=color, ms=4.5, lw=1.5, label=str(rules))
        for rules, (marker, color, _) in _LOOKS.items()
    ]
    handles.append(
        Line2D([], [], marker="x", color=CONTRAST, ms=5, lw=0, label="the paper's number")
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8.5)
    return to_png(figure)


def _draw_task(axes: Any, rows: pd.DataFrame) -> None:
    names = list(dict.fromkeys(zip(rows["model"], rows["mode"], strict=True)))
    for row in rows.to_dict("records"):
        height = names.index((row["model"], row["mode"]))
        marker, color, offset = _LOOKS[Rules(row["rules"])]
        if math.isfinite(row["value"]):
            found = (row["value"], row["low"], row["high"])
            draw_interval(axes, height + offset, found, color, marker=marker, size=4)
        elif row["rules"] == Rules.CORRECTED:
            axes.text(0.51, height, row["verdict"], color=MUTED, va="center", fontsize=7.5)
        if row["rules"] == Rules.AS_PUBLISHED and math.isfinite(row["published"]):
            axes.plot(row["published"], height, "x", color=CONTRAST, markersize=5)
    labels = [f"{model}, {mode}" for model, mode in names]
    axes.set_yticks(range(len(names)), labels, fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.5)


# A table for a paper.

_LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "\\": "\\textbackslash{}",
    "−": "$-$",
    "–": "--",
    "≥": "$\\geq$",
    "µ": "\\textmu{}",
}


def escape_latex(text: str) -> str:
    r"""Write a text so that LaTeX prints it.

    >>> escape_latex("1dAVb & 5_%")
    '1dAVb \\& 5\\_\\%'
    """
    return re.sub("|".join(map(re.escape, _LATEX)), lambda found: _LATEX[found[0]], text)


def to_latex(protocol: Protocol, table: pd.DataFrame) -> str:
    """Write the table for a paper: a ``table`` of booktabs' rules for each task.

    Of several seeds their mean is written, with its deviation.
    """
    shown = table[~table.duplicated(["task", "model", "mode", "rules"])]
    parts = [
        "% \\usepackage{booktabs}",
        f"% {protocol.name}: {' '.join(protocol.reference.split())}",
    ]
    interval = protocol.as_published.interval
    for name, task in protocol.tasks.items():
        rows = shown[shown["task"] == name]
        corrected = rows[rows["rules"] == str(Rules.CORRECTED)]
        n, n_patients = (int(corrected[column].max()) for column in ("n", "n_patients"))
        caption = (
            f"{task.title}: {task.metric.replace('_', ' ')} on the test split ({n} recordings of "
            f"{n_patients} patients); corrected with 95 % intervals over patients, as published "
            f"with {interval.percent:g} % intervals over {interval.unit}s."
        )
        parts += [
            "\\begin{table}",
            "\\centering",
            f"\\caption{{{escape_latex(caption)}}}",
            "\\begin{tabular}{llrrr}",
            "\\toprule",
            "Model & Mode & Published & As published & Corrected \\\\",
            "\\midrule",
        ]
        for (model, mode), pair in rows.groupby(["model", "mode"], sort=False):
            by_rules = {row["rules"]: row for row in pair.to_dict("records")}
            first = by_rules[str(Rules.AS_PUBLISHED)]
            values = [
                str(model),
                str(mode),
                format_number(first["published"]),
                _in_latex(first),
                _in_latex(by_rules[str(Rules.CORRECTED)]),
            ]
            parts.append(" & ".join(escape_latex(value) for value in values) + " \\\\")
        parts += ["\\bottomrule", "\\end{tabular}", "\\end{table}", ""]
    return "\n".join(parts)


def _in_latex(row: Mapping[Any, Any]) -> str:
    if not math.isfinite(row["value"]):
        return UNDEFINED
    text = format_number(row["value"])
    if math.isfinite(row["sd"]):
        text += f" (SD {format_number(row['sd'])})"
    if math.isfinite(row["low"]):
        text += f" [{format_number(row['low'])}, {format_number(row['high'])}]"
    return text
