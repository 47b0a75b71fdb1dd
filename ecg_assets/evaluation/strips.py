"""Example recordings as strips on ECG paper: 25 mm/s and 10 mm/mV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from numpy.typing import NDArray

from ecg_assets.evaluation.figures import to_png
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
        return f"{self.label}: {self.kind} (score {self.score:.2f}, threshold {self.threshold:.2f})"


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


def draw_strips(
    strips: Sequence[Strip],
    signals_mv: Sequence[NDArray[np.float32]],
    sample_rates_hz: Sequence[float],
    lead: str,
) -> bytes:
    """Draw one lead of each example.

    Parameters
    ----------
    strips
        The examples.
    signals_mv
        One lead of each in mV, float32 ``(sample,)``; NaN leaves a gap.
    sample_rates_hz
        Of each.
    lead
        Name of the lead, for the caption.
    """
    figure = Figure(figsize=(11, 1.75 * len(strips) + 0.2), layout="constrained")
    grid = np.atleast_1d(figure.subplots(len(strips), 1))
    for axes, strip, signal, rate in zip(grid, strips, signals_mv, sample_rates_hz, strict=True):
        middle = float(np.nanmedian(signal)) if np.isfinite(signal).any() else 0.0
        axes.plot(np.arange(len(signal)) / rate, signal - middle, color="#1f2933", linewidth=0.8)
        axes.set_xlim(0, len(signal) / rate)
        reach = np.nanmax(np.abs(signal - middle)) if np.isfinite(signal).any() else 1.0
        axes.set_ylim(-max(1.0, min(reach, 3.0)), max(1.0, min(reach, 3.0)))
        for axis, small, large in ((axes.xaxis, 0.04, 0.2), (axes.yaxis, 0.1, 0.5)):
            axis.set_minor_locator(MultipleLocator(small))
            axis.set_major_locator(MultipleLocator(large))
        axes.grid(which="minor", color="#fbe3e3", linewidth=0.4)
        axes.grid(which="major", color="#f2b8b8", linewidth=0.6)
        axes.tick_params(which="both", length=0, labelbottom=False, labelleft=False)
        axes.set_title(f"{strip.caption} · lead {lead}", fontsize=9, loc="left")
    return to_png(figure)
