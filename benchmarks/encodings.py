"""Ways to store the samples of a shard: size, and CPU time to write and to read."""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run as a script, too

from benchmarks.mimic_tree import write_mimic_tree
from benchmarks.timing import median_seconds
from ecg_assets.preprocess import preprocess_shard

N_RECORDS = 1_000
_ELEMENT = "lead_I.list.element"
ENCODINGS: dict[str, dict[str, Any]] = {
    "DELTA_BINARY_PACKED": {
        "compression": "none",
        "use_dictionary": False,
        "column_encoding": {_ELEMENT: "DELTA_BINARY_PACKED"},
    },
    "DELTA_BINARY_PACKED, zstd": {
        "compression": "zstd",
        "use_dictionary": False,
        "column_encoding": {_ELEMENT: "DELTA_BINARY_PACKED"},
    },
    "BYTE_STREAM_SPLIT, zstd": {
        "compression": "zstd",
        "use_dictionary": False,
        "column_encoding": {_ELEMENT: "BYTE_STREAM_SPLIT"},
    },
    "PLAIN, zstd": {"compression": "zstd", "use_dictionary": False},
    "PLAIN": {"compression": "none", "use_dictionary": False},
    "dictionary, snappy (the default)": {},
}


def main() -> None:
    """Print a line for each encoding."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        records = write_mimic_tree(folder, N_RECORDS)
        signals = preprocess_shard(records, folder, ["I"]).signals.select(["lead_I"])
        paths = {encoding: folder / f"{i}.parquet" for i, encoding in enumerate(ENCODINGS)}
        writing = median_seconds(
            {name: partial(_write, signals, path, name) for name, path in paths.items()}
        )
        reading = median_seconds(
            {name: partial(pq.read_table, path) for name, path in paths.items()}
        )
        for encoding, path in paths.items():
            print(
                f"{encoding:>32}: {path.stat().st_size / N_RECORDS:6,.0f} bytes a recording, "
                f"write {writing[encoding] / N_RECORDS * 1e6:4.0f} µs, "
                f"read {reading[encoding] / N_RECORDS * 1e6:4.0f} µs"
            )


def _write(signals: pa.Table, path: Path, encoding: str) -> None:
    pq.write_table(signals, path, row_group_size=256, **ENCODINGS[encoding])


if __name__ == "__main__":
    main()
