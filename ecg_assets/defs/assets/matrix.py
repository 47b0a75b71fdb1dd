"""Stage matrix: several models on several sources and label sets, trained alike and compared."""

import dagster as dg
import pandas as pd
from dagster import AssetExecutionContext

from ecg_assets.defs.assets.evaluation import IntervalsConfig
from ecg_assets.defs.design_models import embed_source
from ecg_assets.defs.matrix import (
    DeployedMatrix,
    collect_cells,
    evaluate_cell,
    resamples_of,
)
from ecg_assets.defs.matrix_partitions import (
    COLUMN,
    MODEL,
    ROW,
    SOURCE,
    cell_metadata,
    cell_partitions,
    cells_of_embeddings,
    computed_asset,
    design_of,
    embedding_partitions,
    keys_of,
    matrix_metadata,
)
from ecg_assets.defs.partitions import AFTER_ALL_SHARDS
from ecg_assets.defs.resources import Trainer
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.tables import table_result
from ecg_assets.defs.training_requests import run_training
from ecg_assets.evaluation.matrix.design import MatrixDesign
from ecg_assets.evaluation.matrix.stored import write_cell
from ecg_assets.evaluation.matrix.table import tabulate_matrix
from ecg_assets.lineage import fingerprint_json

_TABLES_OF_A_CELL = [dg.AssetDep(name) for name in ("record_list", "machine_reports", "split")]


def build_assets(design: MatrixDesign) -> list[dg.AssetsDefinition]:
    """Build the assets of a matrix: their partitions are its models, sources and label sets."""
    embeddings = dg.AssetDep("frozen_embeddings", partition_mapping=cells_of_embeddings(design))
    embedded = computed_asset("matrix", embedding_partitions(design), "parquet", [AFTER_ALL_SHARDS])
    measured = computed_asset(
        "matrix",
        cell_partitions(design),
        "scikitlearn",
        [embeddings, AFTER_ALL_SHARDS, *_TABLES_OF_A_CELL],
    )
    table = dg.asset(
        group_name="matrix",
        io_manager_key="parquet",
        code_version="1",
        kinds={"parquet"},
        deps=["matrix_cell"],
    )
    return [embedded(frozen_embeddings), measured(matrix_cell), table(evaluation_matrix)]


def frozen_embeddings(
    context: AssetExecutionContext, settings: Settings, trainer: Trainer
) -> dg.MaterializeResult[None]:
    """Features of each stored recording of a source by a model as it is before any training.

    Made once for a model and a source, and read by the logistic regressions of every label set.
    """
    names = keys_of(context)
    matrix = DeployedMatrix(settings, design_of(settings))
    model = matrix.design.find_model(names[MODEL])
    embedded = trainer.computing(context, settings)(
        embed_source,
        matrix.model(model),
        matrix.stored(names[SOURCE]),
        matrix.embeddings(model.name, names[SOURCE]),
    )
    return dg.MaterializeResult(
        data_version=dg.DataVersion(embedded.inputs.sha256),
        metadata={
            "path": dg.MetadataValue.path(embedded.path),
            "dagster/row_count": embedded.n_records,
            "without_segment_or_signal": embedded.n_without,
            "is_reused": embedded.is_reused,
            "weights": matrix.model(model).describe(),
            "encoder": embedded.inputs.encoder,
            "start": embedded.inputs.start,
        },
    )


def matrix_cell(
    context: AssetExecutionContext, config: IntervalsConfig, settings: Settings, trainer: Trainer
) -> dg.MaterializeResult[None]:
    """One model, trained in one way for one label set on one source, on its test split.

    A logistic regression reads frozen_embeddings; a fine-tuned cell reads none of them, and resumes
    where it was interrupted.
    """
    names = keys_of(context)
    matrix = DeployedMatrix(settings, design_of(settings))
    cell = matrix.design.find_cell(names[ROW], names[COLUMN])
    stored = evaluate_cell(
        matrix,
        cell,
        lambda request: run_training(context, settings, trainer, request),
        trainer.computing(context, settings),
        n_resamples=config.n_resamples,
    )
    folder = write_cell(matrix.cells, stored)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint_json(stored.result.to_json())),
        metadata={"folder": dg.MetadataValue.path(folder), **cell_metadata(stored)},
    )


def evaluation_matrix(
    context: AssetExecutionContext, settings: Settings
) -> dg.MaterializeResult[pd.DataFrame]:
    """All cells side by side, with intervals, and paired differences from the best of each column.

    A cell that was not evaluated is listed as missing, with the reason.
    """
    matrix = DeployedMatrix(settings, design_of(settings))
    cells = collect_cells(matrix)
    table = tabulate_matrix(cells, n_resamples=resamples_of(cells), seed=settings.seed)
    shown = matrix_metadata(table, cells)
    if shown["missing_cells"]:
        context.log.warning(f"{len(shown['missing_cells'])} of {len(cells)} cells are missing.")
    return table_result("evaluation_matrix", table, shown)
