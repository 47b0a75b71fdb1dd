"""The document behind a report: every number that the page shows, as JSON values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ecg_assets.evaluation.noise.label_review import count_suspects
from ecg_assets.evaluation.noise.planted_flips import TOP_SHARE
from ecg_assets.evaluation.report.examples import Strip
from ecg_assets.evaluation.report.metric_glossary import GLOSSARY, SUMMARY_MEANINGS
from ecg_assets.evaluation.result import EvaluationResult

FEW_POSITIVES = 20
"""Below this count of positive recordings a label's numbers are marked as uncertain."""

MACRO = "macro"


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
    other_fingerprint
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
    other_fingerprint: str | None
    n_checkpoints: int
    table: pd.DataFrame
    n_resamples: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON values, with the row of the macro AUROC apart."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        rows = to_rows(self.table)
        macro = [row for row in rows if row["label"] == MACRO and row["metric"] == "auroc"]
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
        Other assets on the page to the fingerprint of what is shown of them.
    """

    model_card: Mapping[str, Any] = field(default_factory=dict)
    rules: Mapping[str, Any] = field(default_factory=dict)
    code: Mapping[str, Any] = field(default_factory=dict)
    curves: Mapping[str, int] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)


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
        "summary": _summary(result),
        "slices": _slices(findings.slices),
        "external": None if findings.external is None else [r.to_json() for r in findings.external],
        "lead_degradation": _rows(findings.lead_degradation),
        "label_noise": _label_noise(findings.label_noise),
        "difference": findings.difference and findings.difference.to_json(),
        "not_compared": findings.not_compared,
        "glossary": {name: asdict(GLOSSARY[name]) for name in GLOSSARY if name in result.macro},
        "summary_meanings": SUMMARY_MEANINGS,
        "examples": [strip.to_json() for strip in examples],
        **{name: dict(getattr(background, name)) for name in background.__dataclass_fields__},
    }
    plain: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
    return plain


def to_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table as JSON values; a missing or infinite number is null."""
    clean = table.replace([np.inf, -np.inf], np.nan).astype(object)
    rows: list[dict[str, Any]] = json.loads(
        json.dumps(clean.where(clean.notna(), None).to_dict("records"), default=_plain)
    )
    return rows


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def _rows(table: pd.DataFrame | None) -> list[dict[str, Any]] | None:
    return None if table is None else to_rows(table)


def _slices(table: pd.DataFrame | None) -> list[dict[str, Any]] | None:
    """Only the macro rows: a page of all labels in all groups is read by nobody."""
    return None if table is None else to_rows(table[table["label"] == MACRO])


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
