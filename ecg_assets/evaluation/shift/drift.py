"""How labels, signals, age and sex differ between splits, shards and years."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.evaluation.shift.group_comparison import GroupComparison
from ecg_assets.evaluation.shift.recording_facts import SIGNAL_STATISTICS
from ecg_assets.evaluation.shift.slice_groups import name_years
from ecg_assets.labels import LabelVocabulary, label_matrix
from ecg_assets.tables import Column, TableSchema

DRIFT = TableSchema(
    "drift",
    (
        Column(
            "comparison", pa.string(), "split (against train), shard or year (against the rest)"
        ),
        Column(
            "quantity",
            pa.string(),
            "what is compared, e.g. label/Sinus rhythm, signal/std_mv_I, age, sex",
        ),
        Column("group", pa.string(), "the split, shard, year or decade that is compared"),
        Column("psi", pa.float64(), "population stability index"),
        Column(
            "reference", pa.float64(), "mean in the reference; of sex the share of F", nullable=True
        ),
        Column("current", pa.float64(), "mean in the group", nullable=True),
        Column("n_reference", pa.int64(), "recordings in the reference"),
        Column("n_current", pa.int64(), "recordings in the group"),
        Column("n_patients_reference", pa.int64(), "patients in the reference"),
        Column("n_patients_current", pa.int64(), "patients in the group"),
        Column("expected_by_chance", pa.float64(), "mean of the index without drift"),
        Column("chance_limit", pa.float64(), "1 in 1,000 indices is larger without drift"),
    ),
)

_TRAIN = "train"

SHIFTED, UNSTABLE = 0.25, 0.1
"""The rule of thumb: above them a distribution is called shifted, or moderately changed."""


def collect_quantities(
    record_list: pd.DataFrame,
    signals: pd.DataFrame,
    labels: pd.DataFrame,
    vocabulary: LabelVocabulary,
) -> pd.DataFrame:
    """Put everything that is compared into one table, joined by recording.

    Parameters
    ----------
    record_list
        As `RECORD_LIST` declares.
    signals
        As `describe_signals` gives them.
    labels
        As `LABELS` declares.
    vocabulary
        The labels to compare.

    Returns
    -------
    DataFrame
        float32, indexed by record_id in the order of the list; NaN where a recording has no
        label, signal, age or sex.
    """
    record_ids, values, _ = label_matrix(labels, vocabulary)
    of_labels = pd.DataFrame(
        values.astype(np.float32),
        index=pd.Index(record_ids),
        columns=[f"label/{name}" for name in vocabulary.names],
    )
    names = [name for name in signals.columns if str(name).startswith(SIGNAL_STATISTICS)]
    of_signals = signals.set_index("record_id")[names].add_prefix("signal/")
    of_patients = record_list.set_index("record_id")[["age", "sex"]]
    of_patients["sex"] = of_patients["sex"].map({"F": 1.0, "M": 0.0})
    joined = of_patients.astype(np.float32)
    for table in (of_labels, of_signals):
        joined = joined.join(table, how="left", validate="one_to_one")
    return joined


def group_by_origin(record_list: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """Name the split, shard and year (or decade) of each recording of the list.

    Recordings without a split get none.
    """
    groups = record_list[["record_id", "shard"]].copy()
    groups["year"] = name_years(record_list["ecg_time"].dt.year)
    of_split = split[["record_id", "split"]]
    groups = groups.merge(of_split, on="record_id", how="left", validate="one_to_one")
    return groups[["split", "shard", "year"]]


def measure_drift(
    quantities: pd.DataFrame, groups: pd.DataFrame, subject_ids: NDArray[np.str_]
) -> pd.DataFrame:
    """Compare each group's distribution of each quantity with its reference.

    The validation and test split are compared with train, a shard or year with all other
    recordings. A number's bins are the deciles of the train split, or of all recordings.

    Parameters
    ----------
    quantities
        Numbers, ``(recording, quantity)``; missing ones are a bin of their own.
    groups
        Columns ``split``, ``shard`` and ``year``, texts, of the same recordings; a recording
        without a group (None) is in no comparison.
    subject_ids
        Patient of each recording; chance is judged by their number.

    Returns
    -------
    DataFrame
        As `DRIFT` declares; no rows where there is but one group, or no train split.
    """
    parts = []
    for name in groups.columns:
        rows = groups[name].notna().to_numpy()
        reference = _TRAIN if name == "split" else None
        if reference is not None and reference not in set(groups[name]):
            continue
        comparison = GroupComparison.of(groups[name][rows], subject_ids[rows], reference)
        for quantity in quantities.columns:
            table = comparison.compare(quantities[quantity].to_numpy(np.float64)[rows])
            parts.append(table.assign(comparison=name, quantity=quantity))
    columns = [column.name for column in DRIFT.columns]
    return pd.concat(parts, ignore_index=True)[columns] if parts else DRIFT.empty()


def is_shifted(drift: pd.DataFrame) -> pd.Series:
    """Tell which rows are above the rule of thumb and above chance."""
    return (drift["psi"] > SHIFTED) & (drift["psi"] > drift["chance_limit"])


def count_shifted(drift: pd.DataFrame) -> dict[str, int]:
    """Count, for each comparison, the indices above the rule of thumb and above chance."""
    counts = is_shifted(drift).groupby(drift["comparison"]).sum()
    return {str(name): int(count) for name, count in counts.items()}


def farthest_from_reference(drift: pd.DataFrame, n_rows: int = 20) -> pd.DataFrame:
    """Pick the rows with the largest index in relation to chance, the largest first."""
    ratio = drift["psi"] / drift["chance_limit"].where(drift["chance_limit"] > 0)
    order = ratio.sort_values(ascending=False, kind="stable").index[:n_rows]
    names = ["comparison", "quantity", "group", "psi", "chance_limit", "reference", "current"]
    return drift.loc[order, names].reset_index(drop=True)
