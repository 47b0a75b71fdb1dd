"""Which stored recordings are good enough to learn from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.preprocess import SignalSpec, count_segments, read_shard


@dataclass(frozen=True)
class QualityPolicy:
    """What excludes a recording; only the leads of the spec are looked at.

    Attributes
    ----------
    allow_flat
        Whether a lead may be constant.
    max_missing_share
        Largest share of missing samples in any lead, 0 to 1.
    min_segments
        Whole segments that a recording must have, at least 1.
    """

    allow_flat: bool = False
    max_missing_share: float = 0.2
    min_segments: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.max_missing_share <= 1:
            raise ValueError(
                f"max_missing_share is {self.max_missing_share}; it must lie from 0 to 1."
            )
        if self.min_segments < 1:
            raise ValueError(f"min_segments is {self.min_segments}; it must be at least 1.")


def judge_shard(path: Path, spec: SignalSpec, policy: QualityPolicy) -> pd.DataFrame:
    """Judge a shard's recordings by their stored statistics; samples are not read.

    Returns
    -------
    DataFrame
        ``record_id``, ``row`` in the file, and ``fault``: ``too_short``, ``flat_lead``,
        ``missing_samples``, or empty for a good recording.
    """
    names = [f"{name}_{lead}" for name in ("is_flat", "n_missing") for lead in spec.leads]
    stored = read_shard(path, columns=["record_id", "sample_rate_hz", "n_samples", *names])
    frame = stored.to_pandas()
    flat = frame[[f"is_flat_{lead}" for lead in spec.leads]].any(axis=1)
    missing = frame[[f"n_missing_{lead}" for lead in spec.leads]].max(axis=1)
    n_segments = count_segments(frame["n_samples"], frame["sample_rate_hz"], spec)
    fault = np.select(
        [
            n_segments < policy.min_segments,
            flat & (not policy.allow_flat),
            missing > policy.max_missing_share * frame["n_samples"],
        ],
        ["too_short", "flat_lead", "missing_samples"],
        default="",
    )
    return pd.DataFrame(
        {"record_id": frame["record_id"], "row": np.arange(len(frame)), "fault": fault}
    )
