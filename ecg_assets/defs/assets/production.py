"""Stage apply: a checkpoint as a folder for whoever only uses it."""

import dagster as dg
from dagster import AssetExecutionContext
from pydantic import Field

from ecg_assets.defs.evaluation_set import validation_scores_path
from ecg_assets.defs.partitions import CHECKPOINTS
from ecg_assets.defs.resources import Settings
from ecg_assets.evaluation.production import export_production
from ecg_assets.lineage import fingerprint_folder


class ProductionConfig(dg.Config):
    """What the folder holds."""

    rule: str = Field(
        default="youden", description="Thresholds: youden, max-f1 or fixed-sensitivity."
    )
    onnx: bool = Field(
        default=True, description="Whether to write model.onnx, which needs the extra onnx."
    )


@dg.asset(
    group_name="apply",
    partitions_def=CHECKPOINTS,
    code_version="1",
    kinds={"onnx"},
    deps=["predictions"],
)
def production_model(
    context: AssetExecutionContext, config: ProductionConfig, settings: Settings
) -> dg.MaterializeResult[None]:
    """What is needed to use a checkpoint: weights, signal spec, labels, thresholds, ONNX, README.

    Thresholds are chosen on the validation split. The README tells each step from a
    recording to an answer; `load_trained` reads the folder.
    """
    checkpoint = settings.checkpoints / context.partition_key
    folder = settings.folder("production_model") / context.partition_key
    stated = export_production(
        checkpoint,
        folder,
        rule=config.rule,
        with_onnx=config.onnx,
        validation_path=validation_scores_path(settings, checkpoint),
    )
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint_folder(folder)),
        metadata={
            "folder": dg.MetadataValue.path(folder),
            "readme": dg.MetadataValue.path(folder / "README.md"),
            "files": sorted(path.name for path in folder.iterdir()),
            "bytes": sum(path.stat().st_size for path in folder.iterdir()),
            "thresholds": stated,
        },
    )
