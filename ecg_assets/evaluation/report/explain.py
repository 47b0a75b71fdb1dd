"""Everything behind one number of an evaluation, for people and in text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecg_assets.evaluation.report.numbers import format_number
from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.evaluation.sets import EvaluationSet
from ecg_assets.evaluation.thresholds import THRESHOLD_RULES
from ecg_assets.metrics.intervals import explain_missing_interval
from ecg_assets.metrics.metrics import METRICS, SUMMARIES, Metric

_WIDTH = 14


@dataclass(frozen=True)
class Explanation:
    """What a number is and what it was made from; ``str()`` gives it as text.

    Attributes
    ----------
    title
        Metric and label in words.
    value, low, high
        The number and its 95 % interval; None where undefined.
    facts
        Name to sentence: counts, formula, threshold, interval, checkpoint, labels, split.
    fingerprints
        Input to the SHA-256 of its content.
    number
        How the value is written, a kind of `format_number`.
    """

    title: str
    value: float | None
    low: float | None
    high: float | None
    facts: dict[str, str]
    fingerprints: dict[str, str]
    number: str = "ratio"

    def __str__(self) -> str:
        value = format_number(self.value, self.number)
        if self.low is not None and self.high is not None:
            interval = " to ".join(format_number(end, self.number) for end in (self.low, self.high))
            value = f"{value} (95 % interval {interval})"
        rows = {"value": value, **self.facts}
        lines = [self.title, *(f"  {name:<{_WIDTH}}{text}" for name, text in rows.items())]
        lines += ["  made from"]
        width = max((len(name) for name in self.fingerprints), default=0) + 2
        lines += [f"    {name:<{width}}{value}" for name, value in self.fingerprints.items()]
        return "\n".join(lines)


def explain(result: EvaluationResult | Mapping[str, Any], metric: str) -> Explanation:
    """Name everything behind a number.

    Parameters
    ----------
    result
        An evaluation, its JSON, or the content of a report's ``metrics.json`` (which knows
        the rules of labels and split, too).
    metric
        ``macro.auroc``, ``weighted.auprc``, ``micro.auroc``, or ``<label>.auroc``; a slash does
        for the dot, and ``labels/Atrial fibrillation/auroc`` for a label.

    Raises
    ------
    LookupError
        When there is no such label or metric; the message lists those there are.
    """
    document = _as_document(result)
    evaluation = document["evaluation"]
    scope, name = _split_metric(metric)
    row = _find_row(evaluation, scope)
    found = METRICS.get(name)
    if found is None or name not in row:
        known = [key for key in METRICS if key in row]
        raise LookupError(f"{scope!r} has no metric {name!r}; it has {known}.")
    return Explanation(
        title=f"{found.title} of {scope}: {evaluation['checkpoint']} on "
        f"{EvaluationSet.from_json(evaluation['evaluation_set']).name}",
        value=row[name],
        low=row.get(f"{name}_low"),
        high=row.get(f"{name}_high"),
        facts=_facts(document, scope, row, found),
        fingerprints=dict(evaluation["lineage"]),
        number=found.number,
    )


def _as_document(result: EvaluationResult | Mapping[str, Any]) -> Mapping[str, Any]:
    value = result.to_json() if isinstance(result, EvaluationResult) else result
    return value if "evaluation" in value else {"evaluation": value}


def _split_metric(metric: str) -> tuple[str, str]:
    cut = max(metric.rfind("/"), metric.rfind("."))
    if cut <= 0:
        raise LookupError(
            f"{metric!r} names no number; expected e.g. 'macro.auroc' or 'labels/<label>/auroc'."
        )
    return metric[:cut].removeprefix("labels/").removeprefix("labels."), metric[cut + 1 :]


def _find_row(evaluation: Mapping[str, Any], scope: str) -> Mapping[str, Any]:
    if scope in SUMMARIES and scope in evaluation:
        summary: Mapping[str, Any] = evaluation[scope]
        return summary
    rows: dict[str, Mapping[str, Any]] = {row["label"]: row for row in evaluation["labels"]}
    if scope not in rows:
        raise LookupError(f"No label {scope!r}; there are {[*SUMMARIES, *rows]}.")
    return rows[scope]


def _facts(
    document: Mapping[str, Any], scope: str, row: Mapping[str, Any], metric: Metric
) -> dict[str, str]:
    evaluation, rules = document["evaluation"], document.get("rules") or {}
    facts = {
        "counts": _counts(evaluation, row),
        "formula": metric.formula,
        "read it as": metric.guide,
        "summary of": SUMMARIES.get(scope, ""),
        "undefined": evaluation["undefined"].get(scope, ""),
        "threshold": _threshold(evaluation, row, metric),
        "interval": _interval(evaluation, row.get(f"{metric.name}_low")),
        "checkpoint": _checkpoint(document),
        "labels": ", ".join(f"{key} {value}" for key, value in rules.items() if "label" in key),
        "split": str(rules.get("split_rule", "")),
    }
    return {name: text for name, text in facts.items() if text}


def _interval(evaluation: Mapping[str, Any], low: float | None) -> str:
    n_resamples, n_patients = evaluation["n_resamples"], evaluation["n_patients"]
    if low is None or not math.isfinite(low):
        return explain_missing_interval(n_resamples, n_patients)
    return (
        f"{n_resamples:,} bootstrap resamples of patients, seed {evaluation['seed']}; all "
        "recordings of a patient move together; exact (Clopper and Pearson, by patient) for a "
        "label's share of 0 or 1"
    )


def _checkpoint(document: Mapping[str, Any]) -> str:
    """Name the checkpoint and the SHA-256 of its weights, or of its content."""
    evaluation, card = document["evaluation"], document.get("model_card") or {}
    if card.get("weights_sha256"):
        return f"{evaluation['checkpoint']}, weights {card['weights_sha256']}"
    found = evaluation["lineage"].get("checkpoint", "not named")
    return f"{evaluation['checkpoint']}, content {found}"


def _counts(evaluation: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    text = f"{evaluation['n_records']:,} recordings of {evaluation['n_patients']:,} patients"
    if "n_pos" in row:
        return f"{text}; {row['n_pos']:,} positive"
    n_defined = len(evaluation["labels"]) - len(evaluation["undefined"])
    return f"{text}; {n_defined} of {len(evaluation['labels'])} labels defined"


def _threshold(evaluation: Mapping[str, Any], row: Mapping[str, Any], metric: Metric) -> str:
    if not metric.needs_threshold:
        return "none: computed from the scores themselves"
    rule = evaluation["threshold_rule"]
    known = THRESHOLD_RULES.get(rule)
    chosen = (
        f"rule {rule} ({known.meaning if known else 'see the threshold table'}) on the "
        f"{evaluation['n_validation_records']:,} recordings of the validation split; no recording "
        "of this set took part"
    )
    if "threshold" not in row:
        return f"each label's own, by {chosen}"
    return f"{format_number(row['threshold'])}, by {chosen}"
