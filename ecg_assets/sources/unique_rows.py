"""One row for each key: repeated rows are dropped, rows that contradict each other refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from ecg_assets.errors import SchemaError


def drop_repeated_rows(table: pa.Table, key: str, path: Path) -> tuple[pa.Table, int]:
    """Drop rows that repeat an earlier one in every column; also return how many they were.

    Raises
    ------
    SchemaError
        When two rows have the key in common and differ. The message has rows and no values.
    """
    keys = table[key].to_pandas()
    if keys.is_unique:
        return table, 0
    shared = np.flatnonzero(keys.duplicated(keep=False))
    candidates = table.take(shared).to_pandas()
    is_repeat = candidates.duplicated()
    conflicts = candidates[key][~is_repeat].duplicated(keep=False)
    if conflicts.any():
        rows = (shared[conflicts.index[conflicts]] + 1).tolist()
        raise SchemaError(
            f"{path}: {len(rows)} rows share a {key} with another row and differ from it, first "
            f"data rows {rows[:4]}. Each {key} must have one row: remove the wrong ones."
        )
    keep = np.ones(len(keys), dtype=bool)
    keep[shared[is_repeat.to_numpy()]] = False
    return table.filter(pa.array(keep)), int(is_repeat.sum())
