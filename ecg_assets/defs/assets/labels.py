"""Stage labels: report text to labels, each with the words that made it."""

from collections.abc import Iterator

import dagster as dg
import pandas as pd

from ecg_assets.defs.tables import table_metadata, table_result
from ecg_assets.labels import label_prevalence, label_records


@dg.multi_asset(
    group_name="labels",
    outs={
        "labels": dg.AssetOut(
            io_manager_key="parquet",
            code_version="1",
            kinds={"parquet"},
            description="Record × label: value (0/1) and probability. "
            "A record without a report has no rows.",
        ),
        "label_evidence": dg.AssetOut(
            io_manager_key="parquet",
            code_version="1",
            kinds={"parquet"},
            description="The report line, words and rule behind each label.",
        ),
        "unmatched_statements": dg.AssetOut(
            io_manager_key="parquet",
            code_version="1",
            kinds={"parquet"},
            description="Statements that no concept matched, most frequent first.",
        ),
    },
)
def labels(machine_reports: pd.DataFrame) -> Iterator[dg.MaterializeResult[pd.DataFrame]]:
    """Read every report line and label its recording."""
    tables = label_records(machine_reports)
    labelled = tables.labels["record_id"].nunique()
    yield table_result(
        "labels",
        tables.labels,
        {
            "records": labelled,
            "records_without_labels": len(machine_reports) - labelled,
            "prevalence": table_metadata(label_prevalence(tables.labels)),
        },
    )
    yield table_result("label_evidence", tables.evidence)
    yield table_result(
        "unmatched_statements",
        tables.unmatched,
        {"occurrences": int(tables.unmatched["count"].sum())},
    )
