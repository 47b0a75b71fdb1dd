"""Stage sources: what recordings there are, and what the cart said of them."""

from pathlib import Path

import dagster as dg
import pandas as pd
from dagster import AssetExecutionContext
from pydantic import Field

from ecg_assets.defs.input_facts import require_same_source, require_source
from ecg_assets.defs.partitions import SHARDS, register_exactly
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.show import count_records
from ecg_assets.defs.tables import table_metadata, table_result
from ecg_assets.errors import SettingsError
from ecg_assets.lineage import fingerprint_table
from ecg_assets.made_with import RECORDS, REPORTS, with_facts
from ecg_assets.sources import complete_shards, datasets, find_damaged_files, is_remote
from ecg_assets.sources import mirror_status as find_mirror_status
from ecg_assets.sources.schema import MACHINE_REPORTS, RECORD_LIST
from ecg_assets.split import (
    count_splits,
    read_meta_split,
    split_by_folds,
    split_by_patient,
    write_meta_split,
)


class RecordListConfig(dg.Config):
    """Whether another dataset is meant."""

    change_source: bool = Field(
        default=False,
        description="Let ECG_SOURCE take the place of the dataset whose shards this instance "
        "holds. Its results stay on disk.",
    )


@dg.asset(group_name="sources", io_manager_key="parquet", code_version="1", kinds={"parquet"})
def record_list(
    context: AssetExecutionContext, config: RecordListConfig, settings: Settings
) -> dg.MaterializeResult[pd.DataFrame]:
    """One row per recording of the source, in the schema that all sources share.

    Materializing it registers the source's shards as partitions. Those of another source are
    replaced only if the run's configuration says so, but for those of the synthetic cohort.
    """
    if not config.change_source:
        require_same_source(context.instance, settings)
    found = settings.open_source().read_records()
    content = fingerprint_table(RECORD_LIST.from_pandas(found.table))
    with_facts(found.table, {**settings.source_facts(), RECORDS: content})
    per_shard = found.table.groupby("shard").agg(
        records=("record_id", "size"), patients=("subject_id", "nunique")
    )
    added, removed = register_exactly(context.instance, SHARDS, sorted(per_shard.index))
    context.log.info(f"{len(found.table)} records in {len(per_shard)} shards; {found.findings}")
    return table_result(
        "record_list",
        found.table,
        {
            "source": settings.source,
            **count_records(found.table),
            **found.findings,
            "shards_added": added,
            "shards_removed": removed,
            "by_shard": table_metadata(per_shard.reset_index()),
        },
    )


@dg.asset(group_name="sources", io_manager_key="parquet", code_version="1", kinds={"parquet"})
def machine_reports(
    settings: Settings, record_list: pd.DataFrame
) -> dg.MaterializeResult[pd.DataFrame]:
    """The report lines (or diagnosis codes) of each recording, and the cart's measurements."""
    facts = require_source(settings, record_list)
    found = settings.open_source().read_reports(record_list)
    content = fingerprint_table(MACHINE_REPORTS.from_pandas(found.table))
    with_facts(found.table, {**facts, REPORTS: content})
    return table_result("machine_reports", found.table, {**found.findings})


class MirrorConfig(dg.Config):
    """What to look at."""

    verify_checksums: bool = Field(
        default=False,
        description="Read every file that is on disk and compare it with SHA256SUMS.txt: "
        "hours for a whole mirror.",
    )


@dg.asset(group_name="sources", io_manager_key="parquet", code_version="1", kinds={"parquet"})
def mirror_status(
    context: AssetExecutionContext,
    config: MirrorConfig,
    settings: Settings,
    record_list: pd.DataFrame,
) -> dg.MaterializeResult[pd.DataFrame]:
    """What record_list names and the disk lacks, folder by folder. A download of the dataset
    may go on for days: complete_shards can be preprocessed before it ends.
    """  # noqa: D205
    if is_remote(settings.raw_root):
        raise SettingsError(
            f"mirror_status looks at a copy on disk, and ECG_RAW_ROOT is {settings.raw_root}. "
            "Recordings of a remote root are fetched shard by shard."
        )
    status = find_mirror_status(settings.source_root, record_list)
    damaged: list[str] = []
    if config.verify_checksums:
        damaged = find_damaged_files(
            settings.source_root,
            status["folder"],
            progress=lambda n, total: context.log.info(f"{n} of {total} files compared"),
        )
        status["damaged"] = [
            sum(name.startswith(f"{folder}/") for name in damaged) for folder in status["folder"]
        ]
    incomplete = status[status["missing"] > 0]
    return table_result(
        "mirror_status",
        status,
        {
            "records": int(status["records"].sum()),
            "missing": int(status["missing"].sum()),
            "complete_shards": complete_shards(status),
            "incomplete_folders": len(incomplete),
            "most_missing": table_metadata(incomplete.nlargest(50, "missing")),
            "damaged_files": damaged[:1000],
        },
    )


# Stage split: patients to train, valid and test.


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
    never changes when other records arrive. ECG_SPLIT=folds, or a label set that says so, takes
    PTB-XL's own, ECG_META_SPLIT a file of yours.
    """
    require_source(settings, record_list)
    if settings.meta_split:
        table = read_meta_split(Path(settings.meta_split), record_list)
    elif settings.is_split_by_folds:
        folds = settings.dataset.folds
        if folds is None:
            having = [dataset.name for dataset in datasets().values() if dataset.folds]
            raise SettingsError(
                f"ECG_SPLIT is folds, which {' and '.join(having)} alone "
                f"{'has' if len(having) == 1 else 'have'}; ECG_SOURCE is {settings.source}. "
                "Set ECG_SPLIT=patients."
            )
        table = split_by_folds(
            record_list,
            folds.read(settings.open_source()),
            train=folds.train,
            valid=folds.valid,
            test=folds.test,
            rule=settings.split_rule,
        )
    else:
        table = split_by_patient(record_list, seed=settings.seed, shares=settings.split_shares)
    path = settings.stored.folder("meta_split.csv")
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
