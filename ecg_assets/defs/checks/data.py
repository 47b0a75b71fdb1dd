"""Checks of the stage sources."""

from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from dagster import AssetCheckExecutionContext

from ecg_assets.build import Manifest, find_missing_samples, label_definition
from ecg_assets.defs.computing import reproduce_loss
from ecg_assets.defs.data_versions import latest_metadata
from ecg_assets.defs.partitions import SHARDS
from ecg_assets.defs.resources import Trainer
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.show import count_databases
from ecg_assets.defs.tables import table_metadata
from ecg_assets.errors import EcgAssetsError
from ecg_assets.labels import compare_with_published, label_prevalence, read_published_counts
from ecg_assets.labels.audit import FEWEST_POSITIVES, MOST_OF_ONE_DATABASE, find_confounded
from ecg_assets.labels.label_set import find_study
from ecg_assets.labels.label_tables import describe_targets, is_of_numbers
from ecg_assets.labels.study_counts import compare_with_study
from ecg_assets.made_with import LABEL_SET, SOURCE, facts_of
from ecg_assets.split import count_splits, find_leaking_patients
from ecg_assets.split.patients import compare_shares


@dg.asset_check(
    asset="machine_reports",
    additional_ins={"record_list": dg.AssetIn("record_list")},
    blocking=False,
)
def every_record_has_a_report(
    record_list: pd.DataFrame, machine_reports: pd.DataFrame
) -> dg.AssetCheckResult:
    """Records without a report get no labels and are left out of training."""
    filled = machine_reports.loc[machine_reports["lines"].str.len() > 0, "record_id"]
    without = int((~record_list["record_id"].isin(filled)).sum())
    return dg.AssetCheckResult(
        passed=without == 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"records": len(record_list), "records_without_report": without},
    )


# Checks of the stage labels.


@dg.asset_check(
    asset="labels", additional_ins={"record_list": dg.AssetIn("record_list")}, blocking=True
)
def every_study_is_labelled_once(
    labels: pd.DataFrame, record_list: pd.DataFrame
) -> dg.AssetCheckResult:
    """A study that stands twice, or labels of no study, would be learned twice or not at all."""
    pairs = labels.duplicated(["record_id", "label"]).sum()
    studies = record_list["study_id"].duplicated().sum()
    unknown = (~labels["record_id"].drop_duplicates().isin(record_list["record_id"])).sum()
    return dg.AssetCheckResult(
        passed=not (pairs or studies or unknown),
        metadata={
            "studies": len(record_list),
            "repeated_study_ids": int(studies),
            "repeated_record_and_label": int(pairs),
            "labelled_records_outside_the_record_list": int(unknown),
        },
    )


@dg.asset_check(asset="labels", blocking=False)
def no_label_is_empty(labels: pd.DataFrame) -> dg.AssetCheckResult:
    """A label that no recording has cannot be learned or measured."""
    if is_of_numbers(labels):
        targets = describe_targets(labels)
        constant = targets.loc[~(targets["sd"] > 0), "label"].tolist()
        return dg.AssetCheckResult(
            passed=not constant and len(targets) > 0,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"targets": len(targets), "empty_or_constant_targets": constant},
        )
    prevalence = label_prevalence(labels)
    empty = prevalence.loc[prevalence["positives"] == 0, "label"].tolist()
    return dg.AssetCheckResult(
        passed=not empty and len(prevalence) > 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"labels": len(prevalence), "empty_labels": empty},
    )


@dg.asset_check(asset="labels", blocking=False)
def prevalence_is_as_expected(labels: pd.DataFrame) -> dg.AssetCheckResult:
    """On MIMIC-IV-ECG each label's share lies in the range that ECG-FM's counts make expected."""
    facts = facts_of(labels, "labels")
    published = read_published_counts(facts[SOURCE])
    if published is None or facts[LABEL_SET] != published.label_set:
        reason = f"nothing is published of {facts[SOURCE]} with {facts[LABEL_SET]}"
        return dg.AssetCheckResult(passed=True, metadata={"compared": reason})
    table = compare_with_published(labels, published)
    return dg.AssetCheckResult(
        passed=bool(table["is_expected"].all()),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"comparison": table_metadata(table)},
    )


@dg.asset_check(
    asset="labels", additional_ins={"record_list": dg.AssetIn("record_list")}, blocking=False
)
def counts_are_the_studys(
    settings: Settings, record_list: pd.DataFrame, labels: pd.DataFrame
) -> dg.AssetCheckResult:
    """On the whole release that a study counted, its label set gives the published counts."""
    facts = facts_of(labels, "labels")
    is_current = facts[LABEL_SET] == Path(settings.label_set).name
    study = find_study(settings.label_set) if is_current else None
    published = study.published if study else None
    whole = (published.source, published.dataset_records) if published else None
    if published is None or (facts[SOURCE], len(record_list)) != whole:
        reason = f"nothing is published of {len(record_list)} recordings of {facts[SOURCE]}"
        return dg.AssetCheckResult(
            passed=True, metadata={"compared": f"{reason} with {facts[LABEL_SET]}"}
        )
    table = compare_with_study(labels, published, _own_splits(settings))
    return dg.AssetCheckResult(
        passed=bool(table["is_equal"].all()),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"published_in": published.reference, "comparison": table_metadata(table)},
    )


def _own_splits(settings: Settings) -> dict[str, str] | None:
    """Name the split of each recording by the dataset's folds; None where they are not at hand."""
    folds = settings.dataset.folds
    try:
        return folds.name_splits(settings.open_source()) if folds else None
    except EcgAssetsError:
        return None


@dg.asset_check(asset="upstream_labels", blocking=False)
def counts_are_the_published_ones(upstream_labels: pd.DataFrame) -> dg.AssetCheckResult:
    """On all of MIMIC-IV-ECG, ECG-FM's labeler gives its published counts exactly."""
    studies = upstream_labels["record_id"].nunique()
    source = facts_of(upstream_labels, "upstream_labels")[SOURCE]
    published = read_published_counts(source)
    if published is None or studies != published.studies:
        reason = f"nothing is published of {studies} studies of {source}"
        return dg.AssetCheckResult(passed=True, metadata={"studies": studies, "compared": reason})
    table = compare_with_published(upstream_labels, published)
    return dg.AssetCheckResult(
        passed=bool((table["positives"] == table["published"]).all()),
        metadata={"studies": studies, "comparison": table_metadata(table)},
    )


# Checks of the stage split.


@dg.asset_check(asset="split", blocking=True)
def no_patient_in_two_splits(split: pd.DataFrame) -> dg.AssetCheckResult:
    """A patient in two splits makes every later number too good."""
    leaking = len(find_leaking_patients(split))
    return dg.AssetCheckResult(
        passed=leaking == 0,
        metadata={
            "patients": int(split["subject_id"].nunique()),
            "patients_in_two_splits": leaking,
        },
    )


@dg.asset_check(asset="split", blocking=True)
def no_split_is_empty(settings: Settings, split: pd.DataFrame) -> dg.AssetCheckResult:
    """Training, choosing and testing each need records; a share of 0 says that none are wanted."""
    counts = count_splits(split).set_index("split")["records"]
    left_out = settings.split_shares.left_out if settings.split_shares else ()
    empty = sorted(set(counts.index[counts == 0]) - set(left_out))
    return dg.AssetCheckResult(
        passed=not empty,
        description=f"None of {counts.sum()} recordings came into {' and '.join(empty)}. Add "
        "patients (30 at least), raise ECG_VALID_SHARE and ECG_TEST_SHARE, or give a split of "
        "yours by ECG_META_SPLIT."
        if empty
        else None,
        metadata={f"records_{name}": int(n) for name, n in counts.items()},
    )


@dg.asset_check(asset="split", blocking=False)
def shares_are_those_asked_for(settings: Settings, split: pd.DataFrame) -> dg.AssetCheckResult:
    """Of a split by hash: more or fewer patients than chance gives are a split of other shares."""
    if settings.split_shares is None:
        return dg.AssetCheckResult(
            passed=True, metadata={"compared": f"only shares of a hash, not {settings.split_rule}"}
        )
    table = compare_shares(split, settings.split_shares)
    return dg.AssetCheckResult(
        passed=bool(table["is_expected"].all()),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"shares": table_metadata(table)},
    )


# Checks of the stage preprocess.


@dataclass(frozen=True)
class _ShardCounts:
    shard: str
    kept: int
    rejected: int

    @property
    def share(self) -> float:
        """Share of the shard's recordings that could not be read."""
        return self.rejected / max(self.kept + self.rejected, 1)


@dg.asset_check(asset="signal_shards", blocking=True, partitions_def=SHARDS)
def rejected_share_is_below_limit(
    context: AssetCheckExecutionContext, settings: Settings
) -> dg.AssetCheckResult:
    """A shard full of unreadable files is a broken or partial copy; each shard has its result."""
    run = context.op_execution_context
    found = [_count(settings, shard) for shard in run.partition_keys]
    results = {counts.shard: _judge(settings, counts) for counts in found}
    if len(found) > 1:
        # Dagster gives the one result of a run over many partitions to none of them.
        for shard, result in results.items():
            run.log_event(
                dg.AssetCheckEvaluation(  # type: ignore[arg-type]  # it takes one
                    asset_key=dg.AssetKey("signal_shards"),
                    check_name="rejected_share_is_below_limit",
                    passed=result.passed,
                    description=result.description,
                    metadata=result.metadata,
                    partition=shard,
                    blocking=True,
                )
            )
    worst = max(found, key=lambda counts: counts.share)
    return dg.AssetCheckResult(
        passed=all(result.passed for result in results.values()),
        description=results[worst.shard].description,
        metadata={
            "records": sum(counts.kept for counts in found),
            "rejected": sum(counts.rejected for counts in found),
            "shards": len(found),
            "worst_shard": worst.shard,
            "rejected_share": worst.share,
            "limit": settings.max_rejected_share,
        },
    )


@dg.asset_check(asset="signal_quality", blocking=False)
def limb_leads_fit_each_other(signal_quality: pd.DataFrame) -> dg.AssetCheckResult:
    """Limb leads that contradict each other stand under wrong names or with wrong signs."""
    faulty = signal_quality[signal_quality["limb_fault"] > 0]
    return dg.AssetCheckResult(
        passed=faulty.empty,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "recordings": int(faulty["limb_fault"].sum()),
            "shards": faulty["shard"].tolist(),
        },
    )


def _count(settings: Settings, shard: str) -> _ShardCounts:
    stored = settings.stored.shards / f"{shard}.parquet"
    rejects = pq.read_table(settings.stored.folder("rejects") / stored.name, columns=["reason"])
    reasons = rejects["reason"].to_pylist()
    # Where fewer leads are usual, such a recording is left out, and is not unreadable.
    expected = reasons.count("missing_lead") if settings.dataset.may_lack_leads else 0
    return _ShardCounts(shard, pq.read_metadata(stored).num_rows, len(reasons) - expected)


def has_too_many_rejects(settings: Settings, shard: str) -> bool:
    """Whether a shard is stored and its check would not pass."""
    is_stored = (settings.stored.shards / f"{shard}.parquet").is_file()
    return is_stored and _count(settings, shard).share > settings.max_rejected_share


def _judge(settings: Settings, counts: _ShardCounts) -> dg.AssetCheckResult:
    limit, rejects = settings.max_rejected_share, settings.stored.folder("rejects")
    passed, description = counts.share <= limit, None
    if not passed:
        path = rejects / f"{counts.shard}.parquet"
        reasons = pq.read_table(path, columns=["reason"]).to_pandas()["reason"].value_counts()
        why = ", ".join(f"{n} {reason}" for reason, n in reasons.items())
        description = (
            f"{counts.rejected} of {counts.kept + counts.rejected} recordings of shard "
            f"{counts.shard} cannot be read ({why}), more than the share of {limit:g} that "
            f"ECG_MAX_REJECTED_SHARE allows. {path} says "
            "of each what is wrong, docs/formats/recordings.md what to do. Repair or remove them, "
            "or raise that share."
        )
    return dg.AssetCheckResult(
        passed=passed,
        description=description,
        metadata={
            "records": counts.kept,
            "rejected": counts.rejected,
            "rejected_share": counts.share,
            "limit": limit,
        },
    )


# Checks of the stage build.


@dg.asset_check(asset="manifests", name="no_patient_in_two_splits", blocking=True)
def no_patient_in_two_splits_of_manifests(manifests: Manifest) -> dg.AssetCheckResult:
    """The same check as on the split, on the manifests as they were written."""
    leaking = len(find_leaking_patients(manifests.index))
    return dg.AssetCheckResult(
        passed=leaking == 0,
        metadata={
            "patients": int(manifests.index["subject_id"].nunique()),
            "patients_in_two_splits": leaking,
        },
    )


@dg.asset_check(asset="manifests", blocking=True)
def every_row_points_at_a_sample(settings: Settings, manifests: Manifest) -> dg.AssetCheckResult:
    """Each row's shard and row hold the record that the manifest names."""
    missing = find_missing_samples(manifests.index, settings.stored.shards)
    return dg.AssetCheckResult(
        passed=len(missing) == 0,
        metadata={"rows": len(manifests.index), "rows_without_sample": len(missing)},
    )


@dg.asset_check(
    asset="manifests", additional_ins={"record_list": dg.AssetIn("record_list")}, blocking=False
)
def every_shard_is_used(manifests: Manifest, record_list: pd.DataFrame) -> dg.AssetCheckResult:
    """Recordings of shards that are not preprocessed are missing from training and evaluation.

    A partial copy of a dataset is usable: this warns.
    """
    excluded = manifests.excluded
    without = excluded.loc[excluded["reason"] == "shard_not_stored", "record_id"]
    missing = record_list.loc[record_list["record_id"].isin(without), "shard"].value_counts()
    return dg.AssetCheckResult(
        passed=missing.empty,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "shards": record_list["shard"].nunique(),
            "shards_not_preprocessed": len(missing),
            "records_in_them": int(missing.sum()),
            "first_of_them": ", ".join(sorted(missing.index)[:5]) or "none",
        },
    )


@dg.asset_check(asset="manifests", blocking=False)
def every_label_has_positives(manifests: Manifest) -> dg.AssetCheckResult:
    """A label without positives in train is not learned, without some in test not measured.

    Of numbers, one that is measured nowhere there.
    """
    counts = label_definition(manifests)
    counted = "known_count" if manifests.vocabulary.is_continuous else "pos_count"
    lacking = {
        name: counts.loc[counts[f"{counted}_{name}"] == 0, "name"].tolist()
        for name in ("train", "test")
    }
    return dg.AssetCheckResult(
        passed=not any(lacking.values()),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"lacking": lacking, "label_definition": table_metadata(counts)},
    )


@dg.asset_check(
    asset="manifests", additional_ins={"record_list": dg.AssetIn("record_list")}, blocking=False
)
def no_label_is_of_one_database(
    manifests: Manifest, record_list: pd.DataFrame
) -> dg.AssetCheckResult:
    """A label whose positives come from one of several databases can be told by its hospital."""
    counts = count_databases(manifests, record_list)
    confounded = find_confounded(counts)
    return dg.AssetCheckResult(
        passed=confounded.empty,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "databases": int(counts["database"].nunique()),
            "most_of_one_database": MOST_OF_ONE_DATABASE,
            "fewest_positives": FEWEST_POSITIVES,
            "confounded_labels": table_metadata(confounded),
        },
    )


# Checks of the stage finetune.


@dg.asset_check(
    asset="finetuned_checkpoint",
    additional_ins={"manifests": dg.AssetIn("manifests")},
    blocking=True,
    pool="gpu",
)
def reproduces_its_validation_loss(
    context: dg.AssetCheckExecutionContext,
    settings: Settings,
    trainer: Trainer,
    manifests: Manifest,
) -> dg.AssetCheckResult:
    """Load the checkpoint from disk and compute its validation loss again."""
    stored = latest_metadata(context.instance, "finetuned_checkpoint")
    folder = settings.store.checkpoints / str(stored["checkpoint_id"].value)
    found = trainer.computing(context, settings)(reproduce_loss, settings, folder, manifests)
    expected = float(stored["valid_loss"].value)
    return dg.AssetCheckResult(
        passed=bool(np.isclose(found, expected, rtol=1e-3, atol=1e-5)),
        metadata={"valid_loss_recorded": expected, "valid_loss_recomputed": found},
    )
