"""The declared schema of each table asset, by asset name, and its standard result."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import dagster as dg
import pandas as pd

from ecg_assets.dropped.refused import REFUSED_CHECKPOINTS
from ecg_assets.evaluation import LEADERBOARD
from ecg_assets.evaluation.external.crosswalk import LABEL_CROSSWALK
from ecg_assets.evaluation.label_noise import LABEL_NOISE
from ecg_assets.evaluation.leaderboard import LEADERBOARD_WITH_NUMBERS
from ecg_assets.evaluation.leads import LEAD_DEGRADATION
from ecg_assets.evaluation.matrix.table import EVALUATION_MATRIX
from ecg_assets.evaluation.shift.drift import DRIFT
from ecg_assets.evaluation.shift.slices import SLICE_METRICS
from ecg_assets.labels import DIFFERENCES, EVIDENCE, LABELS, UNMATCHED
from ecg_assets.labels.label_tables import TARGETS
from ecg_assets.lineage import fingerprint_table
from ecg_assets.preprocess import SIGNAL_QUALITY
from ecg_assets.protocols.table import PROTOCOL_TABLE
from ecg_assets.sources import MIRROR_STATUS
from ecg_assets.sources.schema import MACHINE_REPORTS, RECORD_LIST
from ecg_assets.split import SPLIT
from ecg_assets.tables import TableSchema
from ecg_assets.training.finetune.cross_validation import CROSS_VALIDATION
from ecg_assets.training.finetune.experiments import GRID_SEARCH
from ecg_assets.training.finetune.probe_grid import PROBE_GRID
from ecg_assets.training.finetune.repetition import REPEATED_TRAININGS

TABLES: dict[str, TableSchema] = {
    "record_list": RECORD_LIST,
    "machine_reports": MACHINE_REPORTS,
    "mirror_status": MIRROR_STATUS,
    "labels": LABELS,
    "label_evidence": EVIDENCE,
    "unmatched_statements": UNMATCHED,
    "upstream_labels": LABELS,
    "label_differences": DIFFERENCES,
    "split": SPLIT,
    "signal_quality": SIGNAL_QUALITY,
    "leaderboard": LEADERBOARD,
    "slice_metrics": SLICE_METRICS,
    "label_noise": LABEL_NOISE,
    "drift": DRIFT,
    "label_crosswalk": LABEL_CROSSWALK,
    "lead_degradation": LEAD_DEGRADATION,
    "cross_validation": CROSS_VALIDATION,
    "grid_search": GRID_SEARCH,
    "probe_grid": PROBE_GRID,
    "repeated_trainings": REPEATED_TRAININGS,
    "evaluation_matrix": EVALUATION_MATRIX,
    "protocol_table": PROTOCOL_TABLE,
    "refused_checkpoints": REFUSED_CHECKPOINTS,
}


MEASURES_LABELS = "It measures labels, and here are numbers (a label set of `targets`)."
"""Why an asset writes nothing of a checkpoint, or label set, of numbers."""

_OF_NUMBERS = {"labels": TARGETS, "leaderboard": LEADERBOARD_WITH_NUMBERS}
"""Tables that have other columns where a label set is of numbers."""


def schema_of(asset: str, columns: Collection[str]) -> TableSchema:
    """Give the schema of an asset's table: its own, or where it holds numbers the one of these."""
    schema = _OF_NUMBERS.get(asset)
    if schema is not None and set(columns) == {column.name for column in schema.columns}:
        return schema
    return TABLES[asset]


def table_result(
    asset: str, frame: pd.DataFrame, metadata: Mapping[str, Any] | None = None
) -> dg.MaterializeResult[pd.DataFrame]:
    """Wrap a table asset's frame with its content as data version; its schema is shown last."""
    schema = schema_of(asset, frame.columns)
    return dg.MaterializeResult(
        asset_key=asset,
        value=frame,
        data_version=dg.DataVersion(fingerprint_table(schema.from_pandas(frame))),
        metadata={
            "dagster/row_count": len(frame),
            **(metadata or {}),
            "dagster/column_schema": dg.TableSchema(
                [
                    dg.TableColumn(
                        c.name,
                        str(c.type),
                        description=c.meaning,
                        constraints=dg.TableColumnConstraints(nullable=c.nullable),
                    )
                    for c in schema.columns
                ]
            ),
        },
    )


def table_metadata(frame: pd.DataFrame) -> dg.TableMetadataValue:
    """Show a small table of counts in the UI; never rows about patients."""
    return dg.MetadataValue.table(
        [
            dg.TableRecord({str(name): _plain(value) for name, value in row.items()})
            for row in frame.to_dict("records")
        ],
        # Dagster infers it from the rows, and there may be none.
        schema=None
        if len(frame)
        else dg.TableSchema([dg.TableColumn(str(name)) for name in frame.columns]),
    )


def _plain(value: Any) -> str | int | float | bool | None:
    """Turn a numpy scalar into the Python value that Dagster's tables take."""
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, float):
        return None if math.isnan(plain) else round(plain, 4)
    return plain if isinstance(plain, str | int | bool) or plain is None else str(plain)
