"""The same training with several seeds on shares of the patients: test metrics, mean and spread."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow as pa

from ecg_assets.figures import ACCENT, INK, make_figure, to_png
from ecg_assets.metrics.metrics import MACRO, tabulate_missing
from ecg_assets.models.predictions import Predictions
from ecg_assets.tables import Column, TableSchema
from ecg_assets.training.finetune.cross_validation import ALL, MEAN, SD, combine_folds

FRACTIONS, SEEDS = (0.01, 0.1, 1.0), (1, 2, 3, 4, 5)
"""Shares of the training patients that the field reports, and seeds of each."""

Run = tuple[float, int]
"""Share of the training patients, and seed."""

REPEATED_TRAININGS = TableSchema(
    "repeated_trainings",
    (
        Column("train_fraction", pa.float64(), "share of the training patients"),
        Column("seed", pa.string(), f"seed; {MEAN} or {SD} (n - 1) over seeds"),
        Column(
            "label",
            pa.string(),
            f"label; {MACRO}: mean over the labels that the test split defines; {ALL}: of the "
            "accuracy",
        ),
        Column("metric", pa.string(), "auroc or auprc; f1 and accuracy of exclusive labels"),
        Column("value", pa.float64(), "its value; empty where undefined", nullable=True),
        Column("n", pa.int64(), "recordings of the test split; 0: not trained"),
        Column("n_pos", pa.int64(), f"positive ones; of {MACRO} and {ALL} the sum over labels"),
        Column("n_seeds", pa.int64(), "seeds behind the value"),
        Column("undefined", pa.string(), "why there is no value", nullable=True),
    ),
)


def combine_repetitions(
    runs: Mapping[Run, Predictions], missing: Mapping[Run, str], *, exclusive: bool
) -> pd.DataFrame:
    """Measure each training on the test split, then the seeds of each share together.

    Parameters
    ----------
    runs
        Scores of the test split, of the same recordings in each.
    missing
        Why another training has none.
    exclusive
        Whether labels exclude one another.

    Returns
    -------
    DataFrame
        `REPEATED_TRAININGS`, shares in ascending order. A training that is missing has one row,
        with the reason.

    Raises
    ------
    ValueError
        When no training is given, or two were measured on other recordings.
    """
    if not runs:
        raise ValueError("runs is empty; expected one training at least.")
    if len({tuple(run.record_ids) for run in runs.values()}) > 1:
        raise ValueError("The trainings were measured on other recordings; train them again.")
    tables = []
    for fraction in sorted({share for share, _ in (*runs, *missing)}):
        found = {str(seed): run for (share, seed), run in runs.items() if share == fraction}
        lacking = {str(seed): why for (share, seed), why in missing.items() if share == fraction}
        table = _combine(found, lacking, exclusive=exclusive)
        tables.append(table.assign(train_fraction=fraction))
    columns = [column.name for column in REPEATED_TRAININGS.columns]
    return pd.concat(tables, ignore_index=True)[columns]


def _combine(
    found: Mapping[str, Predictions], lacking: Mapping[str, str], *, exclusive: bool
) -> pd.DataFrame:
    """Give the rows of one share."""
    names = {"fold": "seed", "n_folds": "n_seeds"}
    if not found:
        absent = [tabulate_missing(["auroc"], why).assign(seed=s) for s, why in lacking.items()]
        return pd.concat(absent).assign(n_seeds=0)
    table = combine_folds(found, lacking, exclusive=exclusive, called="seed").rename(columns=names)
    # All seeds are measured on the same recordings, which count once.
    together = table["seed"].isin((MEAN, SD)) & (table["n_seeds"] > 0)
    for column in ("n", "n_pos"):
        table.loc[together, column] //= table.loc[together, "n_seeds"]
    return table


def summarize_repetitions(table: pd.DataFrame) -> pd.DataFrame:
    """One row a share, label and metric: ``train_fraction, label, metric, mean, sd, n_seeds``."""
    keys = ["train_fraction", "label", "metric"]
    mean, sd = (table[table["seed"] == name] for name in (MEAN, SD))
    joined = mean.merge(
        sd[[*keys, "value"]], on=keys, suffixes=("", "_sd"), validate="one_to_one"
    ).rename(columns={"value": "mean", "value_sd": "sd"})
    return joined[[*keys, "mean", "sd", "n_seeds"]]


def draw_repetitions(table: pd.DataFrame) -> bytes:
    """Draw the macro AUROC by share of the training patients: a dot a seed, mean and spread.

    Parameters
    ----------
    table
        As `REPEATED_TRAININGS` declares.
    """
    is_macro = (table["label"] == MACRO) & (table["metric"] == "auroc") & (table["n"] > 0)
    macro = table[is_macro].dropna(subset="value")
    dots = macro[~macro["seed"].isin((MEAN, SD))]
    values = macro.pivot(index="train_fraction", columns="seed", values="value").sort_index()
    values = values.reindex(columns=sorted({*values.columns, MEAN, SD}))
    figure, [[axes]] = make_figure(5, 3.4, lines="y")
    axes.plot(dots["train_fraction"], dots["value"], "o", color=ACCENT, alpha=0.6, label="seed")
    axes.errorbar(
        values.index,
        values[MEAN],
        yerr=np.nan_to_num(values[SD].to_numpy(float)),
        color=INK,
        capsize=3,
        label="mean and standard deviation",
    )
    shares = sorted(table["train_fraction"].unique())
    axes.set_xscale("log")
    axes.margins(0.08)
    axes.set_xticks(shares, [f"{100 * share:g} %" for share in shares])
    axes.minorticks_off()
    axes.set_xlabel("training patients")
    axes.set_ylabel("macro AUROC, test")
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return to_png(figure)
