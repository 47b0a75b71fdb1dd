"""Stage evaluation: the report of each checkpoint."""

import dagster as dg
from dagster import AssetExecutionContext

from ecg_assets.build import Manifest
from ecg_assets.defs.conditions import WITH_ITS_INPUTS
from ecg_assets.defs.partitions import CHECKPOINTS
from ecg_assets.defs.report_inputs import (
    SHOWN_ASSETS,
    describe_background,
    read_findings,
    read_suspects,
)
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.show import compared, draw_examples, headline, png_metadata
from ecg_assets.evaluation import (
    EvaluationResult,
    bootstrap_curves,
    build_document,
    choose_examples,
    draw_report_pictures,
    write_report,
)
from ecg_assets.evaluation.report.curves import CurveBands
from ecg_assets.evaluation.report.figures import ROC_CURVES
from ecg_assets.evaluation.report.page import CURVES_TABLE, METRICS_TABLE
from ecg_assets.evaluation.report.regression import (
    REGRESSION_PAGE,
    SCATTER,
    build_regression_document,
    draw_scatter,
)
from ecg_assets.lineage import fingerprint_folder
from ecg_assets.models.predictions import Predictions


@dg.asset(
    group_name="evaluation",
    partitions_def=CHECKPOINTS,
    code_version="4",
    kinds={"html"},
    deps=["signal_shards", *SHOWN_ASSETS],
    automation_condition=WITH_ITS_INPUTS,
)
def eval_report(
    context: AssetExecutionContext,
    settings: Settings,
    manifests: Manifest,
    predictions: Predictions,
    eval_metrics: EvaluationResult,
) -> dg.MaterializeResult[None]:
    """One HTML page for a checkpoint: numbers, curves, groups, other datasets, strips, champion.

    ``metrics.json`` beside it holds every number that it shows. What is not stored of
    other assets is named as absent.
    """
    if eval_metrics.is_of_numbers:
        return _report_numbers(context, settings, manifests, predictions, eval_metrics)
    instance, shards = context.instance, settings.stored.shards
    findings = read_findings(instance, settings, eval_metrics, predictions)
    bands = bootstrap_curves(predictions, eval_metrics.reliability, seed=settings.seed)
    strips = choose_examples(predictions, eval_metrics)
    pictures = {
        **draw_report_pictures(eval_metrics, bands, findings),
        **read_suspects(settings, context.partition_key, findings),
        **draw_examples(strips, predictions, manifests, shards),
    }
    background = describe_background(instance, settings, eval_metrics, bands, manifests)
    folder = settings.stored.folder("eval_report") / context.partition_key
    path = write_report(
        build_document(eval_metrics, findings, background, strips),
        folder,
        pictures=pictures,
        tables={METRICS_TABLE: eval_metrics.to_table(), CURVES_TABLE: bands.to_table()},
    )
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint_folder(folder)),
        metadata={
            "report": dg.MetadataValue.path(path),
            **headline(eval_metrics),
            **compared(findings.difference, findings.not_compared),
            # One picture: metadata stay in the instance's database, and the page has all.
            ROC_CURVES: png_metadata(pictures[ROC_CURVES], ROC_CURVES),
        },
    )


def _report_numbers(
    context: AssetExecutionContext,
    settings: Settings,
    manifests: Manifest,
    predictions: Predictions,
    eval_metrics: EvaluationResult,
) -> dg.MaterializeResult[None]:
    """Write the page of a checkpoint that predicts numbers."""
    instance = context.instance
    findings = read_findings(instance, settings, eval_metrics, predictions)
    picture = draw_scatter(predictions, seed=settings.seed)
    bands = CurveBands({}, 0, settings.seed)  # there are no curves
    background = describe_background(instance, settings, eval_metrics, bands, manifests)
    folder = settings.stored.folder("eval_report") / context.partition_key
    path = write_report(
        build_regression_document(
            eval_metrics, findings.difference, findings.not_compared, background
        ),
        folder,
        pictures={SCATTER: picture},
        tables={METRICS_TABLE: eval_metrics.to_table()},
        template=REGRESSION_PAGE,
    )
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint_folder(folder)),
        metadata={
            "report": dg.MetadataValue.path(path),
            **headline(eval_metrics),
            **compared(findings.difference, findings.not_compared),
            SCATTER: png_metadata(picture, SCATTER),
        },
    )
