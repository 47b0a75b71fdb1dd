"""Stage evaluation: results files of checkpoints whose labels exclude one another."""

import dagster as dg
from dagster import AssetExecutionContext

from ecg_assets.defs.conditions import WITH_ITS_INPUTS
from ecg_assets.defs.partitions import CHECKPOINTS
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.show import png_metadata
from ecg_assets.defs.tables import table_metadata
from ecg_assets.evaluation.classes import PICTURES, select_single_class, write_class_results
from ecg_assets.lineage import fingerprint_folder, fingerprint_json
from ecg_assets.models.checkpoint_folder import CONFIG, read_json
from ecg_assets.models.predictions import Predictions
from ecg_assets.models.probabilities import EXCLUSIVE

NOT_EXCLUSIVE = (
    "The labels of this checkpoint may stand together: there is no confusion matrix of them. "
    "eval_metrics and eval_report describe each by itself."
)
NO_CLASS = "No recording of the evaluation set has exactly one of the checkpoint's classes."


@dg.asset(
    group_name="evaluation",
    partitions_def=CHECKPOINTS,
    code_version="1",
    kinds={"csv", "png"},
    automation_condition=WITH_ITS_INPUTS,
)
def classification_results(
    context: AssetExecutionContext, settings: Settings, predictions: Predictions
) -> dg.MaterializeResult[None]:
    """Performance table, reports, confusion matrix and curves of a model of exclusive classes.

    Of any other checkpoint nothing is written, and the reason is in the metadata.
    """
    config = read_json(settings.store.checkpoints / context.partition_key / CONFIG)
    if config.get("problem_type") != EXCLUSIVE:
        return _skip(NOT_EXCLUSIVE)
    if not len(select_single_class(predictions)):
        return _skip(NO_CLASS)
    folder = settings.stored.folder("classification_results") / context.partition_key
    results = write_class_results(predictions, folder)
    shown = results.performance.astype(object).where(results.performance.notna(), None)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint_folder(folder)),
        metadata={
            "folder": dg.MetadataValue.path(folder),
            "accuracy": results.accuracy,
            "records": int(results.confusion.to_numpy().sum()),
            "records_left_out": results.n_left_out,
            "performance": table_metadata(shown),
            **{name: png_metadata(folder / name, name) for name in PICTURES},
        },
    )


def _skip(reason: str) -> dg.MaterializeResult[None]:
    version = dg.DataVersion(fingerprint_json(reason))
    return dg.MaterializeResult(data_version=version, metadata={"skipped": reason})
