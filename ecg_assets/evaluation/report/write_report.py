"""The report of one evaluation: a page in one file, without scripts or outside requests."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from ecg_assets.errors import ReportError
from ecg_assets.evaluation.report.marked_numbers import (
    NumberMarker,
    TextMarker,
    pointer_part,
    resolve_pointer,
)
from ecg_assets.evaluation.report.page_view import build_view
from ecg_assets.evaluation.report.wrong_numbers import find_wrong_numbers
from ecg_assets.storage import replace_folder

REPORT, METRICS_JSON, METRICS_TABLE = "report.html", "metrics.json", "metrics.parquet"
CURVES_TABLE = "curves.parquet"


def write_report(
    document: Mapping[str, Any],
    folder: Path,
    *,
    pictures: Mapping[str, bytes],
    tables: Mapping[str, pd.DataFrame],
) -> Path:
    """Write the page, its numbers and its pictures; the folder is replaced as a whole.

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
    html = render_report(json.loads(text), pictures)
    with replace_folder(folder) as temporary:
        (temporary / REPORT).write_text(html, encoding="utf-8")
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


def render_report(document: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """Render the page and hold every number on it against the document.

    Raises
    ------
    ReportError
        When a number differs, or is not marked with its place in the document.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ecg_assets.evaluation.report", "templates"),
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
    html = environment.get_template(REPORT).render(
        **build_view(document),
        pictures={title: base64.b64encode(png).decode() for title, png in pictures.items()},
    )
    faults = find_wrong_numbers(html, document)
    if faults:
        listed = "\n".join(f"  {fault}" for fault in faults[:10])
        raise ReportError(
            f"The report of {document['evaluation']['checkpoint']} would show {len(faults)} "
            f"numbers that its metrics.json does not hold:\n{listed}\nWrite each through n(path) "
            "in the templates, and put it into the document."
        )
    return html
