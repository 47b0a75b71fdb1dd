"""The label files of ECG-FM's Lead-I fine-tuning pipeline, by its names and formats."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from ecg_assets.labels.label_matrix import label_matrix
from ecg_assets.labels.label_vocabulary import ECG_FM_LABELS, LabelVocabulary
from ecg_assets.storage import replace_folder


def write_reference_files(
    labels: pd.DataFrame,
    records: pd.DataFrame,
    split: pd.DataFrame,
    folder: Path,
    *,
    vocabulary: LabelVocabulary = ECG_FM_LABELS,
    weights_from: Literal["train", "all"] = "train",
) -> dict[str, int]:
    """Write what the pipeline's label step leaves in ``computed_labels``, as a whole folder.

    Rows are the labelled recordings that the split names, in the order of the records; ``idx``
    numbers them from 0 in every file. Recordings without labels are left out: the pipeline
    gives them zeros.

    ==========================  ==============================================================
    ``labels.csv``              ``idx`` and a column of 0/1 a label
    ``y.npy``                   the same: float32 (n_rows, n_labels)
    ``y_soft.npy``              probabilities: float32 (n_rows, n_labels)
    ``label_def_recomputed.csv``  ``name,count,pos_percent,pos_weight``; pos_percent is 0 to 1
    ``pos_weight.txt``          the weights in one line, 8 decimals, without a final newline
    ``study_id_mapping.csv``    ``idx,study_id,split``
    ==========================  ==============================================================

    Weights are negatives over positives. A label without positives gets the number of rows, as
    if it had one: its own weight would not be finite.

    Parameters
    ----------
    labels
        Table of `LABELS`.
    records
        Record list: ``record_id`` and ``study_id`` are read.
    split
        Table with ``record_id`` and ``split``.
    folder
        Replaced if it exists.
    weights_from
        Rows that the weights are of: those of the training split, or all, test rows too, as the
        pipeline has them. Counts are always of all rows.

    Returns
    -------
    dict
        Counts: ``rows``, ``records_without_labels``, ``records_without_split``.
    """
    record_ids, value, probability = label_matrix(labels, vocabulary)
    rows = _rows(records, record_ids, split)
    is_usable = rows["label_row"].notna() & rows["split"].notna()
    used = rows[is_usable]
    order = used["label_row"].to_numpy(dtype=np.int64)
    with replace_folder(folder) as target:
        weighed = value[order][(used["split"] == "train").to_numpy() | (weights_from == "all")]
        _write_arrays(target, value[order], probability[order], weighed, vocabulary)
        mapping = pd.DataFrame(
            {"idx": np.arange(len(used)), "study_id": used["study_id"], "split": used["split"]}
        )
        _write_csv(mapping, target / "study_id_mapping.csv")
    return {
        "rows": len(used),
        "records_without_labels": int(rows["label_row"].isna().sum()),
        "records_without_split": int(rows["split"].isna().sum()),
    }


def define_labels(
    value: npt.NDArray[np.uint8], weighed: npt.NDArray[np.uint8], vocabulary: LabelVocabulary
) -> pd.DataFrame:
    """Count each label's positives and weigh them, in the pipeline's ``name,count,…``.

    Parameters
    ----------
    value
        0 or 1, ``(recording, label)``: what counts are of.
    weighed
        The same of the recordings that weights are of.
    vocabulary
        Names of the labels.

    Returns
    -------
    DataFrame
        ``name, count, pos_percent`` (0 to 1) and ``pos_weight``: negatives over positives,
        or the number of rows for a label without positives.
    """
    count = value.sum(axis=0, dtype=np.int64)
    positive = weighed.sum(axis=0, dtype=np.int64)
    return pd.DataFrame(
        {
            "name": list(vocabulary.names),
            "count": count,
            "pos_percent": count / max(len(value), 1),
            "pos_weight": (len(weighed) - positive) / np.maximum(positive, 1),
        }
    )


def format_reference_weights(weights: Iterable[float]) -> str:
    """Write weights in the pipeline's one line, 8 decimals, without a final newline.

    >>> format_reference_weights([2.0, 0.5])
    '2.00000000 0.50000000'
    """
    return " ".join(f"{weight:.8f}" for weight in weights)


def _rows(
    records: pd.DataFrame, record_ids: npt.NDArray[np.object_], split: pd.DataFrame
) -> pd.DataFrame:
    """Give each record its row in the label matrix and its split; empty where there is none."""
    label_row = pd.DataFrame({"record_id": record_ids, "label_row": np.arange(len(record_ids))})
    return (
        records[["record_id", "study_id"]]
        .astype({"record_id": object})
        .merge(label_row, on="record_id", how="left", validate="one_to_one")
        .merge(
            split[["record_id", "split"]].astype({"record_id": object}),
            on="record_id",
            how="left",
            validate="one_to_one",
        )
    )


def _write_arrays(
    folder: Path,
    value: npt.NDArray[np.uint8],
    probability: npt.NDArray[np.float32],
    weighed: npt.NDArray[np.uint8],
    vocabulary: LabelVocabulary,
) -> None:
    names = list(vocabulary.names)
    definition = define_labels(value, weighed, vocabulary)
    table = pd.DataFrame(value, columns=names)
    table.insert(0, "idx", np.arange(len(value)))
    np.save(folder / "y.npy", value.astype(np.float32))
    np.save(folder / "y_soft.npy", probability)
    _write_csv(table, folder / "labels.csv")
    _write_csv(definition, folder / "label_def_recomputed.csv")
    weights = format_reference_weights(definition["pos_weight"])
    (folder / "pos_weight.txt").write_text(weights, encoding="utf-8")


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    frame.to_csv(path, index=False, lineterminator="\n")
