"""What the leaderboard is made of and what it shows: paired differences, picture, side files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq

from ecg_assets.defs.checkpoint_state import is_stored
from ecg_assets.defs.pictures import png_metadata
from ecg_assets.defs.refused_checkpoints import list_refused
from ecg_assets.defs.resources import Settings
from ecg_assets.defs.tables import table_metadata
from ecg_assets.errors import SpecMismatch
from ecg_assets.evaluation import (
    EvaluationResult,
    compare_predictions,
    find_champions,
    find_compared_labels,
)
from ecg_assets.evaluation.leaderboard_figure import draw_leaderboard
from ecg_assets.models.predictions import Predictions
from ecg_assets.storage import replace_file

_SHOWN = (
    "rank",
    "checkpoint",
    "verdict",
    "macro_auroc",
    "difference",
    "difference_low",
    "difference_high",
    "evaluation_set",
    "macro_auroc_low",
    "macro_auroc_high",
    "n_labels",
    "n_patients",
)


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

    differences: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict)
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
    own, external = settings.folder("predictions"), settings.folder("external_predictions")
    found = [Evaluation(r, own / f"{r.checkpoint}.parquet") for r in eval_metrics.values()]
    for results in external_metrics.values():
        found += [Evaluation(r, external / r.checkpoint / f"{r.source}.parquet") for r in results]
    return found


def compare_with_champions(settings: Settings, evaluations: Sequence[Evaluation]) -> Comparisons:
    """Compare every result with the champion of its set, on the recordings both scored."""
    found = Comparisons()
    paths = {(e.result.evaluation_set, e.result.checkpoint): e.predictions for e in evaluations}
    results = [evaluation.result for evaluation in evaluations]
    champions = find_champions(results)
    for (name, checkpoint), path in paths.items():
        champion = champions.get(name)
        if champion is None or champion == checkpoint:
            continue
        labels = find_compared_labels([r for r in results if r.evaluation_set == name])
        pair = path, paths[name, champion]
        try:
            found.differences[name, checkpoint] = compare_pair(settings, *pair, labels)
        except (SpecMismatch, FileNotFoundError) as error:
            found.not_compared.append(f"{checkpoint} with {champion} on {name}: {error}")
    return found


def compare_pair(
    settings: Settings, challenger: Path, champion: Path, labels: list[str]
) -> pd.DataFrame:
    """Subtract the champion's metrics from the challenger's, from their stored predictions."""
    return compare_predictions(
        read_predictions(challenger),
        read_predictions(champion),
        labels=labels,
        n_resamples=settings.n_resamples,
        seed=settings.seed,
    )


def read_predictions(path: Path) -> Predictions:
    """Read the stored predictions of one checkpoint on one set."""
    return Predictions.from_table(pq.read_table(path))


def leaderboard_metadata(
    settings: Settings, table: pd.DataFrame, comparisons: Comparisons
) -> dict[str, Any]:
    """Write the leaderboard as CSV and PNG beside its Parquet; give what the UI shows."""
    folder = settings.folder("leaderboard")
    with replace_file(folder / "leaderboard.csv") as temporary:
        table.to_csv(temporary, index=False)
    names = table["checkpoint"].unique()
    shown: dict[str, Any] = {
        "leaderboard": table_metadata(table[list(_SHOWN)]),
        "csv": dg.MetadataValue.path(folder / "leaderboard.csv"),
        "not_compared": comparisons.not_compared,
        "removed_checkpoints": [n for n in names if not is_stored(settings.checkpoints, n)],
        "refused_checkpoints": table_metadata(list_refused(settings)),
    }
    if (picture := draw_leaderboard(table)) is not None:
        with replace_file(folder / "leaderboard.png") as temporary:
            temporary.write_bytes(picture)
        shown["macro_auroc"] = png_metadata(picture, "macro AUROC by checkpoint")
    return shown
