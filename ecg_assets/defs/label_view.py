"""What the UI shows of labels, and progress of long labelling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dagster as dg
import pandas as pd
from dagster import AssetExecutionContext

from ecg_assets.defs.pictures import png_metadata
from ecg_assets.defs.resources import Settings
from ecg_assets.defs.tables import table_metadata
from ecg_assets.labels import LabelSet, LabelTables, label_prevalence
from ecg_assets.labels.figures import draw_cooccurrence, draw_prevalence
from ecg_assets.storage import replace_folder

MOST_STATEMENTS, LEAST_COUNT = 20, 10
"""Of unmatched statements the UI shows those that carts print: a person's note occurs once."""


def describe_labels(
    tables: LabelTables, reports: pd.DataFrame, settings: Settings, label_set: LabelSet
) -> dict[str, Any]:
    """Count, list and draw; the pictures are files in ``labels_pictures``, too."""
    labelled = tables.labels["record_id"].nunique()
    of_record = tables.labels.groupby("record_id", observed=True)["value"].max()
    prevalence = label_prevalence(tables.labels)
    common = tables.unmatched[tables.unmatched["count"] >= LEAST_COUNT].head(MOST_STATEMENTS)
    metadata: dict[str, Any] = {
        "records": labelled,
        "records_without_labels": len(reports) - labelled,
        "share_without_positive_label": float((of_record == 0).mean()) if labelled else 0.0,
        "label_set": dg.MetadataValue.json(label_set.to_json()),
        "threshold": settings.label_threshold,
        "prevalence": table_metadata(prevalence),
        "unmatched_statements": table_metadata(common),
    }
    if labelled:
        pictures = {
            "prevalence.png": draw_prevalence(prevalence),
            "cooccurrence.png": draw_cooccurrence(tables.labels, label_set.vocabulary),
        }
        with replace_folder(settings.folder("labels_pictures")) as folder:
            for name, png in pictures.items():
                (folder / name).write_bytes(png)
        metadata["prevalence_chart"] = png_metadata(pictures["prevalence.png"], "prevalence")
        metadata["cooccurrence"] = png_metadata(pictures["cooccurrence.png"], "co-occurrence")
    return metadata


def log_progress(context: AssetExecutionContext, what: str) -> Callable[[int, int], None]:
    """Log how many of how many are done."""
    return lambda done, total: context.log.info(f"{done} of {total} distinct {what} labelled")
