"""How much a model loses with fewer leads, on the same recordings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ecg_assets.evaluation.comparison import compare_predictions
from ecg_assets.evaluation.evaluate import evaluate
from ecg_assets.evaluation.leads.lead_sets import LEAD_SETS
from ecg_assets.models.predictions import Predictions
from ecg_assets.tables import Column, TableSchema

DIFFERENCE = "auroc_difference"
"""AUROC minus that of the configuration with the most leads, paired."""

_NO_AUROC = "the AUROC is undefined"

LEAD_DEGRADATION = TableSchema(
    "lead_degradation",
    (
        Column("leads", pa.string(), "configuration of leads"),
        Column("n_leads", pa.int64(), "leads that are there"),
        Column("label", pa.string(), "label, or macro: the mean over the defined labels"),
        Column(
            "metric",
            pa.string(),
            f"auroc, or {DIFFERENCE}: minus that of the configuration with most leads",
        ),
        Column("value", pa.float64(), "its value; empty where undefined", nullable=True),
        Column("low", pa.float64(), "lower end of the 95 % interval", nullable=True),
        Column("high", pa.float64(), "upper end of the 95 % interval", nullable=True),
        Column("n", pa.int64(), "recordings, the same in all configurations; 0: not run"),
        Column("n_pos", pa.int64(), "positive ones; of macro the sum over its labels"),
        Column("undefined", pa.string(), "why there is no value or interval", nullable=True),
    ),
)


def compare_lead_sets(
    predictions: Mapping[str, Predictions],
    obstacles: Mapping[str, str],
    *,
    n_resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Compute the AUROC with each configuration of leads, and what fewer leads lose.

    Parameters
    ----------
    predictions
        Of the same recordings, by the name of a configuration out of `LEAD_SETS`.
    obstacles
        Why each other configuration cannot be run.
    n_resamples, seed
        Of the bootstrap over patients: the same patients in every configuration.

    Returns
    -------
    pandas.DataFrame
        `LEAD_DEGRADATION`. A configuration that cannot be run has one row, with the reason.
    """
    rows: list[dict[Any, Any]] = []
    most = next((s.name for s in LEAD_SETS if s.name in predictions), None)
    for lead_set in LEAD_SETS:
        named = {"leads": lead_set.name, "n_leads": len(lead_set.leads)}
        if lead_set.name not in predictions:
            rows.append({**named, **_not_run(obstacles.get(lead_set.name, "no predictions"))})
            continue
        scored = predictions[lead_set.name]
        rows += [{**named, **row} for row in _auroc(scored, n_resamples, seed)]
        if most is not None and lead_set.name != most:
            differences = _differences(scored, predictions[most], n_resamples, seed)
            rows += [{**named, **row} for row in differences]
    return pd.DataFrame(rows, columns=[column.name for column in LEAD_DEGRADATION.columns])


def macro_by_lead_set(table: pd.DataFrame) -> pd.DataFrame:
    """Give one row a configuration: ``leads, value, low, high, undefined`` of the macro AUROC."""
    is_macro = (table["label"] == "macro") & (table["metric"] == "auroc")
    columns = ["leads", "value", "low", "high", "undefined"]
    return table.loc[is_macro, columns].reset_index(drop=True)


def _auroc(scored: Predictions, n_resamples: int, seed: int) -> Iterable[dict[Any, Any]]:
    """AUROC of each label and of macro."""
    table = evaluate(
        scored.score,
        scored.target,
        scored.vocabulary.names,
        scored.subject_ids,
        replicates=n_resamples,
        seed=seed,
    )
    wanted = (table["metric"] == "auroc") & table["label"].isin((*scored.vocabulary.names, "macro"))
    return _records(table[wanted])


def _differences(
    scored: Predictions, reference: Predictions, n_resamples: int, seed: int
) -> Iterable[dict[Any, Any]]:
    """AUROC minus that of the reference, of each label and of macro."""
    table = compare_predictions(scored, reference, n_resamples=n_resamples, seed=seed)
    table = table[table["metric"] == "auroc"].rename(columns={"difference": "value"})
    reasons = [None if np.isfinite(value) else _NO_AUROC for value in table["value"]]
    undefined = pd.Series(reasons, index=table.index, dtype=object)
    return _records(table.assign(metric=DIFFERENCE, undefined=undefined))


def _records(table: pd.DataFrame) -> Iterable[dict[Any, Any]]:
    return [dict(row) for row in table.astype(object).to_dict("records")]


def _not_run(reason: str) -> dict[str, Any]:
    """Row of a configuration that cannot be run."""
    empty = dict.fromkeys(("value", "low", "high"), np.nan)
    return {
        "label": "macro",
        "metric": "auroc",
        **empty,
        "n": 0,
        "n_pos": 0,
        "undefined": f"not run: {reason}",
    }
