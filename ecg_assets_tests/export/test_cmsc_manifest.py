from __future__ import annotations

from pathlib import Path

import pandas as pd

from ecg_assets.export.fairseq_manifests import write_cmsc_manifest


def _segments(*paths: str) -> pd.DataFrame:
    """Segments of 1,000 samples, from paths like ``p/record_1.mat``."""
    stems = [Path(path).stem.rsplit("_", 1) for path in paths]
    return pd.DataFrame(
        {
            "record_id": [stem[0] for stem in stems],
            "segment": [int(stem[1]) if len(stem) > 1 else 0 for stem in stems],
            "path": paths,
            "n_samples": 1000,
        }
    )


def test_neighbours_of_one_recording_pair_up_and_the_odd_one_is_left_out(tmp_path: Path) -> None:
    pieces = [f"p1/r_5_{number}.mat" for number in range(5)]
    segments = _segments(*pieces, "p2/s_0.mat", "p2/t_0.mat", "p2/t_1.mat")
    write_cmsc_manifest(segments, Path("/mats"), tmp_path / "train.tsv")
    assert (tmp_path / "train.tsv").read_text().splitlines() == [
        "/mats",
        "mat",
        "p1/r_5\t1000\t0\t0,1",
        "p1/r_5\t1000\t0\t2,3",
        "p2/t\t1000\t0\t0,1",
    ]


def test_whole_recordings_have_no_pairs(tmp_path: Path) -> None:
    write_cmsc_manifest(_segments("p1/r.mat"), Path("/mats"), tmp_path / "train.tsv")
    assert (tmp_path / "train.tsv").read_text() == "/mats\nmat\n"
