"""What the leaderboard is made of and what it shows: paired differences, picture, side files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq

from ecg_assets.defs.partitions import CHECKPOINTS
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.show import metric_with_interval, png_metadata
from ecg_assets.defs.tables import table_metadata
from ecg_assets.dropped.refused import list_refused
from ecg_assets.errors import SpecMismatch
from ecg_assets.evaluation import (
    EvaluationResult,
    compare_predictions,
    find_champions,
    find_compared_labels,
)
from ecg_assets.evaluation.leaderboard import draw_leaderboard
from ecg_assets.evaluation.sets import EvaluationSet
from ecg_assets.models.checkpoint_folder import is_stored
from ecg_assets.models.predictions import Predictions
from ecg_assets.storage import replace_file
from ecg_assets.tables import write_csv

_SHOWN = (
    "rank",
    "checkpoint",
    "copy_of",
    "verdict",
    "macro_auroc",
    "difference",
    "evaluation_set",
    "relation",
    "patients_seen",
    "n_labels",
    "n_patients",
)
"""Columns in the UI: a number and its interval are one, as ``0.998 [0.996, 0.999]``."""


def with_intervals(table: pd.DataFrame) -> pd.DataFrame:
    """Choose the columns to show of a leaderboard, each number with its interval as one text."""
    has_numbers = "macro_r2" in table
    shown = table[[*_SHOWN, "macro_r2"] if has_numbers else list(_SHOWN)].copy()
    texts = [("macro_auroc", "ratio"), ("difference", "signed")]
    for name, kind in [*texts, ("macro_r2", "ratio")] if has_numbers else texts:
        ends = zip(*(table[f"{name}{end}"] for end in ("", "_low", "_high")), strict=True)
        written = [metric_with_interval(one, kind=kind) for one in ends]
        shown[name] = pd.Series(written, index=table.index, dtype=object)
    return shown


@dataclass(frozen=True)
class Comparisons:
    """Paired differences of checkpoints from their set's champion.

    Attributes
    ----------
    differences
        Of ``(evaluation set, checkpoint)``, as `compare_predictions` gives them.
    not_compared
        Sentence a pair that could not be compared.
    """

    differences: dict[tuple[EvaluationSet, str], pd.DataFrame] = field(default_factory=dict)
    not_compared: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Evaluation:
    """A checkpoint's result on one set, and where the predictions behind it are stored."""

    result: EvaluationResult
    predictions: Path


def collect_evaluations(
    settings: Settings,
    eval_metrics: Mapping[str, EvaluationResult],
    external_metrics: Mapping[str, Sequence[EvaluationResult]],
) -> list[Evaluation]:
    """Put the results on the current source and on the external sets into one list."""
    own, external = (
        settings.stored.folder("predictions"),
        settings.stored.folder("external_predictions"),
    )
    found = [Evaluation(r, own / f"{r.checkpoint}.parquet") for r in eval_metrics.values()]
    for results in external_metrics.values():
        found += [Evaluation(r, external / r.checkpoint / f"{r.source}.parquet") for r in results]
    return found


def by_registration(
    instance: dg.DagsterInstance, results: Iterable[EvaluationResult]
) -> list[EvaluationResult]:
    """Sort results by when their checkpoints became partitions: a copy comes after its original."""
    keys = instance.get_dynamic_partitions(str(CHECKPOINTS.name))
    place = {key: number for number, key in enumerate(keys)}
    return sorted(results, key=lambda result: place.get(result.checkpoint, len(place)))


def compare_with_champions(
    evaluations: Sequence[Evaluation], results: Sequence[EvaluationResult], *, seed: int
) -> Comparisons:
    """Compare every result with the champion of its set, on the recordings both scored.

    `results` are those of the evaluations, in the order of `by_registration`. As many resamples
    are drawn as for the result's own intervals.
    """
    found = Comparisons()
    paths = {(e.result.evaluation_set, e.result.checkpoint): e.predictions for e in evaluations}
    champions = find_champions(results)
    for evaluation in evaluations:
        one, checkpoint = evaluation.result.evaluation_set, evaluation.result.checkpoint
        champion = champions.get(one)
        if champion is None or champion == checkpoint:
            continue
        labels = find_compared_labels([r for r in results if r.evaluation_set == one])
        pair = evaluation.predictions, paths[one, champion]
        n_resamples = evaluation.result.n_resamples
        try:
            found.differences[one, checkpoint] = compare_pair(
                *pair, labels, n_resamples=n_resamples, seed=seed
            )
        except (SpecMismatch, FileNotFoundError) as error:
            found.not_compared.append(f"{checkpoint} with {champion} on {one.name}: {error}")
    return found


def compare_pair(
    challenger: Path, champion: Path, labels: list[str], *, n_resamples: int, seed: int
) -> pd.DataFrame:
    """Subtract the champion's metrics from the challenger's, from their stored predictions."""
    return compare_predictions(
        read_predictions(challenger),
        read_predictions(champion),
        labels=labels,
        n_resamples=n_resamples,
        seed=seed,
    )


def read_predictions(path: Path) -> Predictions:
    """Read the stored predictions of one checkpoint on one set."""
    return Predictions.from_table(pq.read_table(path))


def leaderboard_metadata(
    settings: Settings, table: pd.DataFrame, comparisons: Comparisons, skipped: pd.DataFrame
) -> dict[str, Any]:
    """Write the leaderboard as CSV and PNG beside its Parquet; give what the UI shows."""
    folder = settings.stored.folder("leaderboard")
    with replace_file(folder / "leaderboard.csv") as temporary:
        write_csv(table, temporary)
    names = table["checkpoint"].unique()
    shown: dict[str, Any] = {
        "leaderboard": table_metadata(with_intervals(table)),
        "csv": dg.MetadataValue.path(folder / "leaderboard.csv"),
        "not_compared": comparisons.not_compared,
        "skipped_results": table_metadata(skipped),
        "removed_checkpoints": [n for n in names if not is_stored(settings.store.checkpoints, n)],
        "refused_checkpoints": table_metadata(list_refused(settings.store)),
    }
    if (picture := draw_leaderboard(table)) is not None:
        with replace_file(folder / "leaderboard.png") as temporary:
            temporary.write_bytes(picture)
        shown["macro_auroc"] = png_metadata(picture, "macro AUROC by checkpoint")
    return shown
