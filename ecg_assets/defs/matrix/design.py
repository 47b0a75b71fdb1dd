"""The evaluation matrix of a deployment: its design, and the partitions that follow from it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

import dagster as dg
from dagster import BetaWarning

from ecg_assets.defs.resources import Settings
from ecg_assets.errors import SettingsError
from ecg_assets.evaluation.matrix.design import (
    FIXED_FIELDS,
    FULL,
    MatrixDesign,
    MatrixModel,
    is_name,
)
from ecg_assets.evaluation.matrix.design_file import name_label_set, read_design
from ecg_assets.finetune.presets import PRESETS, tiny_presets
from ecg_assets.finetune.recipe import Recipe
from ecg_assets.sources import SOURCE_NAMES

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
        if FULL in design.methods and recipe.needs_pretrained and not model.checkpoint:
            raise SettingsError(
                f"models.{model.name}: preset {model.preset!r} leaves weights untrained, which "
                "must not be random ones. Name a checkpoint, or take another preset (ECG_MATRIX)."
            )
    return design


def recipe_of(design: MatrixDesign, model: MatrixModel) -> Recipe:
    """Give the recipe of a model: its preset's, with what all cells have in common.

    Raises
    ------
    SettingsError
        When the preset does not allow the design's changes.
    """
    common = {"method": "full", "head_epochs": 0, "objective": "multi-label"}
    try:
        recipe: Recipe = replace(
            PRESETS[model.preset], **{**common, **design.changes, "reports_test": False}
        )
    except (ValueError, TypeError) as error:
        raise SettingsError(
            f"changes do not fit models.{model.name}, preset {model.preset!r}: {error} Change "
            "what every preset of the matrix allows (ECG_MATRIX)."
        ) from error
    return recipe


def embedding_partitions(design: MatrixDesign) -> dg.MultiPartitionsDefinition:
    """Partition frozen embeddings by model and source."""
    names = [model.name for model in design.models]
    return _two_dimensions({MODEL: names, SOURCE: design.sources})


def cell_partitions(design: MatrixDesign) -> dg.MultiPartitionsDefinition:
    """Partition cells by model with method, and by source with label set."""
    return _two_dimensions({ROW: design.rows, COLUMN: design.columns})


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
    with warnings.catch_warnings():
        # In beta since 1.5; the graph's test holds what it maps.
        warnings.simplefilter("ignore", BetaWarning)
        return dg.MultiPartitionMapping(
            {
                MODEL: dg.DimensionPartitionMapping(ROW, dg.StaticPartitionMapping(rows)),
                SOURCE: dg.DimensionPartitionMapping(COLUMN, dg.StaticPartitionMapping(columns)),
            }
        )


def _read(settings: Settings) -> MatrixDesign:
    if not settings.matrix:
        return _default(settings)
    return read_design(
        Path(settings.matrix).expanduser(),
        presets=tuple(PRESETS),
        sources=SOURCE_NAMES,
        recipe_fields=[item.name for item in fields(Recipe) if item.name not in FIXED_FIELDS],
    )


def _default(settings: Settings) -> MatrixDesign:
    """Take a tiny preset of each family, the current source and the current labels."""
    return MatrixDesign(
        models=tuple(MatrixModel(name, name) for name in tiny_presets().values() if is_name(name)),
        sources=(settings.source,),
        label_sets={name_label_set(settings.label_set): settings.label_set},
    )


def _two_dimensions(keys: Mapping[str, Sequence[str]]) -> dg.MultiPartitionsDefinition:
    return dg.MultiPartitionsDefinition(
        {name: dg.StaticPartitionsDefinition(list(found)) for name, found in keys.items()}
    )
