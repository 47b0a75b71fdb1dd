"""Pictures of a table of labels as PNG bytes, the same bytes for the same labels."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ecg_assets.figures import ACCENT, FLAG, INK, LIGHT, draw_shares, make_figure, to_png
from ecg_assets.known import is_positive
from ecg_assets.labels.audit import FEWEST_POSITIVES, MOST_OF_ONE_DATABASE, find_confounded
from ecg_assets.labels.label_tables import label_matrix
from ecg_assets.labels.vocabulary import LabelVocabulary


def draw_prevalence(prevalence: pd.DataFrame) -> bytes:
    """Draw the share of recordings with each label; the light part is told with a hedge.

    Parameters
    ----------
    prevalence
        As `label_prevalence` returns it.
    """
    table = prevalence.iloc[::-1]
    figure, [[axes]] = make_figure(8.5, 0.34 * len(table) + 1.0)
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
    return to_png(figure)


def draw_cooccurrence(labels: pd.DataFrame, vocabulary: LabelVocabulary) -> bytes:
    """Draw how often each label (row) comes with each other one (column), in percent of the row.

    Parameters
    ----------
    labels
        Table of `LABELS`.
    """
    value = is_positive(label_matrix(labels, vocabulary)[1]).astype(np.int64)
    together = value.T @ value
    share = together / np.maximum(np.diag(together), 1)[:, None]
    size = 0.42 * len(vocabulary) + 3.2
    figure, [[axes]] = make_figure(size, size - 1.2, has_frame=True)
    texts = np.array([[f"{100 * s:.0f}" if s >= 0.005 else "" for s in row] for row in share])
    draw_shares(axes, share, texts.astype(object), vocabulary.names, vocabulary.names)
    axes.set_title("of 100 recordings with the row's label, how many have the column's", fontsize=9)
    return to_png(figure)


# A picture of where each label's positives come from, as PNG bytes.


def draw_databases(counts: pd.DataFrame) -> bytes:
    """Draw each label's positives by database, in percent of the label's; most of one is red.

    Parameters
    ----------
    counts
        As `count_by_database` returns them.
    """
    from matplotlib.patches import Rectangle

    labels, databases = counts["label"].unique(), counts["database"].unique()
    shape = (len(labels), len(databases))
    share = counts["share_of_positives"].to_numpy().reshape(shape)
    positives = counts["positives"].to_numpy().reshape(shape)
    size = (1.15 * shape[1] + 3.0, 0.42 * shape[0] + 2.2)
    figure, [[axes]] = make_figure(*size, has_frame=True)
    is_confounded = counts.index.isin(find_confounded(counts).index).reshape(shape)
    for row, column in np.argwhere(is_confounded):
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=FLAG))
    pairs = zip(share.ravel(), positives.ravel(), strict=True)
    texts = np.array([f"{_percent(s)} ({n:,})" if n else "" for s, n in pairs], object)
    n_records = counts["records"].to_numpy()[: shape[1]]
    titles = [f"{name}\n{n:,} records" for name, n in zip(databases, n_records, strict=True)]
    draw_shares(axes, share, texts.reshape(shape), list(labels), titles, aspect="auto")
    red = f"of {FEWEST_POSITIVES} or more, over {MOST_OF_ONE_DATABASE:.0%} from one"
    axes.set_title(f"of a label's positives, % (number); red: {red}", fontsize=9)
    return to_png(figure)


def _percent(share: float) -> str:
    return "< 1 %" if share < 0.005 else f"{100 * share:.0f} %"
