"""Where two labelers disagree, by label and statement, with what each of them saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from ecg_assets.labels.codings import Reason, find_reasons
from ecg_assets.labels.label_set import ECG_FM_LABEL_SET
from ecg_assets.labels.label_tables import label_matrix
from ecg_assets.labels.reading import read_line
from ecg_assets.labels.upstream import UpstreamReading
from ecg_assets.labels.vocabulary import ECG_FM_LABELS
from ecg_assets.tables import Column, TableSchema

LINES_TOGETHER = "(lines together)"
"""Stands for a statement where no line of a report differs by itself."""

DIFFERENCES = TableSchema(
    "label_differences",
    (
        Column("label", pa.string(), "label in which the two differ"),
        Column(
            "statement", pa.string(), f"report line that differs by itself, or {LINES_TOGETHER}"
        ),
        Column("ours", pa.int8(), "our value in these recordings"),
        Column("upstream", pa.int8(), "upstream's value in these recordings"),
        Column("records", pa.int64(), "recordings that differ and hold the statement"),
        Column("our_reason", pa.string(), "words and rule by which the line alone is read"),
        Column("upstream_reason", pa.string(), "patterns that upstream found in the line alone"),
    ),
)


def find_label_differences(
    reports: pd.DataFrame,
    ours: pd.DataFrame,
    upstream: pd.DataFrame,
    upstream_lines: Mapping[str, UpstreamReading],
    *,
    threshold: float,
    upstream_threshold: float,
) -> pd.DataFrame:
    """Attribute each disagreement to the lines that make it.

    Parameters
    ----------
    reports
        ``record_id, lines`` of the recordings.
    ours, upstream
        Tables of `LABELS` for ECG-FM's labels; recordings in only one of them count as 0 there.
    upstream_lines
        What upstream makes of each distinct line alone; see `lines_of_differing_records`.
    threshold, upstream_threshold
        With which the two tables were made.

    Returns
    -------
    pandas.DataFrame
        Table of `DIFFERENCES`, the most frequent first.
    """
    counts: Counter[tuple[str, str, int, int]] = Counter()
    reasons = {line: _best_reasons(line) for line in upstream_lines}
    for label, mine, theirs, lines in _differing(reports, ours, upstream):
        single = [
            line
            for line in dict.fromkeys(lines)
            if _counts(reasons[line].get(label), threshold) == mine
            and (
                _reaches(upstream_lines[line].labels.get(label, 0.0), upstream_threshold) == theirs
            )
        ]
        # Of a report only those lines made the difference that say what the report says.
        for line in single or [LINES_TOGETHER]:
            counts[label, line, int(mine), int(theirs)] += 1
    rows = [
        (
            *key,
            n,
            _our_text(reasons.get(key[1], {}).get(key[0])),
            _their_text(upstream_lines, key[1]),
        )
        for key, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    frame: pd.DataFrame = DIFFERENCES.from_pandas(
        pd.DataFrame(rows, columns=[column.name for column in DIFFERENCES.columns])
    ).to_pandas()
    return frame


def lines_of_differing_records(
    reports: pd.DataFrame, ours: pd.DataFrame, upstream: pd.DataFrame
) -> list[str]:
    """Collect the distinct lines of all recordings in which the two differ."""
    found = {line for _, _, _, lines in _differing(reports, ours, upstream) for line in lines}
    return sorted(found)


def _differing(
    reports: pd.DataFrame, ours: pd.DataFrame, upstream: pd.DataFrame
) -> Iterable[tuple[str, bool, bool, Sequence[str]]]:
    """Give label, our value, upstream's value and lines of each disagreement."""
    rows = pd.Index(reports["record_id"].astype(object))
    mine, theirs = (_aligned(table, rows) for table in (ours, upstream))
    lines = reports["lines"].to_numpy()
    for record, label in np.argwhere(mine != theirs).tolist():
        yield (
            ECG_FM_LABELS.names[label],
            bool(mine[record, label]),
            bool(theirs[record, label]),
            list(lines[record]),
        )


def _aligned(
    labels: pd.DataFrame, rows: pd.Index
) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    ids, value, _ = label_matrix(labels, ECG_FM_LABELS)
    aligned = np.zeros((len(rows), len(ECG_FM_LABELS)), dtype=bool)
    position = rows.get_indexer(pd.Index(ids))
    aligned[position[position >= 0]] = value[position >= 0] == 1
    return aligned


def _best_reasons(line: str) -> dict[str, Reason]:
    """Find the strongest reason for each label in a line."""
    best: dict[str, Reason] = {}
    for reason in find_reasons(read_line(line), ECG_FM_LABEL_SET.concepts):
        if reason.concept not in best or reason.probability > best[reason.concept].probability:
            best[reason.concept] = reason
    return best


def _counts(reason: Reason | None, threshold: float) -> bool:
    return reason is not None and _reaches(reason.probability, threshold)


def _reaches(probability: float, threshold: float) -> bool:
    return probability > 0 and probability >= threshold


def _our_text(reason: Reason | None) -> str:
    if reason is None:
        return "no such finding"
    return f"{reason.matched}: {reason.rule} ({reason.probability:g})"


def _their_text(lines: Mapping[str, UpstreamReading], line: str) -> str:
    return " + ".join(lines[line].patterns) if line in lines else ""
