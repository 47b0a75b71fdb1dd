"""All evaluated checkpoints side by side."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.tables import Column, TableSchema

LEADERBOARD = TableSchema(
    "leaderboard",
    (
        Column("evaluation_set", pa.string(), "what the checkpoint was evaluated on"),
        Column("checkpoint", pa.string(), "the checkpoint's partition"),
        Column("macro_auroc", pa.float64(), "mean over the defined labels", nullable=True),
        Column("macro_auroc_low", pa.float64(), "lower end of its 95 % interval", nullable=True),
        Column("macro_auroc_high", pa.float64(), "upper end of its 95 % interval", nullable=True),
        Column("macro_auprc", pa.float64(), "mean over the defined labels", nullable=True),
        Column("defined_labels", pa.int64(), "labels with both classes in the set"),
        Column("n_records", pa.int64(), "recordings in the set"),
        Column("n_patients", pa.int64(), "patients in the set"),
        Column("is_champion", pa.bool_(), "best macro AUROC of its evaluation set"),
    ),
)


def build_leaderboard(results: Sequence[EvaluationResult]) -> pd.DataFrame:
    """Sort results by evaluation set and macro AUROC; the best of each set is its champion."""
    rows = [
        {
            "evaluation_set": result.evaluation_set,
            "checkpoint": result.checkpoint,
            "macro_auroc": result.macro["auroc"],
            "macro_auroc_low": result.macro["auroc_low"],
            "macro_auroc_high": result.macro["auroc_high"],
            "macro_auprc": result.macro["auprc"],
            "defined_labels": int(result.labels["auroc"].notna().sum()),
            "n_records": result.n_records,
            "n_patients": result.n_patients,
            "is_champion": False,
        }
        for result in results
    ]
    table = pd.DataFrame(rows, columns=[column.name for column in LEADERBOARD.columns])
    table = table.sort_values(
        ["evaluation_set", "macro_auroc", "checkpoint"],
        ascending=[True, False, True],
        ignore_index=True,
    )
    best = ~table["evaluation_set"].duplicated() & table["macro_auroc"].notna()
    return table.assign(is_champion=best)
