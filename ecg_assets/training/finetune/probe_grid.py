"""A grid of linear probes: its table, the best of it, its picture, and what to do with it.

They are trained by `ecg_assets.training.finetune.head_grid`, and never measured on the test split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ecg_assets.errors import EcgAssetsError, SettingsError
from ecg_assets.figures import INK, SERIES, make_figure, to_png
from ecg_assets.tables import Column, TableSchema
from ecg_assets.training.finetune.experiments import VALIDATED
from ecg_assets.training.finetune.recipe import Recipe

PROBE_GRID = TableSchema(
    "probe_grid",
    (
        Column("learning_rate", pa.float64(), "learning rate, constant"),
        Column("weight_decay", pa.float64(), "AdamW's; the bias does not decay"),
        Column("seed", pa.int64(), "seed of the head's initial weights and of the order"),
        *VALIDATED,
        Column(
            "is_best",
            pa.bool_(),
            "whether rate and decay have the lowest mean validation loss over the seeds",
        ),
        Column("undefined", pa.string(), "why there is no number", nullable=True),
    ),
)

AS_TRAINED: Mapping[str, Any] = {
    "method": "linear-probe",
    "optimizer": "adamw",
    "schedule": "constant",
    "warmup_fraction": 0.0,
    "gradient_accumulation": 1,
    "max_gradient_norm": 0.0,
    "patience": 0,
}
"""What of a recipe all heads of a grid have, whatever the preset says."""
_GRID = ["learning_rate", "weight_decay"]
_MEASURED = {"valid_loss": "validation loss", "valid_macro_auroc": "validation macro AUROC"}


def require_grid(
    recipe: Recipe,
    learning_rates: Sequence[float],
    weight_decays: Sequence[float],
    seeds: Sequence[int],
) -> None:
    """Refuse what no grid of probes can be trained by.

    Raises
    ------
    SettingsError
        When labels exclude one another or are numbers; or a list is empty, names a value twice, or
        has one out of range.
    """
    if recipe.objective != "multi-label":
        raise SettingsError(
            f"The objective of the preset is {recipe.objective!r}, and a grid of probes trains "
            "labels that may stand together. Choose another preset, or use grid_checkpoint with "
            "method: linear-probe."
        )
    given = {"learning_rates": learning_rates, "weight_decays": weight_decays, "seeds": seeds}
    for name, values in given.items():
        if not values or len(set(values)) < len(values):
            raise SettingsError(
                f"{name} is {list(values)}; give at least one value, and each once."
            )
    if min(seeds) < 0:
        raise SettingsError(f"seeds is {list(seeds)}; each must be 0 or more.")
    for name, values in (("learning_rate", learning_rates), ("weight_decay", weight_decays)):
        for value in values:
            try:
                recipe.changed(**{name: value})
            except ValueError as error:
                raise SettingsError(f"{name}s is {list(values)}: {error}") from None


def rank_probes(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Put heads side by side, by rate, decay and seed, and mark the best rate and decay.

    Parameters
    ----------
    rows
        As `measure_probes` gives them.

    Returns
    -------
    DataFrame
        `PROBE_GRID`. The best have the lowest mean validation loss over all seeds; of equal ones
        the lowest rate, then the lowest decay.

    Raises
    ------
    EcgAssetsError
        When no rate and decay has a loss of every seed.
    """
    table = pd.DataFrame(rows).sort_values([*_GRID, "seed"], ignore_index=True)
    table = table.astype({**dict.fromkeys(_MEASURED, float), "best_epoch": "Int64"})
    mean = _mean_over_seeds(table, "valid_loss")["mean"]
    if mean.isna().all():
        raise EcgAssetsError(
            "No learning rate and weight decay has a finite validation loss of every seed: "
            f"{', '.join(sorted(set(table['undefined'].dropna())))}. Try lower learning rates; "
            "where that does not help, the encoder's features are not finite."
        )
    is_best = pd.MultiIndex.from_frame(table[_GRID]) == mean.idxmin()
    return table.assign(is_best=is_best)[[column.name for column in PROBE_GRID.columns]]


def summarize_probes(table: pd.DataFrame) -> pd.DataFrame:
    """Give a row a rate and decay: mean and standard deviation (n - 1) over the seeds."""
    found = table.groupby(_GRID)[["is_best"]].first().reset_index()
    for name in _MEASURED:
        over = _mean_over_seeds(table, name).reset_index(drop=True)
        found[name], found[f"{name}_sd"] = over["mean"], over["std"]
    return found


def advise(table: pd.DataFrame, recipe: Recipe) -> str:
    """Say what to set to train the best head as a checkpoint, and whether to look further.

    Parameters
    ----------
    table
        As `PROBE_GRID` declares.
    recipe
        What the heads were trained by.
    """
    best = table[table["is_best"]].iloc[0]
    rate, rates = best["learning_rate"], table["learning_rate"]
    values = {
        **AS_TRAINED,
        "learning_rate": float(rate),
        "weight_decay": float(best["weight_decay"]),
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
    }
    text = (
        f"Set learning_rate: {rate:g} for method: linear-probe. The run's configuration of "
        "finetuned_checkpoint that trains as the grid did: "
        + ", ".join(f"{name}: {value}" for name, value in values.items())
        + "."
    )
    for end, where in ((rates.min(), "lowest"), (rates.max(), "highest")):
        if rate == end and rates.nunique() > 1:
            beyond = "lower" if where == "lowest" else "higher"
            text += f" It is the {where} rate of the grid: a {beyond} one may be better."
    return text


def draw_probes(table: pd.DataFrame) -> bytes:
    """Draw loss and macro AUROC by learning rate: mean and standard deviation over the seeds.

    Parameters
    ----------
    table
        As `PROBE_GRID` declares.
    """
    figure, [panels] = make_figure(8, 3.6, n_columns=2, lines="y")
    best = table[table["is_best"]].iloc[0]
    decays = sorted(table["weight_decay"].unique())
    for axes, (name, title) in zip(panels, _MEASURED.items(), strict=True):
        for number, decay in enumerate(decays):
            over = _mean_over_seeds(table[table["weight_decay"] == decay], name)
            axes.errorbar(
                over.index.get_level_values("learning_rate"),
                over["mean"],
                yerr=np.nan_to_num(over["std"].to_numpy(float)),
                color=SERIES[number % len(SERIES)],
                marker="o",
                capsize=3,
                label=f"weight decay {decay:g}",
            )
        axes.axvline(best["learning_rate"], color=INK, linewidth=1, linestyle=":")
        axes.set_xscale("log")
        axes.set_xlabel("learning rate")
        axes.set_ylabel(title)
    panels[0].set_title("mean and standard deviation over seeds; dotted: best rate", fontsize=9)
    panels[1].legend(frameon=False, fontsize=8)
    return to_png(figure)


def _mean_over_seeds(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Mean and deviation of each rate and decay; NaN where a seed has no number."""
    groups = table.groupby(_GRID)[name]
    is_whole = groups.count() == groups.size()
    found = {"mean": groups.mean().where(is_whole), "std": groups.std().where(is_whole)}
    return pd.DataFrame(found)
