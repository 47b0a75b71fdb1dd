"""A picture of embeddings in two dimensions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ecg_assets.figures import make_figure, to_png

_MOST_POINTS = 5000


def draw_embedding_map(embeddings: Path, scores: Path, label: str) -> bytes | None:
    """Draw the first two principal components, coloured by a label's score.

    Of more than 5,000 recordings with a score it takes 5,000, evenly spaced. None for fewer than
    three.

    Parameters
    ----------
    embeddings, scores
        Files as `write_applied` wrote them.
    label
        A column of `scores`.
    """
    from sklearn.decomposition import PCA

    score = pq.read_table(scores, columns=[label])[label].to_pandas().to_numpy()
    scored = np.flatnonzero(np.isfinite(score))
    if len(scored) < 3:
        return None
    chosen = scored[np.unique(np.linspace(0, len(scored) - 1, _MOST_POINTS).astype(int))]
    vectors, score = _read_rows(embeddings, chosen), score[chosen]
    components = PCA(2, random_state=0)
    points = components.fit_transform(vectors)
    first, second = 100 * components.explained_variance_ratio_
    figure, [[axes]] = make_figure(7, 5.2)
    dots = axes.scatter(
        points[:, 0], points[:, 1], c=score, cmap="viridis", s=9, vmin=0, vmax=1, linewidths=0
    )
    axes.set(xlabel=f"first component ({first:.0f} %)", ylabel=f"second ({second:.0f} %)")
    figure.colorbar(dots, label=f"score of {label}")
    return to_png(figure)


def _read_rows(embeddings: Path, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Read some rows' vectors, ``(row, feature)``; all of a large dataset would fill memory."""
    found, first = [], 0
    with pq.ParquetFile(embeddings) as file:
        for batch in file.iter_batches(columns=["embedding"]):
            wanted = rows[(rows >= first) & (rows < first + len(batch))] - first
            found += list(batch["embedding"].take(pa.array(wanted)).to_numpy(zero_copy_only=False))
            first += len(batch)
    return np.array(found, np.float32)
