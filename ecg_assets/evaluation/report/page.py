"""The report of one evaluation: a page in one file, without scripts or outside requests."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from ecg_assets.errors import ReportError
from ecg_assets.evaluation.report.document import FACTS
from ecg_assets.evaluation.report.numbers import (
    NumberMarker,
    TextMarker,
    find_wrong_numbers,
    pointer_part,
    resolve_pointer,
)
from ecg_assets.evaluation.report.tripod_ai import tabulate_checklist
from ecg_assets.labels import LabelVocabulary
from ecg_assets.metrics.metrics import MACRO, METRICS, Place, at_threshold, shown_in
from ecg_assets.metrics.regression import NUMBER_METRICS
from ecg_assets.storage import replace_folder
from ecg_assets.tables import write_csv

# What templates of the report are given: rows of long tables side by side, with pointers.


def build_view(document: Mapping[str, Any]) -> dict[str, Any]:
    """Arrange a report's document for its templates.

    A group of a long table is a row with ``at`` (pointer of its first entry) and ``metrics``
    (metric to the pointer of its entry).
    """
    metrics, called = list(document["glossary"]), at_threshold()
    view = {
        **document,
        "model_card": {**dict.fromkeys(FACTS), **document["model_card"]},
        "metrics": metrics,
        "ranked": [name for name in metrics if name not in called],
        "called": [name for name in called if name in metrics],
        "of_groups": [name for name in shown_in(Place.GROUPS) if name in metrics],
        "numbers": dict.fromkeys(metrics, "ratio") | {m.name: m.number for m in METRICS.values()},
        "undefined_by_reason": _by_reason(document["evaluation"]),
        "maximum_labels": _maximum_labels(document["evaluation"]),
        "slice_columns": (),
        "calibration_columns": [name for name in shown_in(Place.CALIBRATION) if name in metrics],
    }
    if document["slices"] is not None:
        view["slice_rows"] = _side_by_side(document["slices"], "/slices", ("slice", "group"))
        view["slice_columns"] = _columns(view["slice_rows"], shown_in(Place.GROUPS))
    if document["lead_degradation"] is not None:
        rows = _side_by_side(document["lead_degradation"], "/lead_degradation", ("leads", "label"))
        view["lead_rows"] = [row for row in rows if row["label"] == MACRO]
    if document["difference"] is not None:
        table = document["difference"]["table"]
        view["difference_rows"] = _side_by_side(table, "/difference/table", ("label",))
        wanted = [*METRICS, *NUMBER_METRICS]
        view["difference_columns"] = _columns(view["difference_rows"], wanted)
    return view


def _side_by_side(
    rows: Sequence[Mapping[str, Any]], path: str, keys: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Put the metrics of a group beside each other, groups in the order of the table."""
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for place, row in enumerate(rows):
        at = f"{path}/{place}"
        group = groups.setdefault(tuple(row[key] for key in keys), {**row, "at": at, "metrics": {}})
        group["metrics"][row["metric"]] = at
        group["is_uncertain"] = bool(group.get("is_uncertain")) and bool(row.get("is_uncertain"))
    return list(groups.values())


def _columns(rows: Sequence[Mapping[str, Any]], wanted: Iterable[str]) -> list[str]:
    found = {metric for row in rows for metric in row["metrics"]}
    return [metric for metric in wanted if metric in found]


def _by_reason(evaluation: Mapping[str, Any]) -> dict[str, list[str]]:
    """Group labels, by the pointers of their names, by why they are undefined."""
    labels: dict[str, list[str]] = {}
    for place, row in enumerate(evaluation["labels"]):
        if row["label"] in evaluation["undefined"]:
            reason = evaluation["undefined"][row["label"]]
            labels.setdefault(reason, []).append(f"/evaluation/labels/{place}/label")
    return labels


def _maximum_labels(evaluation: Mapping[str, Any]) -> list[str]:
    """List the labels, by the pointers of their names, that are the maximum over segments."""
    aggregation = LabelVocabulary.from_json(evaluation["label_vocabulary"]).aggregation
    return [
        f"/evaluation/label_vocabulary/names/{place}"
        for place, rule in enumerate(aggregation)
        if rule == "max"
    ]


_PACKAGE = "ecg_assets.evaluation.report"
REPORT, METRICS_JSON, METRICS_TABLE = "report.html", "metrics.json", "metrics.parquet"
CURVES_TABLE = "curves.parquet"
CHECKLIST, CHECKLIST_TABLE = "tripod_ai.html", "tripod_ai.csv"


def write_report(
    document: Mapping[str, Any],
    folder: Path,
    *,
    pictures: Mapping[str, bytes],
    tables: Mapping[str, pd.DataFrame],
    template: str = REPORT,
) -> Path:
    """Write the page, its checklist, numbers and pictures; the folder is replaced as a whole.

    Parameters
    ----------
    document
        As `build_document` gives it; becomes ``metrics.json``.
    folder
        Where to write.
    pictures
        Title to PNG bytes; each is on the page and a file of its own.
    tables
        File name to table, written as Parquet.
    template
        Of the page.

    Returns
    -------
    Path
        Of report.html.

    Raises
    ------
    ReportError
        When the page would show a number that is not in the document; nothing is written.
    """
    text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    html = render_report(json.loads(text), pictures, template=template)
    checklist = render_report(json.loads(text), {}, template=CHECKLIST)
    with replace_folder(folder) as temporary:
        (temporary / REPORT).write_text(html, encoding="utf-8")
        (temporary / CHECKLIST).write_text(checklist, encoding="utf-8")
        write_csv(tabulate_checklist(document), temporary / CHECKLIST_TABLE)
        (temporary / METRICS_JSON).write_text(text, encoding="utf-8")
        for title, png in pictures.items():
            (temporary / _picture_name(title)).write_bytes(png)
        for name, table in tables.items():
            table.to_parquet(temporary / name, index=False, compression="zstd")
    return folder / REPORT


def _in_words(name: str) -> str:
    """Write a field's name for a reader, its unit in brackets.

    >>> _in_words("sample_rate_hz"), _in_words("segment_s")
    ('sample rate (Hz)', 'segment (s)')
    """
    return re.sub(r" (s|hz)$", r" (\1)", name.replace("_", " ")).replace("(hz)", "(Hz)")


def _picture_name(title: str) -> str:
    """Make a file name of a title, whatever signs a label in it has."""
    return "_".join(re.findall(r"[^\W_]+", title.lower())) + ".png"


def render_report(
    document: Mapping[str, Any], pictures: Mapping[str, bytes], *, template: str = REPORT
) -> str:
    """Render the page and hold every number on it against the document.

    Raises
    ------
    ReportError
        When a number differs, or is not marked with its place in the document.
    """
    return render_checked(
        document,
        build_view(document),
        pictures,
        template=template,
        what=f"The report of {document['evaluation']['checkpoint']}",
        file=METRICS_JSON,
    )


def render_checked(
    document: Mapping[str, Any],
    view: Mapping[str, Any],
    pictures: Mapping[str, bytes],
    *,
    template: str,
    what: str,
    file: str,
    package: str = _PACKAGE,
) -> str:
    """Render a page and hold every number on it against its document.

    Parameters
    ----------
    document
        JSON values; templates write its numbers by ``n(path)`` and its texts by ``text(path)``.
    view
        What else the template is given.
    pictures
        Title to PNG bytes.
    template
        Its name in the folder ``templates`` of `package`, or else of the report.
    what, file
        The page and the file of its document, for the error.

    Raises
    ------
    ReportError
        When a number differs, or is not marked with its place in the document.
    """
    folders = dict.fromkeys((package, _PACKAGE))
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(one, "templates") for one in folders]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["n"] = NumberMarker(document)
    environment.globals["text"] = TextMarker(document)
    environment.globals["look"] = lambda path: resolve_pointer(document, path)
    environment.tests["match_start"] = str.startswith
    environment.filters["part"] = pointer_part
    environment.filters["words"] = _in_words
    html = environment.get_template(template).render(
        **view,
        pictures={title: base64.b64encode(png).decode() for title, png in pictures.items()},
    )
    if faults := find_wrong_numbers(html, document):
        listed = "\n".join(f"  {fault}" for fault in faults[:10])
        raise ReportError(
            f"{what} would show {len(faults)} numbers that its {file} does not hold:\n{listed}\n"
            "Write each through n(path) in the templates, and put it into the document."
        )
    return html
