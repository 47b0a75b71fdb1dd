"""All evaluated checkpoints side by side, and which of them is the champion of its set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.evaluation.sets import RELATIONS, EvaluationSet, name_sets
from ecg_assets.figures import ACCENT, INK, draw_interval, make_figure, to_png
from ecg_assets.lineage import fingerprint_json
from ecg_assets.metrics.intervals import LEAST_PATIENTS
from ecg_assets.metrics.metrics import Place, best_first, pick_macro, shown_in
from ecg_assets.tables import Column, TableSchema

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _mean_columns(name: str) -> list[Column]:
    """Columns of a metric's mean over labels, and of its interval."""
    over = "mean over the compared labels"
    columns = [Column(f"macro_{name}", pa.float64(), over, nullable=True)]
    if name in shown_in(Place.LEADERBOARD_INTERVAL):
        why = "end of its 95 % interval; empty where the macro mean is over other labels too"
        columns += [
            Column(f"macro_{name}_{end}", pa.float64(), f"{which} {why}", nullable=True)
            for end, which in (("low", "lower"), ("high", "upper"))
        ]
    return columns


LEADERBOARD = TableSchema(
    "leaderboard",
    (
        Column("evaluation_set", pa.string(), "what the checkpoint was evaluated on, in words"),
        Column("content_sha256", pa.string(), "of the set's recordings, labels and targets"),
        Column("relation", pa.string(), "what the set is to the checkpoint"),
        Column(
            "patients_seen",
            pa.int64(),
            "evaluated patients in train or valid of any training behind the checkpoint; empty "
            "where that is unknown",
            nullable=True,
        ),
        Column("checkpoint", pa.string(), "the checkpoint's partition"),
        Column(
            "copy_of",
            pa.string(),
            "the first registered checkpoint of the same weights, input and labels; empty of that "
            "one itself",
            nullable=True,
        ),
        Column(
            "rank",
            pa.int64(),
            "place in its set by macro AUROC, from 1; ties by name, copies after what they copy",
        ),
        *(column for name in shown_in(Place.LEADERBOARD) for column in _mean_columns(name)),
        Column("difference", pa.float64(), "macro AUROC minus the champion's", nullable=True),
        Column("difference_low", pa.float64(), "lower end, paired by patient", nullable=True),
        Column("difference_high", pa.float64(), "upper end, paired by patient", nullable=True),
        Column(
            "verdict",
            pa.string(),
            "champion, copy of the champion, worse, not distinguishable (the interval holds 0), "
            "better (on the shared recordings), no interval, not compared, "
            f"fewer than {LEAST_PATIENTS} patients",
        ),
        Column("n_labels", pa.int64(), "labels that are defined for all checkpoints of the set"),
        Column("n_records", pa.int64(), "recordings in the set"),
        Column("n_patients", pa.int64(), "patients in the set"),
        Column(
            "is_champion",
            pa.bool_(),
            "best macro AUROC of its evaluation set among those that saw none of it; of copies, "
            f"the first registered; of none in a set of fewer than {LEAST_PATIENTS} patients",
        ),
    ),
)


LEADERBOARD_WITH_NUMBERS = TableSchema(
    "leaderboard",
    (
        *LEADERBOARD.columns,
        Column("macro_r2", pa.float64(), "mean R² over the compared targets", nullable=True),
        *(
            Column(f"macro_r2_{end}", pa.float64(), f"{which} end of its interval", nullable=True)
            for end, which in (("low", "lower"), ("high", "upper"))
        ),
    ),
)
"""Where a checkpoint predicts numbers: ranks and differences of its set are of its macro R²."""


TOO_FEW = f"fewer than {LEAST_PATIENTS} patients"
"""Verdict of all checkpoints on a set that is too small for one."""


def build_leaderboard(
    results: Sequence[EvaluationResult],
    differences: Mapping[tuple[EvaluationSet, str], pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Rank the checkpoints of each evaluation set; the first is its champion.

    Parameters
    ----------
    results
        One a checkpoint and set, in the order in which the checkpoints were registered: of several
        with the same weights, the later ones are copies.
    differences
        Of ``(evaluation set, checkpoint)``: what `compare_predictions` found between it and the
        set's champion (`find_champions`) over the labels of `find_compared_labels`.

    Returns
    -------
    DataFrame
        `LEADERBOARD`, ordered by set and rank; `LEADERBOARD_WITH_NUMBERS` where a result is of
        numbers.
    """
    rows: list[dict[str, Any]] = []
    groups = _group_by_set(results)
    names = name_sets(list(groups))
    for evaluation_set, members in groups.items():
        labels = find_compared_labels(members)
        copies = find_copies(members)
        ordered = _order(members, labels, copies)
        champion = _champion_of(ordered, labels, copies)
        for rank, result in enumerate(ordered, start=1):
            key = (result.evaluation_set, result.checkpoint)
            difference = _difference(result, champion, (differences or {}).get(key))
            if champion is not None and copies.get(result.checkpoint) == champion:
                difference["verdict"] = "copy of the champion"
            rows.append(
                {
                    "evaluation_set": names[evaluation_set],
                    "content_sha256": evaluation_set.content_sha256,
                    "relation": RELATIONS[result.relation],
                    "patients_seen": _count_seen(result),
                    "checkpoint": result.checkpoint,
                    "copy_of": copies.get(result.checkpoint),
                    "rank": rank,
                    **_macro(result, labels),
                    **difference,
                    "n_labels": len(labels),
                    "n_records": result.n_records,
                    "n_patients": result.n_patients,
                    "is_champion": result.checkpoint == champion,
                }
            )
    has_numbers = any(result.is_of_numbers for result in results)
    schema = LEADERBOARD_WITH_NUMBERS if has_numbers else LEADERBOARD
    table = pd.DataFrame(rows, columns=[column.name for column in schema.columns])
    table["copy_of"] = table["copy_of"].astype(object).where(table["copy_of"].notna(), None)
    return table.astype({"patients_seen": "Int64"})


def _count_seen(result: EvaluationResult) -> int | None:
    """Count the evaluated patients that trainings saw; None where one of them is unknown."""
    counts = [seen["evaluated_patients_seen"] for seen in result.seen_in_training]
    return sum(counts) if counts and None not in counts else None


def find_champions(results: Sequence[EvaluationResult]) -> dict[EvaluationSet, str]:
    """Find each evaluation set's champion: the highest macro AUROC, ties by name.

    One whose training is known to have seen patients of the set is none. Checkpoints of the same
    weights are one candidate, under the name of the first in `results`. A set of fewer than
    `LEAST_PATIENTS` has none.

    The mean is over the labels that are defined for all checkpoints of the set
    (`find_compared_labels`). A set without such a label has no champion.
    """
    champions = {}
    for name, members in _group_by_set(results).items():
        labels = find_compared_labels(members)
        copies = find_copies(members)
        champion = _champion_of(_order(members, labels, copies), labels, copies)
        if champion is not None:
            champions[name] = champion
    return champions


def find_compared_labels(results: Sequence[EvaluationResult]) -> list[str]:
    """List the labels whose AUROC is defined in every result, in the first one's order."""
    defined = [_defined_labels(result) for result in results]
    return [name for name in defined[0] if all(name in other for other in defined)]


def _defined_labels(result: EvaluationResult) -> list[str]:
    return list(result.labels["label"][result.labels[result.main_metric].notna()])


def _group_by_set(
    results: Sequence[EvaluationResult],
) -> dict[EvaluationSet, list[EvaluationResult]]:
    """Results on the same recordings with the same labels, by set, sets by name."""
    sets = sorted(
        {result.evaluation_set for result in results}, key=lambda s: (s.name, s.content_sha256)
    )
    return {one: [r for r in results if r.evaluation_set == one] for one in sets}


def find_copies(results: Sequence[EvaluationResult]) -> dict[str, str]:
    """Name for each checkpoint of an earlier one's weights that earlier one.

    Copies are told by the SHA-256 of their weights, and have the same input and labels.
    """
    first: dict[str, str] = {}
    copies = {}
    for result in results:
        weights = result.lineage.get("weights")
        model = fingerprint_json([weights, result.signal_spec, result.label_vocabulary])
        original = first.setdefault(model, result.checkpoint)
        if weights is not None and original != result.checkpoint:
            copies[result.checkpoint] = original
    return copies


def _order(
    members: Sequence[EvaluationResult], labels: list[str], copies: Mapping[str, str]
) -> list[EvaluationResult]:
    values = [_macro(result, labels)[f"macro_{result.main_metric}"] for result in members]
    names = [result.checkpoint for result in members]
    # A copy follows what it is a copy of.
    ties = [f"{copies[name]}\0{name}" if name in copies else name for name in names]
    return [members[k] for k in best_first(values, ties)]


def _champion_of(
    ordered: Sequence[EvaluationResult], labels: list[str], copies: Mapping[str, str]
) -> str | None:
    names = [result.checkpoint for result in ordered if result.is_leaking or result.is_too_small]
    out = {copies.get(name, name) for name in names}  # what one is known of, all have seen
    eligible = [r.checkpoint for r in ordered if r.checkpoint not in {*copies, *out}]
    return eligible[0] if labels and eligible else None


def _macro(result: EvaluationResult, labels: list[str]) -> dict[str, float]:
    """Means over the compared labels; the result's own intervals where they are of these."""
    picked = result.labels[result.labels["label"].isin(labels)]
    is_same = sorted(labels) == sorted(_defined_labels(result))
    found = {}
    for name in ["r2"] if result.is_of_numbers else shown_in(Place.LEADERBOARD):
        if name in picked:  # an older result may lack it
            found[f"macro_{name}"] = float(picked[name].mean())
            for end in ("low", "high"):
                value = result.macro[f"{name}_{end}"] if is_same else np.nan
                found[f"macro_{name}_{end}"] = value
    return found


def _difference(
    result: EvaluationResult, champion: str | None, table: pd.DataFrame | None
) -> dict[str, Any]:
    names = ("difference", "difference_low", "difference_high")
    if result.checkpoint == champion or table is None or result.is_too_small:
        verdict = "champion" if result.checkpoint == champion else "not compared"
        shown = TOO_FEW if result.is_too_small else verdict
        return {**dict.fromkeys(names, np.nan), "verdict": shown}
    row = pick_macro(table, result.main_metric).iloc[0]
    values = (float(row["difference"]), float(row["low"]), float(row["high"]))
    return {**dict(zip(names, values, strict=True)), "verdict": judge_difference(*values[1:])}


def judge_difference(low: float, high: float) -> str:
    """Say in a word what the interval of challenger minus champion means.

    >>> judge_difference(-0.02, -0.01), judge_difference(-0.02, 0.01)
    ('worse', 'not distinguishable')
    """
    if not np.isfinite(low):
        return "no interval"
    if high < 0:
        return "worse"
    return "better" if low > 0 else "not distinguishable"


# The leaderboard as a picture.


_ROW, _FRAME = 0.34, 1.0  # inches


def draw_leaderboard(table: pd.DataFrame) -> bytes | None:
    """Draw each checkpoint's macro AUROC, or R², with its interval, set by set; champions as stars.

    Parameters
    ----------
    table
        `LEADERBOARD`.

    Returns
    -------
    bytes or None
        A PNG; None when no checkpoint has one of the two.
    """
    metric = pd.Series("macro_auroc", index=table.index)
    if "macro_r2" in table:
        metric[table["macro_r2"].notna()] = "macro_r2"
    table = table.assign(metric=metric)
    is_shown = [bool(np.isfinite(row[row["metric"]])) for _, row in table.iterrows()]
    shown = table[is_shown]
    if shown.empty:
        return None
    sets = [(str(name), rows) for name, rows in shown.groupby("evaluation_set", sort=True)]
    heights = [len(rows) * _ROW + _FRAME for _, rows in sets]
    figure, grid = make_figure(
        8.5, sum(heights), len(sets), lines="x", is_list=True, height_ratios=heights
    )
    for axes, (name, rows) in zip(grid[:, 0], sets, strict=True):
        _draw_set(axes, name, rows)
    return to_png(figure)


def _draw_set(axes: Axes, name: str, rows: pd.DataFrame) -> None:
    places = np.arange(len(rows))[::-1]
    labels = []
    for place, (_, row) in zip(places, rows.iterrows(), strict=True):
        is_champion = bool(row["is_champion"])
        color = ACCENT if is_champion else INK
        marker, size = ("*", 12) if is_champion else ("o", 5)
        ends = [row[f"{row['metric']}{end}"] for end in ("", "_low", "_high")]
        draw_interval(axes, place, ends, color, marker=marker, size=size)
        labels.append(f"{row['checkpoint']}\n{row['verdict']}")
    axes.set_yticks(places, labels, fontsize=8.5)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    n_labels = int(rows["n_labels"].iloc[0])
    is_of_numbers = rows["metric"].iloc[0] == "macro_r2"
    what, title = ("targets", "mean R²") if is_of_numbers else ("labels", "macro AUROC")
    axes.set_title(f"{name}, {n_labels} {what}", loc="left", fontsize=9.5, color=INK)
    axes.set_xlabel(f"{title}, 95 % interval (patients resampled)", fontsize=9)


# Which checkpoint another one is compared with in its report.


@dataclass(frozen=True)
class Rival:
    """The checkpoint to compare with.

    Attributes
    ----------
    champion
        The best checkpoint of the evaluation set.
    other
        The champion; of the champion itself, the runner-up.
    labels
        Labels that are defined for all checkpoints of the set.
    n_checkpoints
        Checkpoints of the set.
    """

    champion: str
    other: str
    labels: tuple[str, ...]
    n_checkpoints: int


def find_rival(result: EvaluationResult, stored: Sequence[EvaluationResult]) -> Rival | None:
    """Find the champion of an evaluation's set, or the runner-up if it is the champion itself.

    Parameters
    ----------
    result
        The evaluation at hand.
    stored
        All stored evaluations, in the order in which the checkpoints were registered; those of
        other sets do not count, nor do copies of the same weights.

    Returns
    -------
    Rival or None
        None when no other checkpoint was evaluated on the set, or no label is defined for all.
    """
    of_set = [one for one in stored if one.evaluation_set == result.evaluation_set]
    others = [
        one
        for one in of_set
        if one.checkpoint != result.checkpoint and not find_copies([result, one])
    ]
    members = [result, *others]
    champion = find_champions(members).get(result.evaluation_set)
    if not others or champion is None:
        return None
    best_other = find_champions(others).get(result.evaluation_set)
    other = best_other if champion == result.checkpoint else champion
    if other is None:
        return None
    original = find_copies(of_set).get(champion, champion)
    return Rival(original, other, tuple(find_compared_labels(members)), len(members))
