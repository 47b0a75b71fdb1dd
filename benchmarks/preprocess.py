"""From recordings to what training reads: ours against the reference pipeline's path."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.io
import wfdb

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run as a script, too

from benchmarks.mimic_tree import write_mimic_tree
from benchmarks.timing import median_seconds, print_ratio
from ecg_assets.preprocess import preprocess_shard, write_shard
from ecg_assets.sources import read_record

N_RECORDS = 2_000
SEGMENT = 2_500


def main() -> None:
    """Print CPU time per record, ratios, and bytes per record."""
    with tempfile.TemporaryDirectory() as name:
        _run(Path(name))


def _run(folder: Path) -> None:
    records = write_mimic_tree(folder, N_RECORDS)
    paths = [folder / path for path in records["path"]]
    # The reference and wfdb are slow: a part of the records is enough for their time a record.
    some = paths[: N_RECORDS // 4]
    seconds = median_seconds(
        {
            "reference": lambda: _reference(some, folder / "reference"),
            "ours": lambda: _ours(records, folder),
            "wfdb": lambda: _each(some, lambda p: wfdb.rdrecord(str(p), channels=[0])),
            "reader": lambda: _each(paths, lambda p: read_record(p, ["I"], root=folder)),
            "bare": lambda: _each(paths, _read_bare),
        },
        repeats=3,
    )
    number = {"reference": len(some), "wfdb": len(some)}
    each = {name: value / number.get(name, N_RECORDS) for name, value in seconds.items()}
    for name, value in each.items():
        print(f"{name:>9}: {value * 1e6:7.0f} µs of CPU a record")
    print_ratio(
        "recording to shard, against the reference's files", each["ours"], each["reference"]
    )
    print_ratio("reading Lead I, against wfdb.rdrecord", each["reader"], each["wfdb"])
    print(f"our reader: {each['reader'] / each['bare']:.1f} × read() of .hea and .dat alone")
    shard = (folder / "shard.parquet").stat().st_size / N_RECORDS
    mat = (folder / "reference" / "record.mat").stat().st_size
    raw = paths[0].with_suffix(".dat").stat().st_size
    print(f"bytes a record: shard {shard:.0f}, 10 s .mat {mat} ({mat / shard:.0f} ×), .dat {raw}")


def _each(paths: list[Path], read: Callable[[Path], object]) -> None:
    for path in paths:
        read(path)


def _read_bare(path: Path) -> None:
    for suffix in (".hea", ".dat"):
        with path.with_suffix(suffix).open("rb", buffering=0) as stream:
            stream.read()


def _ours(records: pd.DataFrame, root: Path) -> None:
    tables = preprocess_shard(records, root, ["I"])
    write_shard(tables, root / "shard.parquet", root / "rejects.parquet")


def _reference(paths: list[Path], folder: Path) -> None:
    """Do what the reference pipeline does: a 10 s file, two segments, each written again."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for row, path in enumerate(paths):
        signal = wfdb.rdrecord(str(path)).p_signal.T[0]
        lead = (signal - np.nanmean(signal)) / np.nanstd(signal)
        feats = np.tile(lead, (12, 1)).astype(np.float32)
        scipy.io.savemat(folder / "record.mat", _contents(feats, row))
        for i in range(2):
            file = folder / f"{row}_{i}.mat"
            feats_of_record = scipy.io.loadmat(folder / "record.mat")["feats"] if i == 0 else feats
            part = feats_of_record[:, i * SEGMENT : (i + 1) * SEGMENT]
            scipy.io.savemat(file, _contents(part, row))
            segment = scipy.io.loadmat(file)
            scipy.io.savemat(
                file, {**_contents(segment["feats"], 2 * row + i), "original_idx": row}
            )


def _contents(feats: np.ndarray, row: int) -> dict[str, object]:
    size = feats.shape[1]
    return {
        "feats": feats,
        "curr_sample_rate": 500.0,
        "org_sample_rate": 500.0,
        "curr_sample_size": size,
        "org_sample_size": size,
        "idx": row,
    }


if __name__ == "__main__":
    main()
