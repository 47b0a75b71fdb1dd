"""Reading a record and making a shard, against wfdb and .mat files."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.io
import wfdb

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run as a script, too

from benchmarks.timing import cpu_seconds, print_ratio
from ecg_assets.preprocess import preprocess_shard, write_shard
from ecg_assets.sources import open_source, read_record

N_RECORDS = 200


def main() -> None:
    """Print the ratios for reading and for making a shard."""
    with tempfile.TemporaryDirectory() as name:
        _run(Path(name))


def _run(folder: Path) -> None:
    source = open_source("synthetic", folder / "cohort", n_records=N_RECORDS)
    records = source.read_records().table
    good = [source.root / path for path in records["path"] if _is_readable(source.root / path)]

    def each(read: Callable[[Path], object]) -> Callable[[], None]:
        def run() -> None:
            for path in good:
                read(path)

        return run

    seconds = cpu_seconds(
        {
            "ours": each(lambda path: read_record(path, ["I"])),
            "wfdb": each(lambda path: wfdb.rdrecord(str(path), channels=[0], physical=False)),
        }
    )
    print_ratio("read Lead I, against wfdb.rdrecord", seconds["ours"], seconds["wfdb"])

    def make_shard() -> None:
        tables = preprocess_shard(records, source.root, ["I"])
        write_shard(tables, folder / "shard.parquet", folder / "rejects.parquet")

    def make_mats() -> None:
        for path in good:
            signal = wfdb.rdrecord(str(path)).p_signal[:, 0]
            feats = np.tile((signal - np.nanmean(signal)) / np.nanstd(signal), (12, 1))
            scipy.io.savemat(folder / "record.mat", {"feats": feats.astype(np.float32)})

    seconds = cpu_seconds({"ours": make_shard, "mat": make_mats}, repeats=3)
    print_ratio("recordings to a shard, against .mat files", seconds["ours"], seconds["mat"])
    size = (folder / "shard.parquet").stat().st_size / len(good)
    mat = (folder / "record.mat").stat().st_size
    print(f"bytes a record: {size:.0f} in a shard, {mat} in a .mat file: {mat / size:.0f} ×")


def _is_readable(path: Path) -> bool:
    try:
        wfdb.rdrecord(str(path), channels=[0], physical=False)
        read_record(path, ["I"])
    except Exception:
        return False
    return True


if __name__ == "__main__":
    main()
