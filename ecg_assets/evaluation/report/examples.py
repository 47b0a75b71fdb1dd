"""Which recordings to show as examples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecg_assets.evaluation.number_format import format_number
from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.models.predictions import Predictions


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
        called = score >= threshold
        for kind, rows, sign in (
            ("true positive", target & called, -1),
            ("false positive", ~target & called, -1),
            ("false negative", target & ~called, 1),
        ):
            found = np.flatnonzero(rows)
            if len(found):
                row = int(found[np.argmin(sign * score[found])])
                name = str(result.labels["label"][label])
                strips.append(Strip(row, name, kind, float(score[row]), threshold))
    return strips
