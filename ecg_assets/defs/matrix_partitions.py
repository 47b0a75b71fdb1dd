"""The evaluation matrix of a deployment: its design, and the partitions that follow from it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
from dagster import BetaWarning

from ecg_assets.defs.partitions import ONE_TRAINING_A_RUN
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.show import metrics_metadata, png_metadata
from ecg_assets.defs.tables import table_metadata
from ecg_assets.errors import SettingsError
from ecg_assets.evaluation.matrix.design import (
    ATTENTION_PROBE,
    FIXED_FIELDS,
    FULL,
    Cell,
    MatrixDesign,
    MatrixModel,
    is_name,
    name_label_set,
    read_design,
)
from ecg_assets.evaluation.matrix.stored import MissingCell, StoredCell
from ecg_assets.evaluation.matrix.table import BEST, draw_matrix
from ecg_assets.metrics.metrics import pick_macro
from ecg_assets.sources import datasets
from ecg_assets.sources.ecgbench import PREFIX, served
from ecg_assets.training.finetune.presets import PRESETS, tiny_presets
from ecg_assets.training.finetune.recipe import RATES, Recipe

MODEL, SOURCE = "model", "source"
"""Dimensions of the embeddings' partitions."""
ROW, COLUMN = "model_method", "source_labels"
"""Dimensions of the cells' partitions."""


def design_of(settings: Settings) -> MatrixDesign:
    """Read the file that ECG_MATRIX names; without one, compare the tiny presets.

    Raises
    ------
    SettingsError
        When the file cannot be understood, or a model's recipe does not allow its changes.
    """
    design = _read(settings)
    for model in design.models:
        recipe = recipe_of(design, model)
        if ATTENTION_PROBE in design.methods:
            recipe_of(design, model, ATTENTION_PROBE)
        if FULL in design.methods and recipe.needs_pretrained and not model.checkpoint:
            raise SettingsError(
                f"models.{model.name}: preset {model.preset!r} leaves weights untrained, which "
                "must not be random ones. Name a checkpoint, or take another preset (ECG_MATRIX)."
            )
    return design


def recipe_of(design: MatrixDesign, model: MatrixModel, method: str = FULL) -> Recipe:
    """Give the recipe of a model: its preset's, with what all cells have in common.

    `method` is that of a cell that is trained. A frozen encoder of a model without a checkpoint is
    a random one, which the recipe then says.

    Raises
    ------
    SettingsError
        When the preset does not allow the design's changes.
    """
    common = {"head_epochs": 0, "objective": "multi-label", "random_encoder": False}
    own: dict[str, Any] = {"method": method, "reports_test": False}
    if method == ATTENTION_PROBE:
        # Rates of the encoder's layers are for those who train it.
        own |= {**dict.fromkeys(RATES, 1.0), "random_encoder": not model.checkpoint}
        if not model.checkpoint:
            own["freeze_convolutions"] = False
    try:
        recipe: Recipe = PRESETS[model.preset].changed(**{**common, **design.changes, **own})
    except ValueError as error:
        raise SettingsError(
            f"changes do not fit models.{model.name}, preset {model.preset!r}: {error} Change "
            "what every preset of the matrix allows (ECG_MATRIX)."
        ) from error
    return recipe


def embedding_partitions(design: MatrixDesign) -> dg.MultiPartitionsDefinition:
    """Partition frozen embeddings by model and source."""
    names = [model.name for model in design.models]
    return two_dimensions({MODEL: names, SOURCE: design.sources})


def cell_partitions(design: MatrixDesign) -> dg.MultiPartitionsDefinition:
    """Partition cells by model with method, and by source with label set."""
    return two_dimensions({ROW: design.rows, COLUMN: design.columns})


def cells_of_embeddings(design: MatrixDesign) -> dg.MultiPartitionMapping:
    """Map each model's embeddings of a source to the cells of that model and source.

    Cells that are fine-tuned read none. They are mapped, too: a backfill that starts from the
    embeddings' partitions then covers the whole matrix.
    """
    rows = {
        model.name: [f"{model.name}/{method}" for method in design.methods]
        for model in design.models
    }
    columns = {
        source: [f"{source}/{labels}" for labels in design.label_sets] for source in design.sources
    }
    return map_dimensions({MODEL: (ROW, rows), SOURCE: (COLUMN, columns)})


def map_dimensions(
    keys: Mapping[str, tuple[str, Mapping[str, Sequence[str]]]],
) -> dg.MultiPartitionMapping:
    """Map each dimension of partitions to one of what reads them, key to keys."""
    with warnings.catch_warnings():
        # In beta since 1.5; the graph's test holds what it maps.
        warnings.simplefilter("ignore", BetaWarning)
        return dg.MultiPartitionMapping(
            {
                name: dg.DimensionPartitionMapping(
                    other, dg.StaticPartitionMapping({k: list(v) for k, v in found.items()})
                )
                for name, (other, found) in keys.items()
            }
        )


def computed_asset(
    group: str, partitions: dg.MultiPartitionsDefinition, kind: str, deps: list[dg.AssetDep]
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Make the decorator of an asset that loads a model for one partition a run."""
    return dg.asset(
        group_name=group,
        partitions_def=partitions,
        backfill_policy=ONE_TRAINING_A_RUN,
        pool="gpu",
        code_version="1",
        kinds={"pytorch", kind},
        deps=deps,
    )


def keys_of(context: dg.AssetExecutionContext) -> dict[str, str]:
    """Give the partition of a run by dimension."""
    key = context.partition_key
    if not isinstance(key, dg.MultiPartitionKey):
        raise TypeError(f"Partition {key!r} has one dimension; expected two.")
    return dict(key.keys_by_dimension)


def _read(settings: Settings) -> MatrixDesign:
    if not settings.matrix:
        return _default(settings)
    return read_design(
        Path(settings.matrix).expanduser(),
        presets=tuple(PRESETS),
        sources=(*datasets(), *(f"{PREFIX}{slug}" for slug in served())),
        recipe_fields=[name for name in Recipe.settings() if name not in FIXED_FIELDS],
    )


def _default(settings: Settings) -> MatrixDesign:
    """Take a tiny preset of each family, the current source and the current labels."""
    return MatrixDesign(
        models=tuple(MatrixModel(name, name) for name in tiny_presets().values() if is_name(name)),
        sources=(settings.source,),
        label_sets={name_label_set(settings.label_set): settings.label_set},
    )


def two_dimensions(keys: Mapping[str, Iterable[str]]) -> dg.MultiPartitionsDefinition:
    """Partition by two dimensions, by their keys."""
    return dg.MultiPartitionsDefinition(
        {name: dg.StaticPartitionsDefinition(list(found)) for name, found in keys.items()}
    )


# What the UI shows of the evaluation matrix and of one cell of it.


def cell_metadata(stored: StoredCell) -> dict[str, Any]:
    """Describe one cell."""
    facts = stored.facts
    details = {
        name: table_metadata(pd.DataFrame(value)) if isinstance(value, list) else value
        for name, value in facts.details.items()
    }
    return {
        "weights": facts.weights,
        "seen_before": facts.seen_before or "random weights have seen nothing",
        "weights_sha256": facts.weights_sha256,
        **details,
        **metrics_metadata(stored.result),
        "labels_without_numbers": dict(stored.result.undefined),
    }


def matrix_metadata(
    table: pd.DataFrame, cells: Mapping[Cell, StoredCell | MissingCell]
) -> dict[str, Any]:
    """Describe all cells: macro AUROC with intervals as a table and as a picture."""
    return {
        "macro_auroc": dg.MetadataValue.md(matrix_markdown(table)),
        "picture": png_metadata(draw_matrix(table), "macro AUROC of each cell"),
        "missing_cells": {
            f"{cell.row} by {cell.column}": found.reason
            for cell, found in cells.items()
            if isinstance(found, MissingCell)
        },
    }


def matrix_markdown(table: pd.DataFrame) -> str:
    """Write the macro AUROC of each cell, a row a model and method, the best in bold."""
    shown = pick_macro(table)
    columns = list(dict.fromkeys(zip(shown["source"], shown["label_set"], strict=True)))
    lines = [
        "| model | method | " + " | ".join(f"{s}, {t}" for s, t in columns) + " |",
        "| --- | --- |" + " --- |" * len(columns),
    ]
    for (model, method), rows in shown.groupby(["model", "method"], sort=False):
        text = {(row["source"], row["label_set"]): _cell_text(row) for _, row in rows.iterrows()}
        name = f"{model} ({rows['weights'].iloc[0]})"
        lines.append(f"| {name} | {method} | " + " | ".join(text[c] for c in columns) + " |")
    return "\n".join(lines)


def _cell_text(row: pd.Series[Any]) -> str:
    if not math.isfinite(row["value"]):
        return "missing" if row["verdict"] == "missing" else "undefined"
    text = f"{row['value']:.3f}"
    if math.isfinite(row["low"]):
        text += f" [{row['low']:.3f}, {row['high']:.3f}]"
    return f"**{text}**" if row["verdict"] == BEST else text
