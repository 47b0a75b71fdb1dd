"""What the labeler returns: its three tables, and labels as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from ecg_assets.errors import SchemaError
from ecg_assets.known import NOT_MEASURED
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

UNKNOWN_VALUE = -1
"""Value of a label that nobody looked for, in the table of labels."""

TARGETS = TableSchema(
    "labels",
    (
        Column("record_id", _CATEGORY, "the recording, as in record_list"),
        Column("label", _CATEGORY, "target; each recording has every target, in model order"),
        Column(
            "value", pa.float32(), "number in the target's unit; empty: not measured", nullable=True
        ),
    ),
)
"""The table ``labels`` of a label set of numbers."""

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
        `LABELS`: a row a recording and label, recordings in the order of the reports. The value
        is -1 where nobody looked for the label. Of a label set of numbers,
        `TARGETS`.
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
) -> tuple[npt.NDArray[np.object_], npt.NDArray[Any], npt.NDArray[np.float32]]:
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
        probabilities float32 (n, n_labels). A value that is not known is `NOT_MEASURED`. Of
        numbers the values are float32, NaN where not measured, and the same as the probabilities.

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
    if is_of_numbers(labels) != vocabulary.is_continuous:
        raise SchemaError(
            f"labels hold {'numbers' if is_of_numbers(labels) else 'labels'}, but {vocabulary} are "
            "not. Materialize labels again."
        )
    if vocabulary.is_continuous:
        numbers = np.zeros(shape, dtype=np.float32)
        numbers.ravel()[cell] = labels["value"].to_numpy(np.float32)
        return np.asarray(record_ids, dtype=object), numbers, numbers
    value = np.zeros(shape, dtype=np.uint8)
    probability = np.zeros(shape, dtype=np.float32)
    stated = labels["value"].to_numpy()
    value.ravel()[cell] = np.where(stated < 0, NOT_MEASURED, stated.astype(np.uint8))
    probability.ravel()[cell] = labels["probability"].to_numpy()
    return np.asarray(record_ids, dtype=object), value, probability


def label_prevalence(labels: pd.DataFrame) -> pd.DataFrame:
    """Count the positives of each label.

    Returns
    -------
    pandas.DataFrame
        ``label``, ``positives``, ``share`` of the recordings of which the label is known, and
        ``uncertain``: positives that no evidence tells without a hedge. Where some are not known,
        ``not_measured`` counts them. Labels in the table's order.
    """
    label, names = pd.factorize(labels["label"])
    is_positive = labels["value"].to_numpy() == 1
    is_uncertain = is_positive & (labels["probability"].to_numpy() < 1)
    is_unknown = labels["value"].to_numpy() < 0
    positives = np.bincount(label[is_positive], minlength=len(names))
    n_unknown = np.bincount(label[is_unknown], minlength=len(names))
    n_known = np.bincount(label, minlength=len(names)) - n_unknown
    columns = {
        "label": pd.Index(names).astype(object),
        "positives": positives,
        "share": np.divide(positives, n_known, out=np.full(len(names), np.nan), where=n_known > 0),
        "uncertain": np.bincount(label[is_uncertain], minlength=len(names)),
    }
    return pd.DataFrame(columns | ({"not_measured": n_unknown} if is_unknown.any() else {}))


def is_of_numbers(labels: pd.DataFrame) -> bool:
    """Tell a table of `TARGETS` from one of labels."""
    return "probability" not in labels


def describe_targets(labels: pd.DataFrame) -> pd.DataFrame:
    """Count and summarize each target of a table of `TARGETS`.

    Returns
    -------
    DataFrame
        ``label``, ``measured``, ``not_measured``, ``mean``, ``sd``, ``lowest``, ``highest``.
    """
    found = labels.groupby("label", observed=True, sort=False)["value"]
    table = found.agg(["count", "size", "mean", "std", "min", "max"]).reset_index()
    table["size"] -= table["count"]
    names = ["label", "measured", "not_measured", "mean", "sd", "lowest", "highest"]
    return table.set_axis(names, axis=1).astype({"label": str})
