"""Labels that are all codes of the data: which codes how many recordings have, and which count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.labels.codings import code_concept
from ecg_assets.labels.reading import LineReading
from ecg_assets.labels.report_lines import ReportLines, flatten_reports
from ecg_assets.labels.study import CodeLabel, Study, StudyFile
from ecg_assets.sources.schema import NO_LABEL


def count_codes(reports: pd.DataFrame, study: Study) -> pd.Series[int]:
    """Count the recordings that have each code, as a study reads it.

    Parameters
    ----------
    reports
        Table of `MACHINE_REPORTS`, of the study's coding.

    Returns
    -------
    Series
        Recordings by code, sorted by code; a recording counts once for each.

    Raises
    ------
    SettingsError
        When the reports are of another coding.
    """
    lines = _flatten(reports, study)
    return _count(lines, [_codes(study.read(line.text), study) for line in lines.distinct])


def list_labels(file: StudyFile, reports: pd.DataFrame) -> dict[str, CodeLabel]:
    """List the labels of a study whose labels are all codes of the data, sorted by name.

    So the same data give the same labels, whatever the order of their recordings.

    Raises
    ------
    SettingsError
        When the reports are of another coding, or no code has as many recordings as are asked for.
    SchemaError
        When as many recordings have a code that the coding lacks: its label would be missing.
    """
    study, rule = file.study, file.every_code
    if rule is None:
        return file.labels
    lines = _flatten(reports, study)
    readings = [study.read(line.text) for line in lines.distinct]
    _require_known(_count(lines, [list(one.unread) for one in readings]), file, rule.least_records)
    label_of = {code: name for name, codes in rule.alike.items() for code in codes}
    names = [sorted({label_of.get(code, code) for code in _codes(one, study)}) for one in readings]
    counts = _count(lines, names)
    kept = counts.index[(counts >= rule.least_records) & ~counts.index.isin(rule.without)]
    if kept.empty:
        raise SettingsError(
            f"No code of {file.coding} is in {rule.least_records} of {len(reports)} recordings, "
            "and the labels are those that are. Lower least_records, or take more recordings."
        )
    return {name: CodeLabel(codes=rule.alike.get(name, (name,))) for name in kept}


def _flatten(reports: pd.DataFrame, study: Study) -> ReportLines:
    others = sorted(set(reports["coding"]) - {study.coding})
    if others:
        raise SettingsError(
            f"The labels are codes of {study.coding}, but the recordings' reports are "
            f"{', '.join(others)}. Take a label set that fits them."
        )
    return flatten_reports(reports)


def _codes(reading: LineReading, study: Study) -> list[str]:
    """Codes of a line that count, without the concept's prefix."""
    start = code_concept(study.coding, "")
    counted = [m.concept.removeprefix(start) for m in reading.mentions if m.probability > 0]
    return [code for code in counted if code not in {"", NO_LABEL}]


def _count(lines: ReportLines, names: Sequence[Sequence[str]]) -> pd.Series[int]:
    """Count the reports that have each name, by the names of each distinct line."""
    known = sorted({name for of_line in names for name in of_line})
    column = {name: i for i, name in enumerate(known)}
    flat = np.array([column[name] for of_line in names for name in of_line], dtype=np.int64)
    size = np.array([len(of_line) for of_line in names], dtype=np.int64)
    first = np.cumsum(size) - size
    n = size[lines.code]
    within = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    found = flat[np.repeat(first[lines.code], n) + within]
    pairs = np.unique(np.repeat(lines.report, n) * max(len(known), 1) + found)
    counts = np.bincount(pairs % max(len(known), 1), minlength=len(known))
    return pd.Series(counts, index=pd.Index(known, dtype=str, name="code"), dtype=np.int64)


def _require_known(unread: pd.Series[int], file: StudyFile, least: int) -> None:
    lost = unread[unread >= least]
    if len(lost):
        raise SchemaError(
            f"{least} recordings or more have each of {lost.to_dict()}, which {file.coding} lacks: "
            "the labels would not be all codes of the data. Add them to the file of the coding, "
            "each with its concept or with nothing."
        )
