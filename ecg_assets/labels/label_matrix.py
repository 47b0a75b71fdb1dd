"""Labels as arrays, and how frequent each is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ecg_assets.errors import SchemaError
from ecg_assets.labels.label_vocabulary import LabelVocabulary


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
