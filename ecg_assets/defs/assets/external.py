"""Stage evaluation: checkpoints on other sources and with fewer leads; labels across codings."""

import dagster as dg
import numpy as np
import pandas as pd
from dagster import AssetExecutionContext
from pydantic import Field

from ecg_assets.build import Manifest
from ecg_assets.build.builder import keep_scorable
from ecg_assets.defs.assets.evaluation import IntervalsConfig
from ecg_assets.defs.assets.labels import CODE_VERSION
from ecg_assets.defs.computing import evaluate_elsewhere, score_lead_sets
from ecg_assets.defs.conditions import EVALUATED_ON_OTHER_DATA, WITH_ITS_INPUTS
from ecg_assets.defs.input_facts import source_of
from ecg_assets.defs.partitions import ALL_SHARDS, CHECKPOINTS
from ecg_assets.defs.resources import Trainer
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.show import png_metadata
from ecg_assets.defs.tables import MEASURES_LABELS, table_metadata, table_result
from ecg_assets.evaluation import EvaluationResult
from ecg_assets.evaluation.external.crosswalk import (
    LABEL_CROSSWALK,
    count_mapped,
    crosswalk_fingerprint,
    crosswalk_sources,
)
from ecg_assets.evaluation.external.evaluate_sets import choose_sources, overview_table
from ecg_assets.evaluation.leads import (
    LEAD_DEGRADATION,
    compare_lead_sets,
    draw_lead_degradation,
    macro_by_lead_set,
)
from ecg_assets.evaluation.sets import choose_part, choose_unseen_rows
from ecg_assets.lineage import fingerprint_json
from ecg_assets.metrics.metrics import added_metrics
from ecg_assets.models.checkpoint_folder import read_card
from ecg_assets.models.seen_patients import read_seen_patients
from ecg_assets.preprocess import ShardDataset
from ecg_assets.sources import datasets
from ecg_assets.storage import replace_file


@dg.asset(
    group_name="evaluation",
    io_manager_key="parquet",
    code_version=f"{CODE_VERSION}-{crosswalk_fingerprint()[:12]}",
    kinds={"parquet"},
)
def label_crosswalk(settings: Settings) -> dg.MaterializeResult[pd.DataFrame]:
    """Which codes of each dataset make which label of the current set; which labels have none."""
    label_set = settings.load_label_set()
    if label_set.vocabulary.is_continuous:
        return table_result(
            "label_crosswalk", LABEL_CROSSWALK.empty(), {"skipped": MEASURES_LABELS}
        )
    table = crosswalk_sources(
        label_set,
        own_labels={name: settings.own_labels(name) for name in datasets()},
        threshold=settings.label_threshold,
    )
    return table_result(
        "label_crosswalk", table, {"by_source": table_metadata(count_mapped(table))}
    )


class ExternalConfig(IntervalsConfig):
    """What a checkpoint is evaluated on."""

    sets: list[str] = Field(
        default_factory=list,
        description="Other sources, e.g. ptb-xl and code-15; none named: all whose results are "
        "below the data folder.",
    )


@dg.asset(
    group_name="evaluation",
    partitions_def=CHECKPOINTS,
    pool="gpu",
    io_manager_key="metrics",
    code_version=f"3{added_metrics()}",
    kinds={"pytorch", "json"},
    deps=["checkpoint", "predictions", "label_crosswalk"],
    automation_condition=WITH_ITS_INPUTS,
)
def external_metrics(
    context: AssetExecutionContext, config: ExternalConfig, settings: Settings, trainer: Trainer
) -> dg.MaterializeResult[list[EvaluationResult]]:
    """Metrics on every other source that is stored (or that the run's configuration names).

    Recordings are labelled anew with the checkpoint's labels; one that their coding cannot
    express has no numbers, and the reason stands in their place.
    """
    card = read_card(settings.store.checkpoints / context.partition_key)
    if card.vocabulary.is_continuous:
        return dg.MaterializeResult(
            value=[],
            data_version=dg.DataVersion(fingerprint_json([])),
            metadata={"skipped": MEASURES_LABELS},
        )
    asked = choose_sources(settings.stored, config.sets)
    sets = trainer.computing(context, settings)(
        evaluate_elsewhere, settings, card.folder, asked, config.n_resamples
    )
    macro = {f"macro_auroc, {one.source}": one.macro["auroc"] for one in sets.results}
    return dg.MaterializeResult(
        value=sets.results,
        data_version=dg.DataVersion(fingerprint_json([one.to_json() for one in sets.results])),
        metadata={
            "sets": table_metadata(overview_table(sets.overview)),
            "labels_without_numbers": {
                one.evaluation_set.name: dict(one.undefined)
                for one in sets.results
                if one.undefined
            },
            **{name: value for name, value in macro.items() if np.isfinite(value)},
        },
    )


@dg.asset(
    group_name="evaluation",
    partitions_def=CHECKPOINTS,
    pool="gpu",
    io_manager_key="parquet",
    code_version="2",
    kinds={"pytorch", "parquet"},
    ins={"signal_shards": ALL_SHARDS},
    deps=["checkpoint"],
    automation_condition=EVALUATED_ON_OTHER_DATA,
)
def lead_degradation(
    context: AssetExecutionContext,
    config: IntervalsConfig,
    settings: Settings,
    trainer: Trainer,
    manifests: Manifest,
    signal_shards: ShardDataset,
) -> dg.MaterializeResult[pd.DataFrame]:
    """AUROC with 12 leads, 6 limb leads, 2 leads and Lead I, on the same recordings, paired.

    Leads that are absent are 0 in the model's input. A configuration that the model or the
    stored leads do not allow is listed with the reason.
    """
    folder = settings.store.checkpoints / context.partition_key
    if read_card(folder).vocabulary.is_continuous:
        empty = LEAD_DEGRADATION.empty()
        return table_result("lead_degradation", empty, {"skipped": MEASURES_LABELS})
    source = source_of(manifests.made_with, settings)
    seen = read_seen_patients(folder)
    part = choose_part(seen, source, gave_thresholds=True)
    rows, _ = choose_unseen_rows(seen, manifests, source, part)
    rows = keep_scorable(manifests, rows, settings.stored.shards)
    predictions, obstacles = trainer.computing(context, settings)(
        score_lead_sets, settings, folder, manifests.take(rows), signal_shards.leads
    )
    table = compare_lead_sets(
        predictions, obstacles, n_resamples=config.n_resamples, seed=settings.seed
    )
    png = draw_lead_degradation(table)
    with replace_file(
        settings.stored.folder("lead_degradation") / f"{folder.name}.png"
    ) as temporary:
        temporary.write_bytes(png)
    shown = {
        "macro_auroc": table_metadata(macro_by_lead_set(table)),
        "curve": png_metadata(png, "AUROC with fewer leads"),
    }
    return table_result("lead_degradation", table, {"records": len(rows), **shown})
