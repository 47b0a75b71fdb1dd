"""Everything behind one number of an evaluation, for people and in text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecg_assets.evaluation.number_format import format_number
from ecg_assets.evaluation.report.metric_glossary import GLOSSARY, SUMMARY_MEANINGS, MetricMeaning
from ecg_assets.evaluation.result import EvaluationResult

_WIDTH = 14
_THRESHOLD_RULES = {
    "youden": "largest sensitivity + specificity",
    "max-f1": "largest F1",
    "fixed-sensitivity": "the highest threshold with a sensitivity of at least 0.9",
}


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
        Input to the fingerprint of its content.
    """

    title: str
    value: float | None
    low: float | None
    high: float | None
    facts: dict[str, str]
    fingerprints: dict[str, str]

    def __str__(self) -> str:
        value = format_number(self.value)
        if self.low is not None and self.high is not None:
            interval = f"{format_number(self.low)} to {format_number(self.high)}"
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
    meaning = GLOSSARY.get(name)
    if meaning is None or name not in row:
        known = [key for key in GLOSSARY if key in row]
        raise LookupError(f"{scope!r} has no metric {name!r}; it has {known}.")
    return Explanation(
        title=f"{meaning.title} of {scope}: {evaluation['checkpoint']} on "
        f"{evaluation['evaluation_set']}",
        value=row[name],
        low=row.get(f"{name}_low"),
        high=row.get(f"{name}_high"),
        facts=_facts(document, scope, row, meaning),
        fingerprints=dict(evaluation["lineage"]),
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
    if scope in SUMMARY_MEANINGS and scope in evaluation:
        summary: Mapping[str, Any] = evaluation[scope]
        return summary
    rows: dict[str, Mapping[str, Any]] = {row["label"]: row for row in evaluation["labels"]}
    if scope not in rows:
        raise LookupError(f"No label {scope!r}; there are {[*SUMMARY_MEANINGS, *rows]}.")
    return rows[scope]


def _facts(
    document: Mapping[str, Any], scope: str, row: Mapping[str, Any], meaning: MetricMeaning
) -> dict[str, str]:
    evaluation, rules = document["evaluation"], document.get("rules") or {}
    facts = {
        "counts": _counts(evaluation, row),
        "formula": meaning.formula,
        "read it as": meaning.guide,
        "summary of": SUMMARY_MEANINGS.get(scope, ""),
        "undefined": evaluation["undefined"].get(scope, ""),
        "threshold": _threshold(evaluation, row, meaning),
        "interval": f"{evaluation['n_resamples']:,} bootstrap resamples of patients, seed "
        f"{evaluation['seed']}; all recordings of a patient move together",
        "checkpoint": _checkpoint(document),
        "labels": ", ".join(f"{key} {value}" for key, value in rules.items() if "label" in key),
        "split": str(rules.get("split_rule", "")),
    }
    return {name: text for name, text in facts.items() if text}


def _checkpoint(document: Mapping[str, Any]) -> str:
    """Name the checkpoint and the fingerprint of its weights, or of its files."""
    evaluation, card = document["evaluation"], document.get("model_card") or {}
    if card.get("weights_fingerprint"):
        return f"{evaluation['checkpoint']}, weights {card['weights_fingerprint']}"
    found = evaluation["lineage"].get("checkpoint", "not named")
    return f"{evaluation['checkpoint']}, fingerprint {found}"


def _counts(evaluation: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    text = f"{evaluation['n_records']:,} recordings of {evaluation['n_patients']:,} patients"
    if "n_pos" in row:
        return f"{text}; {row['n_pos']:,} positive"
    n_defined = len(evaluation["labels"]) - len(evaluation["undefined"])
    return f"{text}; {n_defined} of {len(evaluation['labels'])} labels defined"


def _threshold(
    evaluation: Mapping[str, Any], row: Mapping[str, Any], meaning: MetricMeaning
) -> str:
    if not meaning.needs_threshold:
        return "none: computed from the scores themselves"
    rule = evaluation["threshold_rule"]
    chosen = (
        f"rule {rule} ({_THRESHOLD_RULES.get(rule, 'see the threshold table')}) on the "
        f"{evaluation['n_validation_records']:,} recordings of the validation split; no recording "
        "of this set took part"
    )
    if "threshold" not in row:
        return f"each label's own, by {chosen}"
    return f"{format_number(row['threshold'])}, by {chosen}"
