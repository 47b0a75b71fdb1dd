"""One cell of a protocol by some rules, at rest: its scores, its number, and what made it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ecg_assets.errors import SchemaError
from ecg_assets.evaluation.external.labels import keep_names
from ecg_assets.evaluation.matrix.stored import MissingCell
from ecg_assets.known import is_positive
from ecg_assets.metrics.intervals import LEAST_PATIENTS, find_percentiles, undefined_if_constant
from ecg_assets.metrics.published_intervals import (
    Measure,
    Resampling,
    Undefined,
    Unit,
    find_two_class_labels,
    resample_macro,
)
from ecg_assets.models.predictions import Predictions
from ecg_assets.protocols.protocol import ProtocolCell, Rules
from ecg_assets.storage import replace_folder, to_json_value, write_json

FACTS, PREDICTIONS = "cell.json", "predictions.parquet"


@dataclass(frozen=True)
class CellFacts:
    """What a cell's scores are of.

    Attributes
    ----------
    model, mode, task, seed, rules
        The cell.
    identity
        Fingerprint of all that protocol and settings ask of it.
    method
        How it was trained.
    weights, weights_sha256
        What the model started from, in words; and the weights that scored.
    seen_before
        What earlier training saw of the test patients, in words; empty for random weights.
    signal_spec, data
        What it read, and of which recordings: `TaskData.facts`.
    left_out
        Labels without numbers, each with the reason.
    training
        More about the training, as JSON values.
    """

    model: str
    mode: str
    task: str
    seed: int
    rules: str
    identity: str
    method: str
    weights: str
    weights_sha256: str
    seen_before: str
    signal_spec: dict[str, Any]
    data: dict[str, Any]
    left_out: dict[str, str]
    training: dict[str, Any]


@dataclass(frozen=True)
class StoredCell:
    """An evaluated cell by some rules: what it is of, and the test split's scores."""

    facts: CellFacts
    predictions: Predictions


Found = StoredCell | MissingCell


def cell_folder(root: Path, cell: ProtocolCell, rules: Rules) -> Path:
    """Folder of a cell by some rules, below that of all cells."""
    place = root / cell.task / cell.model / cell.mode / str(cell.seed)
    return place / rules.replace(" ", "-")


def write_cell(root: Path, cell: ProtocolCell, rules: Rules, stored: StoredCell) -> Path:
    """Write a cell's files and give their folder; it is replaced as a whole."""
    folder = cell_folder(root, cell, rules)
    with replace_folder(folder) as temporary:
        write_json(temporary / FACTS, to_json_value(asdict(stored.facts)))
        table = stored.predictions.to_table()
        pq.write_table(table, temporary / PREDICTIONS, compression="zstd")
    return folder


def read_cell(root: Path, cell: ProtocolCell, rules: Rules) -> StoredCell | None:
    """Read a cell; None where it was not evaluated.

    Raises
    ------
    SchemaError
        When its files are of another version.
    """
    folder = cell_folder(root, cell, rules)
    if not (folder / FACTS).is_file():
        return None
    try:
        facts = CellFacts(**json.loads((folder / FACTS).read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise SchemaError(
            f"{folder / FACTS} was written by another version ({error}). Materialize this "
            "partition of protocol_cell again."
        ) from error
    return StoredCell(facts, Predictions.from_table(pq.read_table(folder / PREDICTIONS)))


# What the scores are worth.


@dataclass(frozen=True)
class Measured:
    """A macro mean with its interval.

    Attributes
    ----------
    value
        Mean over the seeds.
    low, high
        Of its interval; NaN where there is none.
    sd
        Standard deviation over seeds (n - 1); NaN of one.
    n, n_patients, n_pos, n_labels
        Recordings, patients, positives over all labels, and labels that the mean is over.
    reason
        Why value or interval is undefined; empty where it is not.
    left_out
        Labels that the mean is not over though they were scored, each with the reason.
    """

    value: float
    low: float
    high: float
    sd: float
    n: int
    n_patients: int
    n_pos: int
    n_labels: int
    reason: str
    left_out: dict[str, str]


def measure(seeds: Sequence[Predictions], metric: str, rule: Resampling, *, seed: int) -> Measured:
    """Measure a model's scores of one test split; of several seeds their mean.

    Parameters
    ----------
    seeds
        Scores of the same recordings by trainings that differ in their seed; the mean is over the
        labels that all of them have.
    metric
        ``macro_auroc``, ``macro_auprc`` or ``sensitivity_within_capacity``.
    rule
        How its interval is drawn. Resamples of patients need `LEAST_PATIENTS`.
    seed
        Of the resamples.

    Raises
    ------
    SchemaError
        When the seeds were measured on other recordings.
    """
    named = {name for one in seeds for name in one.vocabulary.names}
    seeds = share_labels(seeds)
    first = seeds[0]
    left_out = dict.fromkeys(
        sorted(named - {*first.vocabulary.names}), "not trained with each of the seeds"
    )
    n_patients = len(np.unique(first.subject_ids))
    labels = find_two_class_labels(first.target)
    n_labels = len(labels)
    if rule.undefined is Undefined.HALF:
        n_labels = len(first.vocabulary)
    else:
        one_sided = np.setdiff1d(np.arange(len(first.vocabulary)), labels)
        left_out |= {
            first.vocabulary.names[k]: "one class only in the test split" for k in one_sided
        }
    is_few = rule.unit is Unit.PATIENT and n_patients < LEAST_PATIENTS
    values, draws = resample_macro(
        first.target,
        np.stack([one.score for one in seeds]),
        first.subject_ids,
        Resampling(rule.unit, 0, rule.percent, rule.undefined) if is_few else rule,
        np.random.default_rng(seed),
        measure=Measure(metric.removeprefix("macro_")),
    )
    low, high, _ = find_percentiles(draws.mean(axis=1, keepdims=True), rule.percent)
    if rule.unit is Unit.PATIENT:
        low, high = undefined_if_constant(low, high)
    value = float(values.mean())
    reason = ""
    if not math.isfinite(value):
        reason = "no label has both classes in the test split"
    elif not math.isfinite(low[0]):
        reason = "no interval: a label has one class only in more than half of the resamples"
        if is_few:
            reason = f"no interval: {n_patients} patients, fewer than {LEAST_PATIENTS}"
        elif not rule.n_resamples:
            reason = "no interval: no resamples are asked for"
    return Measured(
        value,
        float(low[0]),
        float(high[0]),
        float(values.std(ddof=1)) if len(seeds) > 1 else math.nan,
        len(first),
        n_patients,
        int(is_positive(first.target).sum()),
        n_labels,
        reason,
        left_out,
    )


def share_labels(seeds: Sequence[Predictions]) -> list[Predictions]:
    """Keep the labels that all seeds scored: of a part of the patients one may lack a label.

    Raises
    ------
    SchemaError
        When they were measured on other recordings, or on other targets.
    """
    first = seeds[0]
    names = [n for n in first.vocabulary.names if all(n in s.vocabulary.names for s in seeds)]
    kept = [_take_labels(one, names) for one in seeds]
    if any(
        len(one) != len(first)
        or (one.record_ids != first.record_ids).any()
        or (one.target != kept[0].target).any()
        for one in kept
    ):
        raise SchemaError(
            "Seeds of one cell were measured on other recordings or labels: materialize all of "
            "them again."
        )
    return kept


def _take_labels(scores: Predictions, names: Sequence[str]) -> Predictions:
    if tuple(names) == scores.vocabulary.names:
        return scores
    columns = np.array([scores.vocabulary.names.index(name) for name in names], np.intp)
    return replace(
        scores,
        vocabulary=keep_names(scores.vocabulary, names),
        target=scores.target[:, columns],
        score=scores.score[:, columns],
    )
