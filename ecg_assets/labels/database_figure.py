"""A picture of where each label's positives come from, as PNG bytes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ecg_assets.figures import INK, to_png
from ecg_assets.labels.label_databases import (
    FEWEST_POSITIVES,
    MOST_OF_ONE_DATABASE,
    find_confounded,
)

_FLAG = "#c0392b"


def draw_databases(counts: pd.DataFrame) -> bytes:
    """Draw each label's positives by database, in percent of the label's; most of one is red.

    Parameters
    ----------
    counts
        As `count_by_database` returns them.
    """
    labels, databases = counts["label"].unique(), counts["database"].unique()
    shape = (len(labels), len(databases))
    share = 100 * counts["share_of_positives"].to_numpy().reshape(shape)
    positives = counts["positives"].to_numpy().reshape(shape)
    figure = Figure(figsize=(1.15 * shape[1] + 3.0, 0.42 * shape[0] + 2.2), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    is_confounded = counts.index.isin(find_confounded(counts).index).reshape(shape)
    for row, column in np.argwhere(is_confounded):
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=_FLAG))
    for row, column in np.argwhere(positives):
        axes.text(
            column,
            row,
            f"{_percent(share[row, column])} ({positives[row, column]:,})",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if share[row, column] > 55 else INK,
        )
    n_records = counts["records"].to_numpy()[: shape[1]]
    titles = [f"{name}\n{n:,} records" for name, n in zip(databases, n_records, strict=True)]
    axes.set_xticks(
        range(shape[1]), titles, rotation=40, ha="right", rotation_mode="anchor", fontsize=8
    )
    axes.set_yticks(range(shape[0]), list(labels), fontsize=8)
    red = f"of {FEWEST_POSITIVES} or more, over {MOST_OF_ONE_DATABASE:.0%} from one"
    axes.set_title(f"of a label's positives, % (number); red: {red}", fontsize=9)
    return to_png(figure)


def _percent(share: float) -> str:
    return "< 1 %" if share < 0.5 else f"{share:.0f} %"
