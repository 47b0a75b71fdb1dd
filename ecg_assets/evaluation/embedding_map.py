"""A picture of embeddings in two dimensions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from ecg_assets.figures import to_png

_MOST_POINTS = 5000


def draw_embedding_map(embeddings: Path, scores: Path, label: str) -> bytes | None:
    """Draw the first two principal components, coloured by a label's score.

    Of more than 5,000 recordings it takes 5,000, evenly spaced. None for fewer than three.

    Parameters
    ----------
    embeddings, scores
        Files as `write_applied` wrote them.
    label
        A column of `scores`.
    """
    column = pq.read_table(embeddings, columns=["embedding"])["embedding"]
    chosen = np.unique(np.linspace(0, len(column) - 1, _MOST_POINTS).astype(int))
    if len(column) < 3:
        return None
    vectors = np.stack(column.take(chosen).to_numpy(zero_copy_only=False))
    score = pq.read_table(scores, columns=[label])[label].to_numpy()[chosen]
    components = PCA(2, random_state=0)
    points = components.fit_transform(vectors)
    first, second = 100 * components.explained_variance_ratio_
    figure = Figure(figsize=(7, 5.2), layout="constrained")
    axes = figure.subplots()
    dots = axes.scatter(
        points[:, 0], points[:, 1], c=score, cmap="viridis", s=9, vmin=0, vmax=1, linewidths=0
    )
    axes.set(xlabel=f"first component ({first:.0f} %)", ylabel=f"second ({second:.0f} %)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.colorbar(dots, label=f"score of {label}")
    return to_png(figure)
