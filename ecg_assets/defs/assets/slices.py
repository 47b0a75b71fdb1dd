"""Stage evaluation: groups of recordings, drift between them, and labels that are doubted."""

import dagster as dg
import numpy as np
import pandas as pd
from dagster import AssetExecutionContext
from pydantic import Field

from ecg_assets.defs.conditions import ANY_INPUT_CHANGED, WITH_ITS_INPUTS
from ecg_assets.defs.data_versions import input_versions_of
from ecg_assets.defs.partitions import ALL_SHARDS, CHECKPOINTS
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.show import png_metadata, show_suspects, write_review
from ecg_assets.defs.tables import MEASURES_LABELS, table_metadata, table_result
from ecg_assets.evaluation.label_noise import (
    LABEL_NOISE,
    ScoreCalibration,
    rank_label_noise,
)
from ecg_assets.evaluation.shift.drift import (
    collect_quantities,
    count_shifted,
    draw_drift,
    farthest_from_reference,
    group_by_origin,
    measure_drift,
)
from ecg_assets.evaluation.shift.recording_facts import (
    align_facts,
    describe_recordings,
    describe_signals,
)
from ecg_assets.evaluation.shift.slices import (
    SLICE_METRICS,
    draw_slice_forest,
    evaluate_slices,
    group_recordings,
)
from ecg_assets.evaluation.thresholds import Thresholds
from ecg_assets.labels import EVIDENCE, LabelVocabulary
from ecg_assets.made_with import LABEL_VOCABULARY, SOURCE, facts_of, known_facts
from ecg_assets.metrics.metrics import added_metrics, pick_macro
from ecg_assets.models.checkpoint_folder import (
    read_card,
    read_validation_predictions,
    validation_scores_path,
)
from ecg_assets.models.predictions import Predictions
from ecg_assets.preprocess import ShardDataset
from ecg_assets.sources import datasets


class SlicesConfig(dg.Config):
    """How intervals of groups are computed."""

    n_resamples: int = Field(
        default=200,
        description="Bootstrap resamples of patients a group: there are some forty groups.",
        ge=0,
    )


@dg.asset(
    group_name="evaluation",
    partitions_def=CHECKPOINTS,
    io_manager_key="parquet",
    code_version=f"3{added_metrics()}",
    kinds={"parquet"},
    ins={"signal_shards": ALL_SHARDS},
    automation_condition=WITH_ITS_INPUTS,
)
def slice_metrics(
    context: AssetExecutionContext,
    config: SlicesConfig,
    settings: Settings,
    predictions: Predictions,
    record_list: pd.DataFrame,
    machine_reports: pd.DataFrame,
    labels: pd.DataFrame,
    signal_shards: ShardDataset,
) -> dg.MaterializeResult[pd.DataFrame]:
    """AUROC, AUPRC, sensitivity, specificity and calibration by age, sex, heart rate, signal
    faults, source, year, length of the report and certainty of the labels, with 95 % intervals.
    """  # noqa: D205
    if predictions.vocabulary.is_continuous:
        return table_result("slice_metrics", SLICE_METRICS.empty(), {"skipped": MEASURES_LABELS})
    folder = settings.store.checkpoints / context.partition_key
    facts, lacking = align_facts(
        predictions.record_ids.tolist(),
        describe_recordings(record_list, machine_reports, labels),
        describe_signals(signal_shards, read_card(folder).spec.leads),
    )
    validation = read_validation_predictions(
        folder, validation_scores_path(folder, settings.stored)
    )
    table = evaluate_slices(
        predictions,
        Thresholds.from_validation(validation),
        group_recordings(facts),
        n_resamples=config.n_resamples,
        seed=settings.seed,
    )
    shown = pick_macro(table).drop(columns=["label", "metric"])
    return table_result(
        "slice_metrics",
        table,
        {
            "macro_auroc_by_group": png_metadata(draw_slice_forest(table), "Macro AUROC by group"),
            "groups": table_metadata(shown),
            "note_on_years": _note_on_years(facts_of(record_list, "record_list")[SOURCE]),
            **lacking,
        },
    )


@dg.asset(
    group_name="evaluation",
    partitions_def=CHECKPOINTS,
    io_manager_key="parquet",
    code_version="1",
    kinds={"parquet"},
    ins={"signal_shards": ALL_SHARDS},
    deps=["label_evidence"],  # read where it is stored
    automation_condition=WITH_ITS_INPUTS,
)
def label_noise(
    context: AssetExecutionContext,
    settings: Settings,
    predictions: Predictions,
    labels: pd.DataFrame,
    signal_shards: ShardDataset,
) -> dg.MaterializeResult[pd.DataFrame]:
    """Labels that the model confidently contradicts, the most suspicious first, each with the
    report line that made it: a list to review.
    """  # noqa: D205
    if predictions.vocabulary.is_continuous:
        return table_result("label_noise", LABEL_NOISE.empty(), {"skipped": MEASURES_LABELS})
    folder = settings.store.checkpoints / context.partition_key
    calibration = ScoreCalibration.from_validation(
        read_validation_predictions(folder, validation_scores_path(folder, settings.stored))
    )
    evidence = _read_evidence(context.instance, settings, labels)
    table = rank_label_noise(calibration, predictions, labels, evidence)
    target = settings.stored.folder("label_review") / context.partition_key
    strips = write_review(table, signal_shards, read_card(folder).spec.leads[0], target)
    names = predictions.vocabulary.names
    not_judged = {names[label]: reason for label, reason in calibration.reasons.items()}
    lacking = {"report_lines": _WITHOUT_LINES} if evidence is None else {}
    shown = show_suspects(table, not_judged, strips, target)
    return table_result("label_noise", table, {**shown, **lacking})


_WITHOUT_LINES = (
    "label_evidence is not stored, or is of other labels than those stored now. Materialize "
    "label_evidence, then label_noise, to have the report line behind each label."
)


def _read_evidence(
    instance: dg.DagsterInstance, settings: Settings, labels: pd.DataFrame
) -> pd.DataFrame | None:
    """Read the lines behind labels; None where they are not stored, or are of other labels."""
    made_from = [input_versions_of(instance, name) for name in ("labels", EVIDENCE.name)]
    if not settings.stored.table_path(EVIDENCE.name).is_file() or made_from[0] != made_from[1]:
        return None
    found = settings.stored.read_table(EVIDENCE)
    of_lines, of_labels = known_facts(found), known_facts(labels)
    # What one of the two does not state is not compared.
    is_same = all(of_lines[name] == of_labels[name] for name in of_lines.keys() & of_labels.keys())
    return found if is_same else None


@dg.asset(
    group_name="evaluation",
    io_manager_key="parquet",
    code_version="1",
    kinds={"parquet"},
    automation_condition=ANY_INPUT_CHANGED,
)
def drift(
    record_list: pd.DataFrame,
    labels: pd.DataFrame,
    split: pd.DataFrame,
    signal_shards: ShardDataset,
) -> dg.MaterializeResult[pd.DataFrame]:
    """Population stability index of labels, signals, age and sex: of each split against train,
    of each shard and year against all others, beside what chance alone makes of it.
    """  # noqa: D205
    vocabulary = LabelVocabulary.from_json(facts_of(labels, "labels")[LABEL_VOCABULARY])
    quantities = collect_quantities(
        record_list, describe_signals(signal_shards), labels, vocabulary
    )
    table = measure_drift(
        quantities,
        group_by_origin(record_list, split),
        record_list["subject_id"].to_numpy(dtype=str),
    )
    picture = draw_drift(table)
    stored = quantities.filter(like="signal/").notna().any(axis=1)
    return table_result(
        "drift",
        table,
        {
            **({"stability": png_metadata(picture, "Population stability")} if picture else {}),
            **{f"shifted_by_{name}": n for name, n in count_shifted(table).items()},
            "farthest": table_metadata(farthest_from_reference(table)),
            "note_on_years": _note_on_years(facts_of(record_list, "record_list")[SOURCE]),
            "without_split": len(record_list) - len(split),
            "without_labels": int(quantities[f"label/{vocabulary.names[0]}"].isna().sum()),
            "without_signal": int(np.count_nonzero(~stored)),
        },
    )


def _note_on_years(source: str) -> str:
    if source in datasets() and datasets()[source].has_shifted_years:
        return (
            "Dates of this dataset are shifted by another number of years for each patient: its "
            "years say nothing about time."
        )
    return "Years are those of the recordings, as the dataset gives them."
