"""Saliency of stored recordings, segment by segment."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.errors import SchemaError
from ecg_assets.models.checkpoint import TrainedModel
from ecg_assets.models.saliency import saliency
from ecg_assets.preprocess import project_channels, segment
from ecg_assets.preprocess.shard_signals import signal_blocks


def explain_recordings(
    trained: TrainedModel, signals: pa.Table, label: int, method: str
) -> list[NDArray[np.float32]]:
    """Weigh the samples of recordings, each segment by itself.

    Parameters
    ----------
    trained
        The model, with the signal spec of its input.
    signals
        Table as `shard_schema` declares, with the leads of the spec.
    label, method
        As `saliency` takes them.

    Returns
    -------
    list
        For each row of the table, float32 ``(sample,)`` at the spec's sample rate, as long
        as its whole segments together.

    Raises
    ------
    SchemaError
        When a recording is shorter than a segment.
    """
    spec, n_channels = trained.spec, trained.model.config.n_channels
    weights: dict[int, NDArray[np.float32]] = {}
    for block in signal_blocks(signals, spec.leads):
        segments = segment(block.standardize(spec), spec)
        for row, pieces in zip(block.rows.tolist(), segments, strict=True):
            if not len(pieces):
                raise SchemaError(
                    f"{signals['record_id'][row].as_py()} is shorter than a segment of "
                    f"{spec.segment_s} s; choose another recording."
                )
            inputs = project_channels(pieces, n_channels)
            weights[row] = np.concatenate(
                [saliency(trained.model, piece, label, method) for piece in inputs]
            )
    return [weights[row] for row in range(signals.num_rows)]
