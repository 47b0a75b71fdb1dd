"""The result of evaluating one checkpoint on one set, as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd


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
    macro, micro
        Metric to value, ``_low`` and ``_high``; macro over the defined labels.
    undefined
        Label to the reason why its AUROC is undefined.
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
    micro: dict[str, float]
    undefined: dict[str, str]
    n_resamples: int
    seed: int
    lineage: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON values; an undefined number is null."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        fields["labels"] = [
            {name: _plain(value) for name, value in row.items()}
            for row in self.labels.to_dict("records")
        ]
        for name in ("macro", "micro"):
            fields[name] = {key: _plain(value) for key, value in fields[name].items()}
        return fields

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> EvaluationResult:
        """Build a result from `to_json`'s value."""
        labels = pd.DataFrame(value["labels"])
        numbers = [name for name in labels.columns if name != "label"]
        labels[numbers] = labels[numbers].apply(pd.to_numeric)
        fields = {**value, "labels": labels}
        for name in ("macro", "micro"):
            fields[name] = {
                key: np.nan if number is None else float(number)
                for key, number in value[name].items()
            }
        return cls(**fields)


def _plain(value: Any) -> Any:
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and not np.isfinite(plain) else plain
