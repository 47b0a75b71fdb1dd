"""All cells of a protocol in one table, beside what the paper printed; and models two by two."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.errors import SpecMismatch
from ecg_assets.evaluation.matrix.stored import MissingCell
from ecg_assets.metrics.mean_ranks import MeanRanks, rank_models
from ecg_assets.metrics.paired import ModelComparison, compare_models
from ecg_assets.metrics.published_intervals import Resampling, Undefined
from ecg_assets.preprocess.signal_spec import STANDARD_LEADS
from ecg_assets.protocols.cells import Found, Measured, StoredCell, measure, share_labels
from ecg_assets.protocols.protocol import Protocol, ProtocolCell, PublishedCell, Rules
from ecg_assets.tables import Column, TableSchema

ALL_SEEDS = "all"

INSIDE, OUTSIDE = "inside our interval", "outside our interval"
OTHER_DATA, NOT_PUBLISHED = "other data", "not published"
NOT_COUNTED = "How many recordings the paper tested is not known, so not whether these are its."
NO_INTERVAL, MISSING = "no interval", "missing"

PROTOCOL_TABLE = TableSchema(
    "protocol_table",
    (
        Column("task", pa.string(), "task, as the protocol names it"),
        Column("model", pa.string(), "model"),
        Column("mode", pa.string(), "how it was trained"),
        Column("seed", pa.string(), f"seed of the training; {ALL_SEEDS}: the mean over seeds"),
        Column("rules", pa.string(), " or ".join(Rules)),
        Column("metric", pa.string(), "what is measured on the test split"),
        Column("value", pa.float64(), "our number", nullable=True),
        Column("low", pa.float64(), "lower end of its interval", nullable=True),
        Column("high", pa.float64(), "upper end of its interval", nullable=True),
        Column("sd", pa.float64(), "standard deviation over seeds (n - 1)", nullable=True),
        Column("n", pa.int64(), "recordings of the test split"),
        Column("n_patients", pa.int64(), "their patients"),
        Column("n_pos", pa.int64(), "positives, summed over labels"),
        Column("n_labels", pa.int64(), "labels that the mean is over"),
        Column("n_seeds", pa.int64(), "trainings behind the value"),
        Column("published", pa.float64(), "the paper's number", nullable=True),
        Column("published_low", pa.float64(), "lower end of its interval", nullable=True),
        Column("published_high", pa.float64(), "upper end of its interval", nullable=True),
        Column("difference", pa.float64(), "ours minus the paper's", nullable=True),
        Column(
            "verdict",
            pa.string(),
            f"where the paper's number lies: {INSIDE}, {OUTSIDE}, {NO_INTERVAL} (of ours), "
            f"{OTHER_DATA} (the test split has not the paper's recordings), {NOT_PUBLISHED}, "
            f"{MISSING}",
        ),
        Column("in_pretraining", pa.bool_(), "the task's recordings were in the pre-training"),
        Column("seen_before", pa.string(), "test patients in earlier training", nullable=True),
        Column("method", pa.string(), "how it was trained in truth"),
        Column("note", pa.string(), "what must be known of the cell", nullable=True),
        Column("weights", pa.string(), "what the model starts from"),
        Column("weights_sha256", pa.string(), "of the weights that scored", nullable=True),
        Column("identity", pa.string(), "fingerprint of all that was asked", nullable=True),
    ),
)

PROTOCOL_COMPARISONS = TableSchema(
    "protocol_comparisons",
    (
        Column("task", pa.string(), "task"),
        Column("mode", pa.string(), "mode of both"),
        Column("first", pa.string(), "model"),
        Column("second", pa.string(), "the other model"),
        Column(
            "difference",
            pa.float64(),
            "macro AUROC, first minus second; of several seeds of their mean scores",
            nullable=True,
        ),
        Column("low", pa.float64(), "lower end, paired bootstrap of patients", nullable=True),
        Column("high", pa.float64(), "upper end", nullable=True),
        Column("p_value", pa.float64(), "permutation of patients, two-sided", nullable=True),
        Column("p_holm", pa.float64(), "adjusted for all pairs of task and mode", nullable=True),
        Column("n", pa.int64(), "recordings that all models of task and mode scored"),
        Column(
            "in_pretraining",
            pa.string(),
            "models whose pre-training had the task's recordings",
            nullable=True,
        ),
    ),
)

Cells = Mapping[tuple[ProtocolCell, Rules], Found]


def tabulate(protocol: Protocol, cells: Cells, *, n_resamples: int, seed: int) -> pd.DataFrame:
    """Put all cells into one table, in the protocol's order, by the paper's rules and corrected.

    Parameters
    ----------
    cells
        Each cell by both rules, stored or missing.
    n_resamples, seed
        Of the intervals over patients; the paper's are drawn as it drew them.

    Returns
    -------
    DataFrame
        `PROTOCOL_TABLE`.
    """
    groups = dict.fromkeys((c.task, c.model, c.mode) for c in protocol.cells)
    rows = [
        row
        for task, model, mode in groups
        for rules in Rules
        for row in _tabulate_group(protocol, cells, (task, model, mode), rules, n_resamples, seed)
    ]
    return pd.DataFrame(rows)[[column.name for column in PROTOCOL_TABLE.columns]]


def _tabulate_group(  # noqa: PLR0917
    protocol: Protocol,
    cells: Cells,
    group: tuple[str, str, str],
    rules: Rules,
    n_resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Give the row of all seeds, and of several one each, be it missing."""
    task, model, mode = group
    members = [ProtocolCell(model, mode, task, one) for one in protocol.seeds]
    rule = _rule_of(protocol, rules, n_resamples)
    parts = {str(cell.seed): [cell] for cell in members}
    if len(members) > 1:
        parts = {ALL_SEEDS: members, **parts}
    rows = []
    for name, part in parts.items():
        found = [cells[cell, rules] for cell in part]
        stored = [one for one in found if isinstance(one, StoredCell)]
        lacking = [
            (cell.seed, one.reason)
            for cell, one in zip(part, found, strict=True)
            if isinstance(one, MissingCell)
        ]
        row = _frame(protocol, part[0], rules) | {"seed": name}
        if not stored:
            rows.append(row | _of_missing(next(o for o in found if isinstance(o, MissingCell))))
            continue
        metric = protocol.tasks[task].metric
        measured = measure([one.predictions for one in stored], metric, rule, seed=seed)
        row |= _of_measured(protocol, part[0], measured, stored)
        notes = [row["note"], *(f"Seed {number} is missing: {why}." for number, why in lacking)]
        rows.append(row | {"note": " ".join(filter(None, notes)) or None})
    return rows


def _rule_of(protocol: Protocol, rules: Rules, n_resamples: int) -> Resampling:
    if rules is Rules.AS_PUBLISHED:
        return protocol.as_published.interval
    return Resampling(n_resamples=n_resamples, undefined=Undefined.REDRAW)


def _frame(protocol: Protocol, cell: ProtocolCell, rules: Rules) -> dict[str, Any]:
    """Give what is known of a row without any score."""
    published = protocol.published_of(cell)
    return {
        "task": cell.task,
        "model": cell.model,
        "mode": cell.mode,
        "rules": str(rules),
        "metric": protocol.tasks[cell.task].metric,
        "published": published.value if published else np.nan,
        "published_low": _number(published.low if published else None),
        "published_high": _number(published.high if published else None),
        "in_pretraining": cell.task in protocol.models[cell.model].saw,
        "method": protocol.method_of(cell, rules),
        "note": " ".join(note_cell(protocol, cell, published)) or None,
    }


def note_cell(protocol: Protocol, cell: ProtocolCell, published: PublishedCell | None) -> list[str]:
    """Say what must be known of the paper's number of a cell."""
    notes = [deviation.what for deviation in protocol.deviations_of(cell)]
    if published and published.lies_outside_itself:
        notes.append("The published number lies outside its own interval.")
    if published and protocol.tasks[cell.task].published_test_records is None:
        notes.append(NOT_COUNTED)
    if note := protocol.tasks[cell.task].note:
        notes.append(note)
    return notes


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _of_missing(missing: MissingCell) -> dict[str, Any]:
    return {
        **dict.fromkeys(("value", "low", "high", "sd", "difference"), np.nan),
        **dict.fromkeys(("n", "n_patients", "n_pos", "n_labels", "n_seeds"), 0),
        **dict.fromkeys(("seen_before", "weights_sha256", "identity")),
        "verdict": MISSING,
        "note": missing.reason,
        "weights": missing.weights,
    }


def _of_measured(
    protocol: Protocol, cell: ProtocolCell, measured: Measured, stored: Sequence[StoredCell]
) -> dict[str, Any]:
    facts, published = stored[0].facts, protocol.published_of(cell)
    left_out = {name: why for one in stored for name, why in one.facts.left_out.items()}
    left_out = measured.left_out | left_out
    notes = note_cell(protocol, cell, published)
    if measured.reason:
        notes.append(f"{measured.reason[0].upper()}{measured.reason[1:]}.")
    leads = facts.data.get("leads", STANDARD_LEADS)
    if {*STANDARD_LEADS} - {*leads}:
        notes.append(f"It was asked to read {', '.join(leads)} alone (ECG_LEADS).")
    if left_out:
        name, reason = next(iter(left_out.items()))
        notes.append(f"{len(left_out)} labels are left out, first {name}: {reason}.")
    return {
        "value": measured.value,
        "low": measured.low,
        "high": measured.high,
        "sd": measured.sd,
        "n": measured.n,
        "n_patients": measured.n_patients,
        "n_pos": measured.n_pos,
        "n_labels": measured.n_labels,
        "n_seeds": len(stored),
        "difference": measured.value - published.value if published else np.nan,
        "verdict": judge(protocol, cell, measured, published),
        "seen_before": facts.seen_before or None,
        "method": facts.method,
        "note": " ".join(notes) or None,
        "weights": facts.weights,
        "weights_sha256": facts.weights_sha256,
        "identity": facts.identity,
    }


def judge(
    protocol: Protocol, cell: ProtocolCell, measured: Measured, published: PublishedCell | None
) -> str:
    """Say where the paper's number lies; on other recordings it says nothing of ours."""
    if published is None:
        return NOT_PUBLISHED
    expected = protocol.tasks[cell.task].published_test_records
    if expected is not None and measured.n != expected:
        return OTHER_DATA
    if not math.isfinite(measured.low):
        return NO_INTERVAL
    return INSIDE if measured.low <= published.value <= measured.high else OUTSIDE


# Models two by two, by the corrected rules, and their ranks over tasks.


@dataclass(frozen=True)
class ComparedTask:
    """Models of one mode on one task.

    Attributes
    ----------
    models
        Those that have a score.
    saw
        Those of which the task's recordings were in the pre-training.
    comparison
        Two by two, in the order of `models`.
    n
        Recordings that all scored.
    """

    models: tuple[str, ...]
    saw: tuple[str, ...]
    comparison: ModelComparison
    n: int


@dataclass(frozen=True)
class RankedModels:
    """Models over tasks that all of them have a value of.

    Attributes
    ----------
    models, tasks
        Of which.
    seen
        Tasks that were in a model's pre-training: left out where two others are there.
    ranks
        Of `models`, over `tasks`.
    """

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    seen: tuple[str, ...]
    ranks: MeanRanks


@dataclass(frozen=True)
class ComparedModels:
    """Models of one mode, compared on each task and ranked over all of them.

    Attributes
    ----------
    mode
        What all were trained in.
    tasks
        Each task that two models or more have a score of.
    ranked
        None with fewer than three models that all such tasks have, or fewer than two tasks.
    """

    mode: str
    tasks: dict[str, ComparedTask]
    ranked: RankedModels | None


def compare(
    protocol: Protocol, cells: Cells, *, n_resamples: int, n_permutations: int, seed: int
) -> list[ComparedModels]:
    """Compare the models of each mode on each task, by the corrected rules.

    Of several seeds that all models have the mean of the scores is compared.
    """
    found = []
    for mode in protocol.modes:
        tasks = {}
        for task in protocol.tasks:
            scored = _mean_scores(protocol, cells, task, mode)
            if len(scored) < 2:
                continue
            target, scores, patients = _align(list(scored.values()))
            compared = compare_models(
                target,
                scores,
                patients,
                n_resamples=n_resamples,
                n_permutations=n_permutations,
                generator=np.random.default_rng(seed),
                is_redrawn=True,
            )
            saw = tuple(model for model in scored if task in protocol.models[model].saw)
            tasks[task] = ComparedTask(tuple(scored), saw, compared, len(target))
        if tasks:
            found.append(ComparedModels(mode, tasks, _rank(protocol, tasks)))
    return found


def _rank(protocol: Protocol, tasks: Mapping[str, ComparedTask]) -> RankedModels | None:
    """Rank the models that every task has, where it can be over tasks that none of them saw."""
    models = [m for m in protocol.models if all(m in one.models for one in tasks.values())]
    columns = {name: [one.models.index(m) for m in models] for name, one in tasks.items()}
    defined = {
        name: at
        for name, at in columns.items()
        if np.isfinite(tasks[name].comparison.values[at]).all()
    }
    seen = [name for name in defined if set(tasks[name].saw) & set(models)]
    unseen = {name: at for name, at in defined.items() if name not in seen}
    chosen = unseen if len(unseen) > 1 else defined
    if len(models) < 3 or len(chosen) < 2:
        return None
    ranks = rank_models(
        np.stack([tasks[name].comparison.values[at] for name, at in chosen.items()]),
        np.stack([tasks[name].comparison.draws[:, at] for name, at in chosen.items()]),
    )
    return RankedModels(tuple(models), tuple(chosen), tuple(seen), ranks)


@dataclass(frozen=True)
class _Scores:
    """Mean scores of a model's seeds."""

    record_ids: NDArray[np.str_]
    subject_ids: NDArray[np.str_]
    names: tuple[str, ...]
    target: NDArray[np.uint8]
    score: NDArray[np.float64]


def _mean_scores(protocol: Protocol, cells: Cells, task: str, mode: str) -> dict[str, _Scores]:
    """Take the mean scores of the seeds that all models have: more seeds alone score better."""
    of_models = {}
    for model in protocol.models:
        found = {
            seed: cells.get((ProtocolCell(model, mode, task, seed), Rules.CORRECTED))
            for seed in protocol.seeds
        }
        stored = {s: one.predictions for s, one in found.items() if isinstance(one, StoredCell)}
        if stored:
            of_models[model] = stored
    shared = [s for s in protocol.seeds if all(s in stored for stored in of_models.values())]
    means = {}
    for model, stored in of_models.items() if shared else ():
        members = share_labels([stored[seed] for seed in shared])
        first = members[0]
        means[model] = _Scores(
            first.record_ids,
            first.subject_ids,
            first.vocabulary.names,
            first.target,
            np.mean([one.score.astype(np.float64) for one in members], axis=0),
        )
    return means


def _align(
    scores: Sequence[_Scores],
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.str_]]:
    """Take the recordings and labels that all models scored."""
    shared = scores[0].record_ids
    for one in scores[1:]:
        shared = np.intersect1d(shared, one.record_ids)
    names = [name for name in scores[0].names if all(name in one.names for one in scores)]
    aligned = []
    for one in scores:
        rows = pd.Index(one.record_ids).get_indexer(pd.Index(shared))
        columns = np.array([one.names.index(name) for name in names], np.intp)
        aligned.append((one.target[np.ix_(rows, columns)], one.score[np.ix_(rows, columns)]))
    rows = pd.Index(scores[0].record_ids).get_indexer(pd.Index(shared))
    target = aligned[0][0]
    if any((other != target).any() for other, _ in aligned):
        raise SpecMismatch(
            "Models of one task were measured on other targets: labels changed between them. "
            "Materialize all partitions of protocol_cell again."
        )
    return target, np.stack([score for _, score in aligned]), scores[0].subject_ids[rows]


def tabulate_comparisons(compared: Sequence[ComparedModels]) -> pd.DataFrame:
    """Give `PROTOCOL_COMPARISONS`."""
    rows = [
        {
            "task": task,
            "mode": one.mode,
            "first": of_task.models[first],
            "second": of_task.models[second],
            "difference": of_task.comparison.difference[k],
            "low": of_task.comparison.difference_low[k],
            "high": of_task.comparison.difference_high[k],
            "p_value": of_task.comparison.p_value[k],
            "p_holm": of_task.comparison.p_holm[k],
            "n": of_task.n,
            "in_pretraining": ", ".join(
                of_task.models[at] for at in (first, second) if of_task.models[at] in of_task.saw
            )
            or None,
        }
        for one in compared
        for task, of_task in one.tasks.items()
        for k, (first, second) in enumerate(of_task.comparison.pairs)
    ]
    columns = [column.name for column in PROTOCOL_COMPARISONS.columns]
    return pd.DataFrame(rows, columns=columns)
