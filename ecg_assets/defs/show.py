"""Pictures inline in an asset's metadata."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
from dagster import AssetExecutionContext
from numpy.typing import NDArray

from ecg_assets.build import Manifest
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.tables import table_metadata
from ecg_assets.evaluation import EvaluationResult, Strip
from ecg_assets.evaluation.label_noise import caption_suspect, count_suspects, write_review_list
from ecg_assets.evaluation.leaderboard import judge_difference
from ecg_assets.evaluation.report.document import Difference, to_rows
from ecg_assets.evaluation.report.figures import draw_auroc_forest
from ecg_assets.evaluation.report.numbers import format_number
from ecg_assets.evaluation.sets import RELATIONS
from ecg_assets.known import is_known
from ecg_assets.labels import LabelSet, LabelTables, label_prevalence
from ecg_assets.labels.audit import count_by_database
from ecg_assets.labels.figures import draw_cooccurrence, draw_databases, draw_prevalence
from ecg_assets.labels.label_tables import describe_targets, is_of_numbers
from ecg_assets.lineage import fingerprint_file
from ecg_assets.made_with import LABEL_THRESHOLD, known_facts
from ecg_assets.metrics.metrics import METRICS, pick_macro
from ecg_assets.models.checkpoint_folder import CONFUSION_MATRIX, WEIGHTS, CheckpointCard
from ecg_assets.models.predictions import Predictions
from ecg_assets.preprocess import ShardDataset, draw_strips, lead_in_mv
from ecg_assets.sources.datasets import name_databases
from ecg_assets.storage import replace_folder
from ecg_assets.tables import write_csv


def png_metadata(png: bytes | Path, title: str) -> dg.MarkdownMetadataValue:
    """Markdown with the PNG inline, which the UI shows behind "Show Markdown"."""
    data = png.read_bytes() if isinstance(png, Path) else png
    return dg.MetadataValue.md(
        f"![{title}](data:image/png;base64,{base64.b64encode(data).decode()})"
    )


# What the UI shows of labels, and progress of long labelling.


MOST_STATEMENTS, LEAST_COUNT = 20, 10
"""Of unmatched statements the UI shows those that carts print: a person's note occurs once."""


def describe_labels(
    tables: LabelTables, reports: pd.DataFrame, settings: Settings, label_set: LabelSet
) -> dict[str, Any]:
    """Count, list and draw; the pictures are files in ``labels_pictures``, too."""
    labelled = tables.labels["record_id"].nunique()
    if is_of_numbers(tables.labels):
        return {
            "records": labelled,
            "records_without_labels": len(reports) - labelled,
            "label_set": dg.MetadataValue.json(label_set.to_json()),
            "targets": table_metadata(describe_targets(tables.labels)),
        }
    of_record = tables.labels.groupby("record_id", observed=True)["value"].max()
    prevalence = label_prevalence(tables.labels)
    common = tables.unmatched[tables.unmatched["count"] >= LEAST_COUNT].head(MOST_STATEMENTS)
    metadata: dict[str, Any] = {
        "records": labelled,
        "records_without_labels": len(reports) - labelled,
        "records_in_other_languages": tables.n_in_other_languages,
        "share_without_positive_label": float((of_record < 1).mean()) if labelled else 0.0,
        "label_set": dg.MetadataValue.json(label_set.to_json()),
        "threshold": known_facts(tables.labels)[LABEL_THRESHOLD],
        "prevalence": table_metadata(prevalence),
        "unmatched_statements": table_metadata(common),
    }
    if labelled:
        pictures = {
            "prevalence.png": draw_prevalence(prevalence),
            "cooccurrence.png": draw_cooccurrence(tables.labels, label_set.vocabulary),
        }
        with replace_folder(settings.stored.folder("labels_pictures")) as folder:
            for name, png in pictures.items():
                (folder / name).write_bytes(png)
        metadata["prevalence_chart"] = png_metadata(pictures["prevalence.png"], "prevalence")
        metadata["cooccurrence"] = png_metadata(pictures["cooccurrence.png"], "co-occurrence")
    return metadata


def log_progress(context: AssetExecutionContext, what: str) -> Callable[[int, int], None]:
    """Log how many of how many are done."""
    return lambda done, total: context.log.info(f"{done} of {total} distinct {what} labelled")


def count_records(records: pd.DataFrame) -> dict[str, int]:
    """Count what a record list holds."""
    return {
        "records": len(records),
        "patients": records["subject_id"].nunique(),
        "shards": records["shard"].nunique(),
    }


def metric_with_interval(ends: Sequence[float], kind: str = "ratio") -> str:
    """Write a number with its interval, ``(value, low, high)``, in one text.

    >>> metric_with_interval((0.9981, 0.9962, 0.999)), metric_with_interval((0.5, np.nan, np.nan))
    ('0.998 [0.996, 0.999]', '0.500')
    """
    value, low, high = ends
    if not np.isfinite(low):
        return format_number(value, kind)
    return f"{format_number(value, kind)} [{format_number(low, kind)}, {format_number(high, kind)}]"


_HEADLINE = {name: f"macro {METRICS[name].title}" for name in ("auroc", "auprc")}


def headline(result: EvaluationResult) -> dict[str, Any]:
    """Give the numbers that an evaluation is known by, the first things to show of it."""
    titles = {"r2": "mean R²"} if result.is_of_numbers else _HEADLINE
    numbers = {
        title: metric_with_interval([result.macro[f"{name}{end}"] for end in ("", "_low", "_high")])
        for name, title in titles.items()
    }
    n_defined = result.labels[result.main_metric].notna().sum()
    return {
        **numbers,
        "evaluation_set": result.evaluation_set.name,
        "relation": RELATIONS[result.relation],
        "records": result.n_records,
        "patients": result.n_patients,
        "labels_defined": f"{n_defined} of {len(result.labels)}",
    }


def compared(difference: Difference | None, not_compared: str) -> dict[str, str]:
    """Say how a checkpoint stands against the champion of its set, or the runner-up."""
    macro, name = difference and difference.to_json()["macro_auroc"], "macro AUROC"
    if difference and not macro:
        rows, name = to_rows(pick_macro(difference.table, "r2")), "mean R²"
        macro = rows[0] if rows else None
    if not difference or not macro:
        return {"compared_with": f"nothing: {not_compared}"}
    ends = [
        np.nan if macro[name] is None else macro[name] for name in ("difference", "low", "high")
    ]
    return {
        "champion": difference.champion,
        "compared_with": difference.other,
        f"{name} minus the other's": metric_with_interval(ends, kind="signed"),
        "verdict": judge_difference(*ends[1:]),
    }


def describe_shards(records: pd.DataFrame, stored: Collection[str]) -> dict[str, Any]:
    """Say of how many of a source's shards a manifest is, and name those that are not stored."""
    shards = sorted(records["shard"].unique())
    lacking = [shard for shard in shards if shard not in stored]
    return {
        "shards_used": f"{len(shards) - len(lacking)} of {len(shards)}",
        "shards_not_preprocessed": lacking[:50],
    }


# What the UI shows of the databases that a manifest's recordings come from.


_TABLE, _PICTURE = "prevalence_by_database.csv", "prevalence_by_database.png"


def count_databases(manifest: Manifest, records: pd.DataFrame) -> pd.DataFrame:
    """Count the positives of a manifest's labels by database, as `count_by_database`."""
    rows = records.merge(manifest.index[["record_id"]], on="record_id", validate="one_to_one")
    databases = name_databases(rows).set_axis(rows["record_id"])
    of_index = databases.loc[manifest.index["record_id"]].tolist()
    if manifest.vocabulary.is_continuous:
        values = is_known(manifest.targets).astype(np.uint8)  # a database without any tells itself
        return count_by_database(values, manifest.vocabulary.names, of_index)
    return count_by_database(manifest.targets, manifest.vocabulary.names, of_index)


def describe_databases(
    manifest: Manifest, records: pd.DataFrame, settings: Settings
) -> dict[str, Any]:
    """Count and draw where there are several databases; files in ``manifests_pictures``, too."""
    counts = count_databases(manifest, records)
    databases = counts["database"].unique().tolist()
    metadata: dict[str, Any] = {"databases": dg.MetadataValue.json(databases)}
    if len(databases) < 2:
        return metadata
    picture = draw_databases(counts)
    with replace_folder(settings.stored.folder("manifests_pictures")) as folder:
        write_csv(counts, folder / _TABLE)
        (folder / _PICTURE).write_bytes(picture)
    return {
        **metadata,
        "prevalence_by_database": table_metadata(counts),
        "databases_of_labels": png_metadata(picture, "positives by database"),
    }


# What the UI shows of a fine-tuned checkpoint.


_NUMBERS = (
    *("valid_loss", "valid_macro_auroc", "valid_r2", "valid_accuracy"),
    *("test_loss", "test_macro_auroc", "test_r2"),
)


def trained_result(
    folder: Path, metadata: Mapping[str, Any] | None = None
) -> dg.MaterializeResult[None]:
    """Describe a finished checkpoint folder; its weights are the data version."""
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint_file(folder / WEIGHTS)),
        metadata={**checkpoint_metadata(folder), **(metadata or {})},
    )


def checkpoint_metadata(folder: Path) -> dict[str, Any]:
    """Read a checkpoint folder's run.json, history.csv and pictures.

    The test split's numbers are those of the epoch with the lowest validation loss.
    """
    run = json.loads((folder / "run.json").read_text())
    history = pd.read_csv(folder / "history.csv")
    return {
        "checkpoint_id": folder.name,
        "folder": dg.MetadataValue.path(folder),
        "best_epoch": int(run["best_epoch"]),
        **{name: float(run[name]) for name in _NUMBERS if run.get(name) is not None},
        "seed": run["seed"],
        "method": run["request"]["recipe"]["method"],
        "git_commit": run["code"]["git_commit"] or "unknown",
        "package_versions": run["code"]["versions"],
        "hardware": {**run["hardware"], **run["machine"]},
        "inputs": run["inputs"],
        "splits": table_metadata(_splits_table(run)),
        "curves": png_metadata(folder / "curves.png", "loss and AUROC or R² by epoch"),
        **_confusion_metadata(folder / CONFUSION_MATRIX),
        "history": table_metadata(history),
        "run": dg.MetadataValue.json(run),
        "signal_spec": json.loads((folder / "signal_spec.json").read_text()),
        "label_vocabulary": json.loads((folder / "label_vocabulary.json").read_text()),
    }


def _confusion_metadata(path: Path) -> dict[str, Any]:
    """Show the best epoch's confusion matrix, which exclusive labels alone have."""
    if not path.is_file():
        return {}
    return {"confusion_matrix": png_metadata(path, "validation of the best epoch")}


def _splits_table(run: Mapping[str, Any]) -> pd.DataFrame:
    """Tell of each split what was used, and what exclusive labels left out."""
    return pd.DataFrame([{"split": name, **counts} for name, counts in run["splits"].items()])


# What the list of doubted labels shows: files for the reviewer, and counts in the UI.


N_STRIPS = 6


def write_review(table: pd.DataFrame, shards: ShardDataset, lead: str, folder: Path) -> Path | None:
    """Write ``labels.csv`` for the reviewer and ``strips.png`` of the first recordings.

    Returns
    -------
    Path or None
        The picture; None where the list is empty.
    """
    with replace_folder(folder) as temporary:
        write_review_list(table, temporary / "labels.csv")
        if len(table):
            (temporary / "strips.png").write_bytes(_draw(table.head(N_STRIPS), shards, lead))
    return folder / "strips.png" if len(table) else None


def show_suspects(
    table: pd.DataFrame,
    not_judged: Mapping[str, str],
    strips: Path | None,
    folder: Path,
) -> dict[str, Any]:
    """Collect counts and the picture; no id and no line of a report."""
    shown = {
        "pairs_judged": len(table),
        "by_label": table_metadata(count_suspects(table)),
        "labels_not_judged": dg.MetadataValue.json(dict(not_judged)),
        "review_list": dg.MetadataValue.path(folder / "labels.csv"),
    }
    if strips is not None:
        shown["strips"] = png_metadata(strips, "The most suspicious labels")
    return shown


def _draw(chosen: pd.DataFrame, shards: ShardDataset, lead: str) -> bytes:
    stored = shards.read_records(chosen["record_id"].tolist(), [lead])
    read = [lead_in_mv(stored, row, lead) for row in range(len(chosen))]
    captions = [f"{caption_suspect(row)} · lead {lead}" for _, row in chosen.iterrows()]
    return draw_strips(captions, [signal for signal, _ in read], [rate for _, rate in read])


# What an evaluation shows: its pictures, its numbers in the UI, the inputs of training.


TRAINING = "training: "
"""Prefix of the inputs of training in a result's lineage."""

_SHOWN = (
    "label",
    "n_pos",
    "auroc",
    "auroc_low",
    "auroc_high",
    "auprc",
    "sensitivity",
    "specificity",
)


def training_inputs(card: CheckpointCard) -> dict[str, str]:
    """Fingerprints that the checkpoint was trained from, by prefixed name."""
    inputs: dict[str, str] = card.run.get("request", {}).get("inputs", {})
    return {f"{TRAINING}{name}": value for name, value in inputs.items()}


def metrics_metadata(result: EvaluationResult) -> dict[str, Any]:
    """Numbers and the picture that the UI shows of an evaluation."""
    macro = {
        f"macro_{name}": value
        for name, value in result.macro.items()
        if np.isfinite(value) and not name.endswith(("_low", "_high"))
    }
    return {
        **headline(result),
        "undefined_labels": list(result.undefined),
        **macro,
        "labels": table_metadata(
            result.labels if result.is_of_numbers else result.labels[list(_SHOWN)]
        ),
        "seen_in_training": table_metadata(pd.DataFrame(result.seen_in_training)),
        "evaluation_set_content_sha256": result.evaluation_set.content_sha256,
        **(
            {}
            if result.is_of_numbers
            else {"auroc_by_label": png_metadata(draw_auroc_forest(result), "AUROC by label")}
        ),
        "lineage": result.lineage,
    }


def draw_examples(
    strips: Sequence[Strip], predictions: Predictions, manifest: Manifest, shard_folder: Path
) -> dict[str, bytes]:
    """Draw the report's examples, a picture a label, by title."""
    lead = manifest.spec.leads[0]
    by_label: dict[str, list[Strip]] = {}
    for strip in strips:
        by_label.setdefault(strip.label, []).append(strip)
    pictures = {}
    for label, chosen in by_label.items():
        read = [
            read_signal_mv(manifest, str(predictions.record_ids[strip.row]), shard_folder, lead)
            for strip in chosen
        ]
        pictures[f"Examples of {label}"] = draw_strips(
            [f"{strip.caption} · lead {lead}" for strip in chosen],
            [signal for signal, _ in read],
            [rate for _, rate in read],
        )
    return pictures


def read_signal_mv(
    manifest: Manifest, record_id: str, shard_folder: Path, lead: str
) -> tuple[NDArray[np.float32], float]:
    """Read one lead of one recording in mV, and its sample rate."""
    where = manifest.index.loc[manifest.index["record_id"] == record_id].iloc[0]
    shard, row = str(where["shard"]), int(where["row"])
    shards = ShardDataset({shard: shard_folder / f"{shard}.parquet"})
    return lead_in_mv(shards.read_rows(shard, row, row + 1, [lead]), 0, lead)
