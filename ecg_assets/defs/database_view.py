"""What the UI shows of the databases that a manifest's recordings come from."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pandas as pd

from ecg_assets.build import Manifest
from ecg_assets.defs.pictures import png_metadata
from ecg_assets.defs.resources import Settings
from ecg_assets.defs.tables import table_metadata
from ecg_assets.labels.database_figure import draw_databases
from ecg_assets.labels.label_databases import count_by_database
from ecg_assets.sources.databases import name_databases
from ecg_assets.storage import replace_folder

_TABLE, _PICTURE = "prevalence_by_database.csv", "prevalence_by_database.png"


def count_databases(manifest: Manifest, records: pd.DataFrame) -> pd.DataFrame:
    """Count the positives of a manifest's labels by database, as `count_by_database`."""
    rows = records.merge(manifest.index[["record_id"]], on="record_id", validate="one_to_one")
    databases = name_databases(rows).set_axis(rows["record_id"])
    of_index = databases.loc[manifest.index["record_id"]].tolist()
    return count_by_database(manifest.targets, manifest.vocabulary.names, of_index)


def describe_databases(
    manifest: Manifest, records: pd.DataFrame, settings: Settings
) -> dict[str, Any]:
    """Count and draw where there are several databases; files in ``manifests_pictures``, too."""
    counts = count_databases(manifest, records)
    databases = counts["database"].unique().tolist()
    metadata: dict[str, Any] = {"databases": dg.MetadataValue.json(databases)}
    if len(databases) < 2:
        return metadata
    picture = draw_databases(counts)
    with replace_folder(settings.folder("manifests_pictures")) as folder:
        counts.to_csv(folder / _TABLE, index=False, lineterminator="\n")
        (folder / _PICTURE).write_bytes(picture)
    return {
        **metadata,
        "prevalence_by_database": table_metadata(counts),
        "databases_of_labels": png_metadata(picture, "positives by database"),
    }
