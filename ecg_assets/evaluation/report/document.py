"""The document behind a report: every number that the page shows, as JSON values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecg_assets.evaluation.label_noise import TOP_SHARE, count_suspects
from ecg_assets.evaluation.report.calibration_groups import calibrate_groups
from ecg_assets.evaluation.report.numbers import format_number
from ecg_assets.evaluation.report.tripod_ai import fill_checklist
from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.evaluation.sets import RELATIONS
from ecg_assets.made_with import plain_facts
from ecg_assets.metrics.intervals import LEAST_PATIENTS
from ecg_assets.metrics.metrics import MACRO, METRICS, SUMMARIES, Place, pick_macro, shown_in
from ecg_assets.models.checkpoint_folder import (
    IMPORT_REPORT,
    TRAINED_WEIGHTS,
    CheckpointCard,
    read_card,
    read_json,
)
from ecg_assets.models.predictions import Predictions
from ecg_assets.storage import to_json_value

# Which recordings to show as examples.


@dataclass(frozen=True)
class Strip:
    """One example: a row of the predictions, and what it is an example of."""

    row: int
    label: str
    kind: str
    score: float
    threshold: float

    @property
    def caption(self) -> str:
        """What the reader sees above the strip."""
        score, threshold = format_number(self.score), format_number(self.threshold)
        return f"{self.label}: {self.kind} (score {score}, threshold {threshold})"

    def to_json(self) -> dict[str, str | float]:
        """All but the row: a recording is not named."""
        return {
            "label": self.label,
            "kind": self.kind,
            "score": self.score,
            "threshold": self.threshold,
        }


def choose_examples(
    predictions: Predictions, result: EvaluationResult, *, n_labels: int = 4
) -> list[Strip]:
    """Pick, for the labels with most positives, the clearest hit and the worst errors.

    For each label: the true positive with the highest score, the false positive with the
    highest score, the false negative with the lowest score, where they exist.
    """
    defined = result.labels[result.labels["threshold"].notna() & result.labels["auroc"].notna()]
    chosen = defined.sort_values("n_pos", ascending=False).index[:n_labels]
    strips = []
    for label in chosen:
        threshold = float(result.labels["threshold"][label])
        target, score = predictions.target[:, label] == 1, predictions.score[:, label]
        called, absent = score >= threshold, predictions.target[:, label] == 0
        for kind, rows, sign in (
            ("true positive", target & called, -1),
            ("false positive", absent & called, -1),
            ("false negative", target & ~called, 1),
        ):
            found = np.flatnonzero(rows)
            if len(found):
                row = int(found[np.argmin(sign * score[found])])
                name = str(result.labels["label"][label])
                strips.append(Strip(row, name, kind, float(score[row]), threshold))
    return strips


FEW_POSITIVES = 20
"""Below this count of positive recordings a label's numbers are marked as uncertain."""


@dataclass(frozen=True)
class Difference:
    """A checkpoint against another one on the recordings that both scored.

    Attributes
    ----------
    champion
        The best checkpoint of the evaluation set.
    other
        What this checkpoint is compared with: the champion or, if it is the champion itself,
        the runner-up.
    other_weights_sha256
        Of the other's weights; None where its folder is gone.
    n_checkpoints
        Checkpoints evaluated on this set.
    table
        Columns ``label, metric, difference, low, high, n, n_pos``: this minus the other.
    n_resamples, seed
        Of the paired bootstrap.
    """

    champion: str
    other: str
    other_weights_sha256: str | None
    n_checkpoints: int
    table: pd.DataFrame
    n_resamples: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON values, with the row of the macro AUROC apart."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        rows = to_rows(self.table)
        macro = to_rows(pick_macro(self.table))
        return {**fields, "table": rows, "macro_auroc": macro[0] if macro else None}


@dataclass(frozen=True)
class Findings:
    """What else is known of a checkpoint; None where it was not materialized.

    Attributes
    ----------
    slices
        Table ``slice_metrics``.
    external
        Results on other datasets.
    lead_degradation
        Table ``lead_degradation``.
    label_noise
        Table ``label_noise``; only counts of it are shown.
    difference
        Against the champion of the set.
    not_compared
        Why there is no difference.
    """

    slices: pd.DataFrame | None = None
    external: Sequence[EvaluationResult] | None = None
    lead_degradation: pd.DataFrame | None = None
    label_noise: pd.DataFrame | None = None
    difference: Difference | None = None
    not_compared: str = ""


@dataclass(frozen=True)
class Background:
    """What the numbers were made with.

    Attributes
    ----------
    model_card
        As `describe_checkpoint` gives it; empty where nothing is known.
    rules
        Rules of labels and split in words, e.g. ``label_set``, ``split_rule``.
    code
        ``git_commit`` and ``versions``.
    curves
        ``n_resamples`` and ``seed`` of the curves' bands.
    shown
        Other assets on the page to the SHA-256 of what is shown of them.
    excluded
        Recordings of the source that are in no split, and so without a score, by reason.
    """

    model_card: Mapping[str, Any] = field(default_factory=dict)
    rules: Mapping[str, Any] = field(default_factory=dict)
    code: Mapping[str, Any] = field(default_factory=dict)
    curves: Mapping[str, int] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)
    excluded: Mapping[str, int] = field(default_factory=dict)


def build_document(
    result: EvaluationResult,
    findings: Findings,
    background: Background,
    examples: Sequence[Strip] = (),
) -> dict[str, Any]:
    """Collect all numbers of a report; an undefined one is null.

    No recording and no patient is named: of tables about recordings there are counts.
    """
    document = {
        "evaluation": result.to_json(),
        "set_name": result.evaluation_set.name,
        "relation_name": RELATIONS[result.relation],
        "external_names": [
            one.evaluation_set.describe(one.relation) for one in findings.external or ()
        ],
        "summary": _summary(result),
        "is_too_small": result.is_too_small,
        "slices": _slices(findings.slices),
        "calibration_groups": _calibration_groups(findings.slices),
        "external": None if findings.external is None else [r.to_json() for r in findings.external],
        "lead_degradation": _rows(findings.lead_degradation),
        "label_noise": _label_noise(findings.label_noise),
        "difference": findings.difference and findings.difference.to_json(),
        "not_compared": findings.not_compared,
        "glossary": {name: METRICS[name].meaning for name in METRICS if name in result.macro},
        "summary_meanings": SUMMARIES,
        "examples": [strip.to_json() for strip in examples],
        **{name: dict(getattr(background, name)) for name in background.__dataclass_fields__},
    }
    return finish_document(document)


def finish_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """Make a document plain JSON values, and add the checklist of what it states."""
    plain: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
    return {**plain, "tripod_ai": fill_checklist(plain)}


def to_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table as JSON values; a missing or infinite number is null."""
    rows: list[dict[str, Any]] = to_json_value(table.to_dict("records"))
    return rows


def _rows(table: pd.DataFrame | None) -> list[dict[str, Any]] | None:
    return None if table is None else to_rows(table)


def _slices(table: pd.DataFrame | None) -> list[dict[str, Any]] | None:
    """Only the macro rows: a page of all labels in all groups is read by nobody."""
    if table is None:
        return None
    is_shown = (table["label"] == MACRO) & table["metric"].isin(shown_in(Place.GROUPS))
    return to_rows(table[is_shown])


def _calibration_groups(table: pd.DataFrame | None) -> list[dict[str, Any]] | None:
    return None if table is None else to_rows(calibrate_groups(table))


def _summary(result: EvaluationResult) -> dict[str, float | int]:
    labels = result.labels
    defined = labels[labels["auroc"].notna()]
    summary: dict[str, float | int] = {
        "n_labels": len(labels),
        "n_positive": int(labels["n_pos"].sum()),
        "n_pairs": int(labels["n"].sum()),
        "n_defined": len(defined),
        "n_undefined": len(labels) - len(defined),
        "few_positives": FEW_POSITIVES,
        "n_few": int((defined["n_pos"] < FEW_POSITIVES).sum()),
        "n_without_threshold": int(labels["threshold"].isna().sum()),
        "least_patients": LEAST_PATIENTS,
    }
    if len(defined):
        summary["mean_prevalence"] = float(defined["prevalence"].mean())
    return summary


def _label_noise(table: pd.DataFrame | None) -> dict[str, Any] | None:
    """Count suspected labels: never a recording, never a line of a report."""
    if table is None:
        return None
    counts = count_suspects(table)
    totals = {name: int(counts[name].sum()) for name in ("pairs", "top", "likely_wrong")}
    return {**totals, "top_share": TOP_SHARE, "labels": to_rows(counts[counts["top"] > 0])}


# What is known of a checkpoint, for a model card: read from its folder, without torch.


_FROM_RUN = (
    "trained_on",
    "n_parameters",
    "n_trained_parameters",
    TRAINED_WEIGHTS,
    "best_epoch",
    "epochs_trained",
    "valid_loss",
    "valid_macro_auroc",
    "splits",
    "labels",
    "seed",
    "code",
    "inputs",
)
_FROM_REQUEST = ("preset", "recipe", "precision")

FACTS = (
    "kind",
    "weights_sha256",
    "pretrained_weights_sha256",
    "source_file",
    "assumed",
    *_FROM_RUN,
    *_FROM_REQUEST,
)
"""Names of all that a model card can say."""


def describe_checkpoint(folder: Path) -> dict[str, Any]:
    """Collect a checkpoint's data, recipe and origin as JSON values; what is unknown is null.

    Parameters
    ----------
    folder
        The checkpoint.

    Returns
    -------
    dict
        ``kind`` (``trained here``, ``imported`` or ``unknown``), ``weights_sha256``,
        ``source_file`` of an import, and of a training: data, splits, recipe, seed, code.
    """
    card = read_card(folder)
    facts: dict[str, Any] = {name: card.run.get(name) for name in _FROM_RUN}
    facts["trained_on"] = plain_facts(card.trained_on) or None
    request = card.run.get("request", {})
    facts |= {name: request.get(name) for name in _FROM_REQUEST}
    facts["pretrained_weights_sha256"] = (request.get("inputs") or {}).get("pretrained")
    facts["weights_sha256"] = card.weights_sha256
    facts["source_file"], facts["assumed"] = _read_import(folder)
    facts["kind"] = _kind(card, is_imported=facts["source_file"] is not None)
    return facts


def _read_import(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """File that a checkpoint was imported from, and what was assumed of it."""
    if not (folder / IMPORT_REPORT).is_file():
        return None, []
    report = read_json(folder / IMPORT_REPORT)
    return report.get("source"), list(report.get("assumed", []))


def _kind(card: CheckpointCard, *, is_imported: bool) -> str:
    if is_imported:
        return "imported"
    return "trained here" if card.run else "unknown"
