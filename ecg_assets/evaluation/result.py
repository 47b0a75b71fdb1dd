"""The result of evaluating one checkpoint on one set, as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ecg_assets.errors import SchemaError
from ecg_assets.evaluation.calibration import RELIABILITY_COLUMNS
from ecg_assets.evaluation.intervals import SUMMARIES
from ecg_assets.evaluation.metric_table import tabulate_metrics
from ecg_assets.evaluation.thresholds import THRESHOLD_TABLE_METRICS

_TABLES: dict[str, tuple[str, ...]] = {
    "labels": (),
    "threshold_table": ("label", "rule", "threshold", *THRESHOLD_TABLE_METRICS),
    "reliability": RELIABILITY_COLUMNS,
}
"""Tables of a result, and their columns where a table may have no row."""


@dataclass(frozen=True)
class EvaluationResult:
    """Metrics with intervals, and everything needed to say what they are of.

    Attributes
    ----------
    checkpoint, source, evaluation_set
        What was evaluated on what, in words.
    n_records, n_patients
        Size of the set.
    signal_spec, label_vocabulary
        What the model sees and says, by value.
    threshold_rule, n_validation_records
        How thresholds were chosen, and from how many validation recordings.
    labels
        One row a label: label, n, n_pos, prevalence, threshold, each metric with
        ``_low`` and ``_high``.
    macro, weighted, micro
        Metric to value, ``_low`` and ``_high``: mean over the defined labels, the same
        weighted by their positives, and all pairs of record and label pooled.
    undefined
        Label to the reason why its AUROC is undefined, or why the set cannot express it.
    threshold_table
        Columns label, rule, threshold, sensitivity, specificity, ppv, npv, f1: each rule's
        threshold, chosen on validation, and what it gives on the set.
    reliability
        Columns label, bin, n, n_pos, mean_score, share_positive: ten bins of scores.
    n_resamples, seed
        Of the bootstrap over patients.
    lineage
        Input to the fingerprint of its content.
    """

    checkpoint: str
    source: str
    evaluation_set: str
    n_records: int
    n_patients: int
    signal_spec: dict[str, Any]
    label_vocabulary: dict[str, Any]
    threshold_rule: str
    n_validation_records: int
    labels: pd.DataFrame
    macro: dict[str, float]
    weighted: dict[str, float]
    micro: dict[str, float]
    undefined: dict[str, str]
    threshold_table: pd.DataFrame
    reliability: pd.DataFrame
    n_resamples: int
    seed: int
    lineage: dict[str, str]

    def to_table(self) -> pd.DataFrame:
        """Long form: label, metric, value, low, high, n, n_pos, undefined."""
        summaries = {name: getattr(self, name) for name in SUMMARIES}
        return tabulate_metrics(self.labels, summaries, self.undefined, self.n_resamples)

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON values; an undefined number is null."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in _TABLES:
            fields[name] = [
                {key: _plain(value) for key, value in row.items()}
                for row in fields[name].to_dict("records")
            ]
        for name in SUMMARIES:
            fields[name] = {key: _plain(value) for key, value in fields[name].items()}
        return fields

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> EvaluationResult:
        """Build a result from `to_json`'s value.

        Raises
        ------
        SchemaError
            When fields are missing or unknown, as in a file of another version.
        """
        different = sorted(set(cls.__dataclass_fields__) ^ set(value))
        if different:
            raise SchemaError(
                f"Evaluation of {value.get('checkpoint')!r}: the fields {different} are missing "
                "or unknown; another version wrote it. Materialize eval_metrics again."
            )
        fields = dict(value)
        for name, columns in _TABLES.items():
            fields[name] = _read_table(value[name], columns)
        for name in SUMMARIES:
            fields[name] = {
                key: np.nan if number is None else float(number)
                for key, number in value[name].items()
            }
        return cls(**fields)


def _read_table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(columns))
    numbers = [name for name in table.columns if name not in ("label", "rule")]
    table[numbers] = table[numbers].apply(pd.to_numeric)
    return table


def _plain(value: Any) -> Any:
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and not np.isfinite(plain) else plain
