"""All evaluated checkpoints side by side, and which of them is the champion of its set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.tables import Column, TableSchema

_ENDS = "end of its 95 % interval; empty where the macro mean is over other labels too"

LEADERBOARD = TableSchema(
    "leaderboard",
    (
        Column("evaluation_set", pa.string(), "what the checkpoint was evaluated on"),
        Column("checkpoint", pa.string(), "the checkpoint's partition"),
        Column("rank", pa.int64(), "place in its set by macro AUROC, from 1; ties by name"),
        Column("macro_auroc", pa.float64(), "mean over the compared labels", nullable=True),
        Column("macro_auroc_low", pa.float64(), f"lower {_ENDS}", nullable=True),
        Column("macro_auroc_high", pa.float64(), f"upper {_ENDS}", nullable=True),
        Column("macro_auprc", pa.float64(), "mean over the compared labels", nullable=True),
        Column("macro_auprc_low", pa.float64(), f"lower {_ENDS}", nullable=True),
        Column("macro_auprc_high", pa.float64(), f"upper {_ENDS}", nullable=True),
        Column("macro_brier", pa.float64(), "mean over the compared labels", nullable=True),
        Column("macro_ece", pa.float64(), "mean over the compared labels", nullable=True),
        Column("difference", pa.float64(), "macro AUROC minus the champion's", nullable=True),
        Column("difference_low", pa.float64(), "lower end, paired by patient", nullable=True),
        Column("difference_high", pa.float64(), "upper end, paired by patient", nullable=True),
        Column(
            "verdict",
            pa.string(),
            "champion, worse, not distinguishable (the interval holds 0), better (on the shared "
            "recordings), no interval, not compared",
        ),
        Column("n_labels", pa.int64(), "labels that are defined for all checkpoints of the set"),
        Column("n_records", pa.int64(), "recordings in the set"),
        Column("n_patients", pa.int64(), "patients in the set"),
        Column("is_champion", pa.bool_(), "best macro AUROC of its evaluation set"),
    ),
)

_MEANS = ("auroc", "auprc", "brier", "ece")


def build_leaderboard(
    results: Sequence[EvaluationResult],
    differences: Mapping[tuple[str, str], pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Rank the checkpoints of each evaluation set; the first is its champion.

    Parameters
    ----------
    results
        One a checkpoint and set.
    differences
        Of ``(evaluation set, checkpoint)``: what `compare_predictions` found between it and the
        set's champion (`find_champions`) over the labels of `find_compared_labels`.

    Returns
    -------
    DataFrame
        `LEADERBOARD`, ordered by set and rank.
    """
    rows: list[dict[str, Any]] = []
    for members in _group_by_set(results).values():
        labels = find_compared_labels(members)
        ordered = _order(members, labels)
        champion = _champion_of(ordered, labels)
        for rank, result in enumerate(ordered, start=1):
            key = (result.evaluation_set, result.checkpoint)
            rows.append(
                {
                    "evaluation_set": result.evaluation_set,
                    "checkpoint": result.checkpoint,
                    "rank": rank,
                    **_macro(result, labels),
                    **_difference(result.checkpoint == champion, (differences or {}).get(key)),
                    "n_labels": len(labels),
                    "n_records": result.n_records,
                    "n_patients": result.n_patients,
                    "is_champion": result.checkpoint == champion,
                }
            )
    return pd.DataFrame(rows, columns=[column.name for column in LEADERBOARD.columns])


def find_champions(results: Sequence[EvaluationResult]) -> dict[str, str]:
    """Find each evaluation set's champion: the highest macro AUROC, ties by name.

    The mean is over the labels that are defined for all checkpoints of the set
    (`find_compared_labels`). A set without such a label has no champion.
    """
    champions = {}
    for name, members in _group_by_set(results).items():
        labels = find_compared_labels(members)
        champion = _champion_of(_order(members, labels), labels)
        if champion is not None:
            champions[name] = champion
    return champions


def find_compared_labels(results: Sequence[EvaluationResult]) -> list[str]:
    """List the labels whose AUROC is defined in every result, in the first one's order."""
    defined = [_defined_labels(result) for result in results]
    return [name for name in defined[0] if all(name in other for other in defined)]


def _defined_labels(result: EvaluationResult) -> list[str]:
    return list(result.labels["label"][result.labels["auroc"].notna()])


def _group_by_set(results: Sequence[EvaluationResult]) -> dict[str, list[EvaluationResult]]:
    names = sorted({result.evaluation_set for result in results})
    return {name: [r for r in results if r.evaluation_set == name] for name in names}


def _order(members: Sequence[EvaluationResult], labels: list[str]) -> list[EvaluationResult]:
    def place(result: EvaluationResult) -> tuple[float, str]:
        auroc = _macro(result, labels)["macro_auroc"]
        return (-auroc if np.isfinite(auroc) else np.inf, result.checkpoint)

    return sorted(members, key=place)


def _champion_of(ordered: Sequence[EvaluationResult], labels: list[str]) -> str | None:
    return ordered[0].checkpoint if labels else None


def _macro(result: EvaluationResult, labels: list[str]) -> dict[str, float]:
    """Means over the compared labels; the result's own intervals where they are of these."""
    picked = result.labels[result.labels["label"].isin(labels)]
    found = {f"macro_{name}": float(picked[name].mean()) for name in _MEANS}
    is_same = sorted(labels) == sorted(_defined_labels(result))
    for name in ("auroc", "auprc"):
        for end in ("low", "high"):
            value = result.macro[f"{name}_{end}"] if is_same else np.nan
            found[f"macro_{name}_{end}"] = value
    return found


def _difference(is_champion: bool, table: pd.DataFrame | None) -> dict[str, Any]:
    names = ("difference", "difference_low", "difference_high")
    if is_champion or table is None:
        verdict = "champion" if is_champion else "not compared"
        return {**dict.fromkeys(names, np.nan), "verdict": verdict}
    row = table[(table["label"] == "macro") & (table["metric"] == "auroc")].iloc[0]
    values = (float(row["difference"]), float(row["low"]), float(row["high"]))
    return {**dict(zip(names, values, strict=True)), "verdict": judge_difference(*values[1:])}


def judge_difference(low: float, high: float) -> str:
    """Say in a word what the interval of challenger minus champion means.

    >>> judge_difference(-0.02, -0.01), judge_difference(-0.02, 0.01)
    ('worse', 'not distinguishable')
    """
    if not np.isfinite(low):
        return "no interval"
    if high < 0:
        return "worse"
    return "better" if low > 0 else "not distinguishable"
