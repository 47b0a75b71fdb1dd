"""Build small tables of reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ecg_assets.labels import (
    ECG_FM_LABELS,
    LabelSet,
    label_matrix,
    label_records,
    load_label_set,
    resolve_label_set,
)
from ecg_assets.labels.label_set import find_study
from ecg_assets.sources.schema import MACHINE_REPORTS, MEASUREMENTS, REPORT_TEXT


def make_reports(
    lines_by_record: Mapping[str, Sequence[str] | None], coding: str = REPORT_TEXT
) -> pd.DataFrame:
    """Table of MACHINE_REPORTS, one record an entry, as it comes back from Parquet."""
    if not lines_by_record:
        return MACHINE_REPORTS.empty()
    frame = pd.DataFrame(
        {
            "record_id": list(lines_by_record),
            "coding": coding,
            "lines": [list(lines or ()) for lines in lines_by_record.values()],
            **dict.fromkeys(MEASUREMENTS),
        }
    )
    stored: pd.DataFrame = MACHINE_REPORTS.from_pandas(frame).to_pandas()
    return stored


_CODES = {
    "snomed-ct": ["164889003", "426783006"],
    "icd-10-cm": ["I4891", "W19XXXA"],
    "aha": ["22", "106"],
}


def load_any(name: str) -> LabelSet:
    """Load a shipped label set; one of all codes of the data from as many made reports."""
    study = find_study(name)
    if study is None or study.every_code is None:
        return load_label_set(name)
    lines = _CODES[study.coding]
    reports = {str(i): lines for i in range(study.every_code.least_records)}
    return resolve_label_set(name, make_reports(reports, study.coding))


def probabilities(reports: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Probability of each label of each labelled record; three decimals undo float32."""
    record_ids, _, probability = label_matrix(label_records(reports).labels, ECG_FM_LABELS)
    return {
        str(record_id): dict(zip(ECG_FM_LABELS.names, map(float, row), strict=True))
        for record_id, row in zip(record_ids, probability.round(3).astype(str), strict=True)
    }
