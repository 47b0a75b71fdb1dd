"""Stage split: patients to train, valid and test."""

from pathlib import Path

import dagster as dg
import pandas as pd

from ecg_assets.defs.resources import Settings
from ecg_assets.defs.tables import table_metadata, table_result
from ecg_assets.errors import SettingsError
from ecg_assets.sources import PtbXl
from ecg_assets.split import (
    count_splits,
    read_meta_split,
    split_by_folds,
    split_by_patient,
    write_meta_split,
)


@dg.asset(
    name="split",
    group_name="split",
    io_manager_key="parquet",
    code_version="1",
    kinds={"parquet"},
)
def patient_split(
    settings: Settings, record_list: pd.DataFrame
) -> dg.MaterializeResult[pd.DataFrame]:
    """Train, valid or test for each recording, by patient; also as meta_split.csv.

    A patient's split depends on its id, ECG_SEED, ECG_VALID_SHARE and ECG_TEST_SHARE alone, so it
    never changes when other records arrive. ECG_SPLIT=folds takes PTB-XL's own, ECG_META_SPLIT a
    file of yours.
    """
    if settings.meta_split:
        table = read_meta_split(Path(settings.meta_split), record_list)
    elif settings.split == "folds":
        source = settings.open_source()
        if not isinstance(source, PtbXl):
            raise SettingsError(
                f"ECG_SPLIT is folds, which ptb-xl alone has; ECG_SOURCE is {settings.source}. "
                "Set ECG_SPLIT=patients."
            )
        table = split_by_folds(record_list, source.read_folds())
    else:
        table = split_by_patient(record_list, seed=settings.seed, shares=settings.split_shares)
    path = settings.folder("meta_split.csv")
    write_meta_split(table, path)
    return table_result(
        "split",
        table,
        {
            "counts": table_metadata(count_splits(table)),
            "records_without_split": len(record_list) - len(table),
            "meta_split": dg.MetadataValue.path(path),
        },
    )
