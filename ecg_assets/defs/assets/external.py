"""Stage evaluation: checkpoints on other sources and with fewer leads; labels across codings."""

from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
from dagster import AssetExecutionContext

from ecg_assets.build import Manifest, SignalCache
from ecg_assets.defs.assets.labels import CODE_VERSION
from ecg_assets.defs.conditions import EVALUATED_ON_OTHER_DATA, WITH_ITS_INPUTS
from ecg_assets.defs.evaluation_set import choose_rows
from ecg_assets.defs.evaluation_view import training_inputs
from ecg_assets.defs.external_sets import evaluate_sets, find_own_labels, overview_table
from ecg_assets.defs.partitions import CHECKPOINTS
from ecg_assets.defs.pictures import png_metadata
from ecg_assets.defs.resources import Settings
from ecg_assets.defs.tables import table_metadata, table_result
from ecg_assets.evaluation import EvaluationResult
from ecg_assets.evaluation.external.crosswalk import count_mapped, crosswalk_sources
from ecg_assets.evaluation.external.crosswalk_notes import notes_fingerprint
from ecg_assets.evaluation.leads.lead_degradation import compare_lead_sets, macro_by_lead_set
from ecg_assets.evaluation.leads.lead_figures import draw_lead_degradation
from ecg_assets.lineage import fingerprint_json
from ecg_assets.models.checkpoint_files import read_card
from ecg_assets.models.predictions import Predictions
from ecg_assets.preprocess import ShardDataset
from ecg_assets.storage import replace_file

ALL_SHARDS = dg.AssetIn("signal_shards", partition_mapping=dg.AllPartitionMapping())


@dg.asset(
    group_name="evaluation",
    io_manager_key="parquet",
    code_version=f"{CODE_VERSION}-{notes_fingerprint()[:12]}",
    kinds={"parquet"},
)
def label_crosswalk(settings: Settings) -> dg.MaterializeResult[pd.DataFrame]:
    """Which codes of each dataset make which label of the current set; which labels have none."""
    table = crosswalk_sources(
        settings.load_label_set(),
        own_labels=find_own_labels(settings),
        threshold=settings.label_threshold,
    )
    return table_result(
        "label_crosswalk", table, {"by_source": table_metadata(count_mapped(table))}
    )


@dg.asset(
    group_name="evaluation",
    partitions_def=CHECKPOINTS,
    pool="gpu",
    io_manager_key="metrics",
    code_version="1",
    kinds={"pytorch", "json"},
    deps=["checkpoint", "predictions", "label_crosswalk"],
    automation_condition=WITH_ITS_INPUTS,
)
def external_metrics(
    context: AssetExecutionContext, settings: Settings
) -> dg.MaterializeResult[list[EvaluationResult]]:
    """Metrics on every other source that is stored (or that ECG_EVALUATION_SETS names).

    Recordings are labelled anew with the checkpoint's labels; one that their coding cannot
    express has no numbers, and the reason stands in their place.
    """
    card = read_card(settings.checkpoints / context.partition_key)
    sets = evaluate_sets(settings, card, training_inputs(card), context.log.info)
    macro = {f"macro_auroc, {one.source}": one.macro["auroc"] for one in sets.results}
    return dg.MaterializeResult(
        value=sets.results,
        data_version=dg.DataVersion(fingerprint_json([one.to_json() for one in sets.results])),
        metadata={
            "sets": table_metadata(overview_table(sets.overview)),
            "labels_without_numbers": {
                one.evaluation_set: dict(one.undefined) for one in sets.results if one.undefined
            },
            **{name: value for name, value in macro.items() if np.isfinite(value)},
        },
    )


@dg.asset(
    group_name="evaluation",
    partitions_def=CHECKPOINTS,
    pool="gpu",
    io_manager_key="parquet",
    code_version="1",
    kinds={"pytorch", "parquet"},
    ins={"signal_shards": ALL_SHARDS},
    deps=["checkpoint"],
    automation_condition=EVALUATED_ON_OTHER_DATA,
)
def lead_degradation(
    context: AssetExecutionContext,
    settings: Settings,
    manifests: Manifest,
    signal_shards: ShardDataset,
) -> dg.MaterializeResult[pd.DataFrame]:
    """AUROC with 12 leads, 6 limb leads, 2 leads and Lead I, on the same recordings, paired.

    Leads that are absent are 0 in the model's input. A configuration that the model or the
    stored leads do not allow is listed with the reason.
    """
    folder = settings.checkpoints / context.partition_key
    rows = choose_rows(manifests, settings, read_card(folder).trained_on).rows
    predictions, obstacles = _predict(settings, folder, manifests.take(rows), signal_shards.leads)
    table = compare_lead_sets(
        predictions, obstacles, n_resamples=settings.n_resamples, seed=settings.seed
    )
    png = draw_lead_degradation(table)
    with replace_file(settings.folder("lead_degradation") / f"{folder.name}.png") as temporary:
        temporary.write_bytes(png)
    shown = {
        "macro_auroc": table_metadata(macro_by_lead_set(table)),
        "curve": png_metadata(png, "AUROC with fewer leads"),
    }
    return table_result("lead_degradation", table, {"records": len(rows), **shown})


def _predict(
    settings: Settings, folder: Path, manifest: Manifest, stored_leads: tuple[str, ...]
) -> tuple[dict[str, Predictions], dict[str, str]]:
    """Score recordings with each configuration of leads; say why others cannot be run."""
    from ecg_assets.evaluation.predict import predict_lead_sets

    shards, cache = settings.folder("signal_shards"), settings.folder("cache")
    return predict_lead_sets(
        folder,
        manifest,
        lambda spec: SignalCache.open(manifest.index, shards, spec, cache),
        stored_leads,
        device=settings.device,
        precision=settings.precision,
    )
