"""Pictures of a table of labels as PNG bytes, the same bytes for the same labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ecg_assets.figures import ACCENT, INK, LIGHT, to_png
from ecg_assets.labels.label_matrix import label_matrix
from ecg_assets.labels.label_vocabulary import LabelVocabulary


def draw_prevalence(prevalence: pd.DataFrame) -> bytes:
    """Draw the share of recordings with each label; the light part is told with a hedge.

    Parameters
    ----------
    prevalence
        As `label_prevalence` returns it.
    """
    table = prevalence.iloc[::-1]
    figure = Figure(figsize=(8.5, 0.34 * len(table) + 1.0), layout="constrained")
    axes = figure.subplots()
    share = 100 * table["share"]
    hedged = share * table["uncertain"] / table["positives"].clip(lower=1)
    axes.barh(table["label"], share - hedged, color=ACCENT, label="stated")
    axes.barh(table["label"], hedged, left=share - hedged, color=LIGHT, label="with a hedge")
    for y, (value, positives) in enumerate(zip(share, table["positives"], strict=True)):
        axes.annotate(
            f"{value:.2f} % ({positives:,})",
            (value, y),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=INK,
        )
    axes.set(xlabel="recordings, %", xlim=(0, max(1.0, float(share.max())) * 1.25))
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    return to_png(figure)


def draw_cooccurrence(labels: pd.DataFrame, vocabulary: LabelVocabulary) -> bytes:
    """Draw how often each label (row) comes with each other one (column), in percent of the row.

    Parameters
    ----------
    labels
        Table of `LABELS`.
    """
    value = label_matrix(labels, vocabulary)[1].astype(np.int64)
    together = value.T @ value
    share = 100 * together / np.maximum(np.diag(together), 1)[:, None]
    size = 0.42 * len(vocabulary) + 3.2
    figure = Figure(figsize=(size, size - 1.2), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.argwhere(share >= 0.5):
        color = "white" if share[row, column] > 55 else INK
        axes.text(
            column,
            row,
            f"{share[row, column]:.0f}",
            ha="center",
            va="center",
            fontsize=7,
            color=color,
        )
    names = list(vocabulary.names)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_title("of 100 recordings with the row's label, how many have the column's", fontsize=9)
    return to_png(figure)
