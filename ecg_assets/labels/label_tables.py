"""What the labeler returns: the declared schemas of its three tables."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from ecg_assets.tables import Column, TableSchema

# Few distinct values in millions of rows: a code for each, on disk as in memory.
_CATEGORY = pa.dictionary(pa.int32(), pa.string())

LABELS = TableSchema(
    "labels",
    (
        Column("record_id", _CATEGORY, "the recording, as in record_list"),
        Column("label", _CATEGORY, "label name; each recording has every label, in model order"),
        Column("value", pa.int8(), "1 if the probability is above 0 and reaches the threshold"),
        Column("probability", pa.float32(), "highest probability of the recording's evidence"),
    ),
)

EVIDENCE = TableSchema(
    "label_evidence",
    (
        Column("record_id", _CATEGORY, "the recording, as in record_list"),
        Column("label", _CATEGORY, "the label that this is a reason for, or against"),
        Column("line_index", pa.int32(), "position of the line in the report, from 0"),
        Column("line", _CATEGORY, "the report line or diagnosis code"),
        Column("matched", _CATEGORY, "its words that name the finding, cleaned"),
        Column(
            "rule",
            _CATEGORY,
            "stated, a certainty (wording.yaml), combination or snomed-ct code; "
            "negated, history and comparison make no label",
        ),
        Column("probability", pa.float32(), "what this alone makes the label's probability"),
    ),
)

UNMATCHED = TableSchema(
    "unmatched_statements",
    (
        Column("statement", pa.string(), "cleaned statement or code that names no known concept"),
        Column("count", pa.int64(), "how often it occurs"),
    ),
)


@dataclass(frozen=True)
class LabelTables:
    """Labels of all recordings with a readable report, and how they came about.

    Attributes
    ----------
    labels
        `LABELS`: a row a recording and label, recordings in the order of the reports.
    evidence
        `EVIDENCE`: a row a reason.
    unmatched
        `UNMATCHED`: the most frequent first.
    """

    labels: pd.DataFrame
    evidence: pd.DataFrame
    unmatched: pd.DataFrame
