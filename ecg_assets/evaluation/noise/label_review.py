"""The list of suspicious labels, ready for a reviewer."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ecg_assets.evaluation.noise.label_noise import NO_LINE
from ecg_assets.evaluation.noise.planted_flips import TOP_SHARE
from ecg_assets.storage import replace_file

LIKELY = 0.5
"""Above it a label is more likely wrong than right, by what its report and its model say."""


def write_review_list(table: pd.DataFrame, path: Path, *, n_rows: int = 500) -> None:
    """Write the most suspicious labels as CSV with empty columns for a reviewer's judgement.

    Parameters
    ----------
    table
        As `LABEL_NOISE` declares, by rank.
    path
        The file; ``decision`` (right, wrong, unclear), ``reviewer`` and ``remark`` are empty.
    n_rows
        Of the file, at most.
    """
    chosen = table.head(n_rows).assign(decision="", reviewer="", remark="")
    with replace_file(path) as temporary:
        chosen.to_csv(temporary, index=False, lineterminator="\n")


def count_suspects(table: pd.DataFrame) -> pd.DataFrame:
    """Count the suspicious labels, without a word of their reports.

    Returns
    -------
    DataFrame
        ``label, value, pairs`` (all that were judged), ``top`` (in the first `TOP_SHARE` of the
        list) and ``likely_wrong`` (suspicion above `LIKELY`), most in the top first.
    """
    columns = ["label", "value", "pairs", "top", "likely_wrong"]
    if table.empty:
        return pd.DataFrame(columns=columns)
    flags = table[["label", "value"]].assign(
        pairs=1,
        top=(table["rank"] <= TOP_SHARE * len(table)).astype(int),
        likely_wrong=(table["suspicion"] > LIKELY).astype(int),
    )
    counts = flags.groupby(["label", "value"], as_index=False).sum()
    return counts.sort_values(["top", "label", "value"], ascending=[False, True, True])[columns]


def caption_suspect(row: pd.Series) -> str:
    """Say what the model doubts, without an id and without the report's words.

    >>> caption_suspect(pd.Series({"label": "Atrial flutter", "value": 1, "rule": "probable",
    ...     "score": 0.08, "suspicion": 0.85}))
    'Atrial flutter: labelled present (probable), score 0.08, suspicion 0.85'
    """
    state = "present" if row["value"] else "absent"
    reason = "no line" if row["rule"] == NO_LINE else row["rule"]
    return (
        f"{row['label']}: labelled {state} ({reason}), score {row['score']:.2f}, "
        f"suspicion {row['suspicion']:.2f}"
    )
