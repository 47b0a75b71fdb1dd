"""Stage labels: report text to labels, each with the words that made it."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pandas as pd
from dagster import AssetExecutionContext
from pydantic import Field

from ecg_assets.defs.input_facts import require_source
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.show import describe_labels, log_progress
from ecg_assets.defs.tables import table_metadata, table_result
from ecg_assets.labels import (
    find_label_differences,
    label_prevalence,
    label_records,
    label_records_upstream,
    lines_of_differing_records,
    vocabulary_fingerprint,
)
from ecg_assets.made_with import LABEL_SET, known_facts, with_facts

CODE_VERSION = f"1-{vocabulary_fingerprint()[:12]}"
"""An edited vocabulary makes the labels, and all that follows from them, stale."""


def _table(description: str) -> dg.AssetOut:
    return dg.AssetOut(
        io_manager_key="parquet",
        code_version=CODE_VERSION,
        kinds={"parquet"},
        description=description,
        is_required=False,
    )


@dg.multi_asset(
    group_name="labels",
    can_subset=True,
    outs={
        "labels": _table(
            "Record × label: value (0/1) and probability. A record without a report has no rows."
        ),
        "label_evidence": _table("The report line, words and rule behind each label."),
        "unmatched_statements": _table("Statements that no concept matched, most frequent first."),
    },
)
def labels(
    context: AssetExecutionContext,
    settings: Settings,
    machine_reports: pd.DataFrame,
    record_list: pd.DataFrame,
) -> Iterator[dg.MaterializeResult[pd.DataFrame]]:
    """Read every report line and label its recording, or measure the numbers of the label set.

    Any of the three can be made alone; the others stay as they are.
    """
    require_source(settings, machine_reports, "machine_reports")
    label_set = settings.load_label_set()
    tables = label_records(
        machine_reports,
        label_set=label_set,
        threshold=settings.label_threshold,
        records=record_list,
    )
    for frame in (tables.labels, tables.evidence, tables.unmatched):
        with_facts(frame, {**known_facts(frame), LABEL_SET: Path(settings.label_set).name})
    asked = {key.to_user_string() for key in context.selected_asset_keys}
    if "labels" in asked:
        shown = describe_labels(tables, machine_reports, settings, label_set)
        yield table_result("labels", tables.labels, shown)
    if "label_evidence" in asked:
        yield table_result("label_evidence", tables.evidence)
    if "unmatched_statements" in asked:
        occurrences = int(tables.unmatched["count"].sum())
        yield table_result("unmatched_statements", tables.unmatched, {"occurrences": occurrences})


class UpstreamConfig(dg.Config):
    """How ECG-FM's labeler is given a report."""

    report_joint: str = Field(default=" ", description="Stands between the lines of a report.")


@dg.asset(
    group_name="labels",
    io_manager_key="parquet",
    code_version="1",
    kinds={"parquet"},
)
def upstream_labels(
    context: AssetExecutionContext,
    config: UpstreamConfig,
    settings: Settings,
    machine_reports: pd.DataFrame,
) -> dg.MaterializeResult[pd.DataFrame]:
    """The labels that ECG-FM's own labeler gives, from a clone at ECG_FM_ROOT; every
    probability above 0 is a label, as in the published ones.
    """  # noqa: D205
    labeler = settings.upstream_labeler(config.report_joint)
    progress = log_progress(context, "reports")
    found = label_records_upstream(machine_reports, labeler, progress=progress)
    with_facts(found, {**known_facts(found), "report_joint": config.report_joint})
    prevalence = table_metadata(label_prevalence(found))
    return table_result("upstream_labels", found, {"prevalence": prevalence})


@dg.asset(
    group_name="labels",
    io_manager_key="parquet",
    code_version=CODE_VERSION,
    kinds={"parquet"},
)
def label_differences(
    context: AssetExecutionContext,
    settings: Settings,
    machine_reports: pd.DataFrame,
    upstream_labels: pd.DataFrame,
) -> dg.MaterializeResult[pd.DataFrame]:
    """Where ECG-FM's labeler and ours disagree on its 17 labels, by label and statement,
    with the number of recordings and what each of the two saw in the statement.
    """  # noqa: D205
    ours = label_records(machine_reports, threshold=settings.label_threshold).labels
    lines = lines_of_differing_records(machine_reports, ours, upstream_labels)
    readings = settings.upstream_labeler().read(lines, progress=log_progress(context, "lines"))
    differences = find_label_differences(
        machine_reports,
        ours,
        upstream_labels,
        dict(zip(lines, readings, strict=True)),
        threshold=settings.label_threshold,
        upstream_threshold=0.0,
    )
    by_label = differences.groupby(["label", "ours"])["records"].sum().reset_index()
    return table_result("label_differences", differences, {"by_label": table_metadata(by_label)})
