"""Pairs of adjacent segments, which fairseq-signals' CMSC pre-training reads."""

from __future__ import annotations

from pathlib import Path

import pandas as pd


def write_cmsc_manifest(segments: pd.DataFrame, mat_root: Path, path: Path) -> None:
    """Write the root folder, the extension, then each pair of segments of one recording.

    A line is the common start of both paths, the samples of a segment, 0, and the numbers of
    the two: ``p1000/r_0.mat`` and ``p1000/r_1.mat`` are ``p1000/r<TAB>2500<TAB>0<TAB>0,1``.
    Segments pair up from the first on; one that is left over has no line. The reader takes
    two segments for the same patient's where their files' ``idx`` agree (fairseq-signals,
    ``data/ecg/cmsc_ecg_dataset.py``).

    Parameters
    ----------
    segments
        ``record_id``, ``segment`` (from 0, without gaps), ``path`` and ``n_samples``.
    mat_root
        Folder that the paths start from.
    path
        File to write.
    """
    n_segments = segments.groupby("record_id")["segment"].transform("size")
    number = segments["segment"]
    first = segments[(number % 2 == 0) & (number + 1 < n_segments)]
    rows = zip(first["path"], first["n_samples"], first["segment"], strict=True)
    lines = [
        f"{name.removesuffix(f'_{at}.mat')}\t{n_samples}\t0\t{at},{at + 1}"
        for name, n_samples, at in rows
    ]
    path.write_text("\n".join([str(mat_root), "mat", *lines]) + "\n", encoding="utf-8")
