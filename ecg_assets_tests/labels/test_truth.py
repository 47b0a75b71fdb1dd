"""Labels against adjudicated truth: each cell that is said or given, every wrong one by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from ecg_assets.labels import (
    ECG_FM_LABELS,
    label_matrix,
    label_records,
    label_reports,
    load_label_set,
)
from ecg_assets_tests.labels.reports import make_reports

pytestmark = pytest.mark.reference

RIGHT_SHARE = 0.985
"""Least share of cells, said or given, that must be right."""

EVERY_OTHER_LABEL = "*"


class Cell(NamedTuple):
    """A label of a report, as it is expected and as it is given."""

    report: str
    label: str
    expected: bool
    given: bool
    contestable: bool

    @property
    def is_wrong(self) -> bool:
        """Say whether the label is missing, or given without being said."""
        return self.expected != self.given


def test_labels_of_adjudicated_reports(reference_data: Path) -> None:
    cells = _score(reference_data / "labeler_truth" / "truth_handed.csv")
    counted = [cell for cell in cells if cell.expected or cell.given]
    wrong = [cell for cell in counted if cell.is_wrong]
    share = 1 - len(wrong) / len(counted)
    assert len(counted) > 500
    assert share >= RIGHT_SHARE, _list(wrong)
    # What two cardiologists may read differently is set apart.
    assert [cell for cell in wrong if cell.given and not cell.contestable] == []
    assert [cell for cell in wrong if not cell.contestable] == [], _list(wrong)


def _score(path: Path) -> list[Cell]:
    """Read the truth and label its reports: lines stand between bars, ``*`` is any other label."""
    table = pd.read_csv(path, dtype={"report": str, "label": str}, keep_default_na=False)
    truth: dict[str, dict[str, tuple[bool, bool]]] = {}
    for row in table.to_dict("records"):
        of_report = truth.setdefault(str(row["report"]), {})
        of_report[str(row["label"])] = bool(row["expected"]), bool(row["contestable"])
    found = label_reports([[line.strip() for line in text.split(" | ")] for text in truth])
    values = found.fillna(0).astype(bool).to_dict("records")
    return [
        Cell(text, label, expected, row[label], contestable)
        for (text, of_report), row in zip(truth.items(), values, strict=True)
        for label in ECG_FM_LABELS.names
        for expected, contestable in [of_report.get(label, _of_others(of_report))]
    ]


def _of_others(of_report: Mapping[str, tuple[bool, bool]]) -> tuple[bool, bool]:
    return of_report.get(EVERY_OTHER_LABEL, (False, False))


def _list(wrong: list[Cell]) -> str:
    return "\n" + "\n".join(
        f"{'given' if cell.given else 'missed'}{' (contestable)' if cell.contestable else ''}: "
        f"{cell.label}: {cell.report}"
        for cell in wrong
    )


def test_normal_of_six_conditions_is_right_in_every_coding(reference_data: Path) -> None:
    six = load_label_set("six-conditions")
    table = pd.read_csv(reference_data / "labeler_truth" / "truth_six_conditions_norm.csv")
    wrong = []
    for row in table.to_dict("records"):
        lines = str(row["lines (joined with ;)"]).split(";")
        tables = label_records(make_reports({"a": lines}, coding=str(row["coding"])), label_set=six)
        _, value, _ = label_matrix(tables.labels, six.vocabulary)
        given = value.size > 0 and bool(value[0, six.vocabulary.names.index(str(row["label"]))])
        if given != bool(row["expected"]):
            wrong.append(row)
    assert len(table) > 20
    assert wrong == []
