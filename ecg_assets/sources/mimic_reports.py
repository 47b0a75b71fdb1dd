"""MIMIC-IV-ECG's machine_measurements.csv: report lines and the cart's measurements."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ecg_assets.sources.csv_table import read_csv_table
from ecg_assets.sources.schema import MEASUREMENTS, REPORT_TEXT
from ecg_assets.sources.source import SourceTable
from ecg_assets.sources.unique_rows import drop_repeated_rows

NOT_MEASURED = 29999
"""What the carts write for an interval or axis that they could not measure."""

REPORT_COLUMNS = tuple(f"report_{i}" for i in range(18))


def read_mimic_reports(path: Path, records: pd.DataFrame) -> SourceTable:
    """Read the reports of these records, joined by study_id, in their order.

    Parameters
    ----------
    path
        The CSV. Its columns of measurements are optional; all of report_0 … report_17 are not.
    records
        Columns ``record_id, study_id``, each unique.

    Raises
    ------
    SchemaError
        When the table cannot be read, or two rows of one study differ.
    """
    raw = read_csv_table(path, ("study_id", *REPORT_COLUMNS), optional=MEASUREMENTS)
    raw, n_repeated = drop_repeated_rows(raw, "study_id", path)
    row, n_without_record = _match(records, raw["study_id"])
    numbers = {name: _numbers(raw[name]) for name in MEASUREMENTS if name in raw.column_names}
    lines = _collect_lines(raw, row)
    reports = pd.DataFrame(
        {
            "record_id": records["record_id"].to_numpy(),
            "coding": REPORT_TEXT,
            "lines": lines,
            **{
                name: _measured(numbers[name], row) if name in numbers else np.nan
                for name in MEASUREMENTS
            },
        }
    )
    without_row = int((row < 0).sum())
    return SourceTable(
        reports,
        {
            "records": len(reports),
            "records_without_report": without_row,
            "records_with_empty_report": int((reports["lines"].str.len() == 0).sum()) - without_row,
            "reports_without_record": n_without_record,
            "duplicate_study_ids": n_repeated,
            "values_not_measured": sum(int((v == NOT_MEASURED).sum()) for v in numbers.values()),
            "values_not_numbers": sum(
                int(np.isnan(numbers[name]).sum()) - raw[name].null_count for name in numbers
            ),
        },
    )


def _match(records: pd.DataFrame, study_ids: pa.ChunkedArray) -> tuple[NDArray[np.int64], int]:
    """Find each record's row in the raw table, -1 for none; count the rows of no record."""
    right = pd.DataFrame({"study_id": study_ids.to_pandas()})
    right = right[right["study_id"].notna()].reset_index(names="row")
    joined = records[["study_id"]].merge(right, on="study_id", how="left", validate="one_to_one")
    row = joined["row"].fillna(-1).to_numpy(dtype=np.int64)
    return row, len(study_ids) - int((row >= 0).sum())


def _collect_lines(raw: pa.Table, row: NDArray[np.int64]) -> pd.Series:
    """Collect the filled cells of report_0 … report_17 as lists, one a record.

    Whole columns at once: MIMIC has 14 million cells, of which 2.8 million are filled.
    """
    table = raw.select(REPORT_COLUMNS).take(pa.array(row, mask=row < 0))
    columns = [table[name].combine_chunks() for name in REPORT_COLUMNS]
    filled = np.stack([pc.is_valid(column).to_numpy(False) for column in columns], axis=1)
    record, column = np.nonzero(filled)
    values = pa.concat_arrays(columns).take(pa.array(column * len(table) + record))
    offsets = pa.array(np.append(0, np.cumsum(filled.sum(axis=1))), pa.int32())
    lines: pd.Series = pa.ListArray.from_arrays(offsets, values).to_pandas()
    return lines


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Convert text to numbers, NaN where it is none; each distinct text only once."""
    encoded = column.combine_chunks().dictionary_encode()
    distinct = pd.to_numeric(encoded.dictionary.to_pandas(), errors="coerce")
    codes = encoded.indices.fill_null(len(distinct)).to_numpy()
    numbers: NDArray[np.float64] = np.append(distinct.to_numpy(dtype=float), np.nan)[codes]
    return numbers


def _measured(numbers: NDArray[np.float64], row: NDArray[np.int64]) -> NDArray[np.float64]:
    """Value of each record's row, NaN for none and for what was not measured."""
    values = np.append(np.where(numbers == NOT_MEASURED, np.nan, numbers), np.nan)[row]
    return np.asarray(values)
