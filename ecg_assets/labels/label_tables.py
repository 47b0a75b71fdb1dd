"""What the labeler returns: its three tables, and labels as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from ecg_assets.errors import SchemaError
from ecg_assets.labels.vocabulary import LabelVocabulary
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
            "cue", _CATEGORY, "its words that hedge, deny, remember or compare it; empty if stated"
        ),
        Column(
            "rule",
            _CATEGORY,
            "stated, a certainty (wording.yaml), combination or snomed-ct code; "
            "negated, history, comparison and advised make no label",
        ),
        Column("probability", pa.float32(), "what this alone makes the label's probability"),
    ),
)

UNKNOWN = "unknown"
OTHER_LANGUAGE = "other language"
"""Why a statement was not read."""

UNMATCHED = TableSchema(
    "unmatched_statements",
    (
        Column("statement", pa.string(), "cleaned statement or code that was not read"),
        Column("reason", pa.string(), f"{UNKNOWN}: it names no known concept; or {OTHER_LANGUAGE}"),
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
    n_in_other_languages
        Recordings without labels because their reports are in another language.
    """

    labels: pd.DataFrame
    evidence: pd.DataFrame
    unmatched: pd.DataFrame
    n_in_other_languages: int


# Labels as arrays, and how frequent each is.


def label_matrix(
    labels: pd.DataFrame, vocabulary: LabelVocabulary
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Turn the long table of labels into arrays; rows of the table may stand in any order.

    Parameters
    ----------
    labels
        Table of `LABELS`.
    vocabulary
        The labels and order of the columns.

    Returns
    -------
    tuple
        Record ids (n,) in the order of their first row, values uint8 (n, n_labels), and
        probabilities float32 (n, n_labels).

    Raises
    ------
    SchemaError
        Unless every recording has each label of the vocabulary once, and no other.
    """
    record, record_ids = pd.factorize(labels["record_id"])
    label, label_names = pd.factorize(labels["label"])
    column = pd.Index(vocabulary.names).get_indexer(pd.Index(label_names).astype(object))[label]
    shape = (len(record_ids), len(vocabulary))
    cell = record.astype(np.int64) * len(vocabulary) + column
    is_filled = np.zeros(shape[0] * shape[1], dtype=bool)
    is_filled[cell[column >= 0]] = True
    if len(cell) != len(is_filled) or not is_filled.all():
        unknown = sorted(set(labels["label"].unique()) - set(vocabulary.names))
        raise SchemaError(
            f"labels: {len(labels)} rows for {shape[0]} recordings and {shape[1]} labels; each "
            f"recording must have each label once. Labels outside the vocabulary: {unknown}."
        )
    value = np.zeros(shape, dtype=np.uint8)
    probability = np.zeros(shape, dtype=np.float32)
    value.ravel()[cell] = labels["value"].to_numpy()
    probability.ravel()[cell] = labels["probability"].to_numpy()
    return np.asarray(record_ids, dtype=object), value, probability


def label_prevalence(labels: pd.DataFrame) -> pd.DataFrame:
    """Count the positives of each label.

    Returns
    -------
    pandas.DataFrame
        ``label``, ``positives``, ``share`` of the labelled recordings, and ``uncertain``:
        positives that no evidence tells without a hedge. Labels in the table's order.
    """
    label, names = pd.factorize(labels["label"])
    is_positive = labels["value"].to_numpy() == 1
    is_uncertain = is_positive & (labels["probability"].to_numpy() < 1)
    positives = np.bincount(label[is_positive], minlength=len(names))
    return pd.DataFrame(
        {
            "label": pd.Index(names).astype(object),
            "positives": positives,
            "share": positives / np.bincount(label, minlength=len(names)),
            "uncertain": np.bincount(label[is_uncertain], minlength=len(names)),
        }
    )
