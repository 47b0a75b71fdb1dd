"""The HTML report of one evaluation: one file, pictures inline, no outside request."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

import jinja2
import numpy as np

from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.labels import LabelVocabulary
from ecg_assets.storage import replace_folder

_SOURCE_NOTES = {
    "synthetic": "This cohort is simulated. The numbers show that the pipeline works; "
    "they say nothing about patients.",
    "mimic-iv-ecg": "The public ECG-FM weights were pre-trained on MIMIC-IV-ECG, test patients "
    "included. A checkpoint that starts from them has seen these recordings without labels.",
    "physionet-2021": "This dataset names no patients: each recording counts as its own, so the "
    "intervals are too narrow where a patient has several.",
}


def write_report(result: EvaluationResult, pictures: Mapping[str, bytes], folder: Path) -> Path:
    """Write ``report.html`` and each picture as a PNG; the folder is replaced as a whole.

    Parameters
    ----------
    result
        The evaluation.
    pictures
        Title to PNG bytes, in the order shown.

    Returns
    -------
    Path
        Of report.html.
    """
    template = jinja2.Environment(
        loader=jinja2.PackageLoader("ecg_assets.evaluation", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template.filters["number"] = format_number
    html = template.get_template("report.html").render(
        result=result,
        labels=result.labels.to_dict("records"),
        notes=_notes(result),
        maximum_labels=_maximum_labels(result),
        pictures={title: base64.b64encode(png).decode() for title, png in pictures.items()},
    )
    with replace_folder(folder) as temporary:
        (temporary / "report.html").write_text(html, encoding="utf-8")
        for title, png in pictures.items():
            (temporary / f"{title.lower().replace(' ', '_')}.png").write_bytes(png)
    return folder / "report.html"


def format_number(value: float | None, digits: int = 3) -> str:
    """Show a number with three digits, or a dash where it is undefined.

    >>> format_number(0.98765), format_number(float("nan"))
    ('0.988', '–')
    """
    if value is None or not np.isfinite(value):
        return "–"
    return f"{value:.{digits}f}"


def _maximum_labels(result: EvaluationResult) -> list[str]:
    vocabulary = LabelVocabulary.from_json(result.label_vocabulary)
    pairs = zip(vocabulary.names, vocabulary.aggregation, strict=True)
    return [name for name, aggregation in pairs if aggregation == "max"]


def _notes(result: EvaluationResult) -> list[str]:
    """Collect what a reader must know before believing the numbers."""
    notes = [_SOURCE_NOTES[result.source]] if result.source in _SOURCE_NOTES else []
    few = result.labels[(result.labels["n_pos"] > 0) & (result.labels["n_pos"] < 20)]
    if len(few):
        notes.append(
            f"{len(few)} labels have fewer than 20 positive recordings; read their numbers with "
            "their intervals."
        )
    if result.undefined:
        notes.append(
            f"{len(result.undefined)} labels are undefined on this set and not in the macro mean."
        )
    lacking = int(result.labels["threshold"].isna().sum())
    if lacking:
        notes.append(
            f"{lacking} labels have one class only in the validation split: no threshold could be "
            "chosen for them."
        )
    return notes
