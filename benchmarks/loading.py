"""Random batches for training: ours against .mat files as the reference pipeline writes them."""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.io
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run as a script, too

from benchmarks.mimic_tree import write_mimic_tree
from benchmarks.timing import median_seconds
from ecg_assets.build import Manifest, SignalCache
from ecg_assets.labels import ECG_FM_LABELS
from ecg_assets.preprocess import (
    ShardDataset,
    SignalSpec,
    preprocess_shard,
    project_channels,
    segment,
    standardize,
    write_shard,
)
from ecg_assets.preprocess.blocks import signal_blocks
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.engine.segments import SegmentDataset

N_RECORDS, BATCH, N_BATCHES = 2_000, 128, 30
SPEC = SignalSpec()


def main() -> None:
    """Print samples a second of one worker, the ratio, and memory."""
    with tempfile.TemporaryDirectory() as name:
        _run(Path(name))


def _run(folder: Path) -> None:
    torch.set_num_threads(1)
    prepare(folder, N_RECORDS)
    mats, ours = mat_loader(folder), _our_loader(folder)
    items = _orders(1)[0]
    same = torch.allclose(mats(items), ours(items)["input_values"], atol=1e-6)
    print(f"both give the same {BATCH} × 12 × {SPEC.segment_samples} batch: {same}")
    orders = _orders(N_BATCHES)
    seconds = median_seconds(
        {
            ".mat files": lambda: [mats(items) for items in orders],
            "ours": lambda: [ours(items) for items in orders],
        }
    )
    for name, value in seconds.items():
        rate = BATCH * N_BATCHES / value
        print(f"{name:>18}: {rate:9,.0f} samples a second of one worker's CPU")
    print(f"ours: {seconds['.mat files'] / seconds['ours']:.1f} × the .mat files")
    for name, loader in ((".mat files", "mat"), ("ours", "ours")):
        print(f"{name:>18}: {_peak_mib(folder, loader):.0f} MiB of memory while loading")


def prepare(folder: Path, n_records: int) -> None:
    """Write a shard, and each of its segments as the reference's plain .mat file."""
    records = write_mimic_tree(folder, n_records)
    tables = preprocess_shard(records, folder, ["I"])
    write_shard(tables, folder / "p1000.parquet", folder / "rejects.parquet")
    for block in signal_blocks(tables.signals, SPEC.leads):
        parts = segment(standardize(block.samples, block.sample_rate_hz, SPEC), SPEC)
        for row, of_record in zip(block.rows, parts, strict=True):
            for number, leads in enumerate(of_record):
                content = {
                    "feats": project_channels(leads, 12),
                    "curr_sample_rate": 500.0,
                    "idx": row,
                }
                scipy.io.savemat(folder / f"{row}_{number}.mat", content)


def _orders(n_batches: int) -> list[list[int]]:
    generator = np.random.default_rng(0)
    return [generator.integers(2 * N_RECORDS, size=BATCH).tolist() for _ in range(n_batches)]


def mat_loader(folder: Path) -> Callable[[list[int]], Tensor]:
    """Read a batch as fairseq-signals does: a file a sample, then stacked."""

    def load(items: list[int]) -> Tensor:
        files = (folder / f"{item // 2}_{item % 2}.mat" for item in items)
        return torch.stack([torch.from_numpy(scipy.io.loadmat(file)["feats"]) for file in files])

    return load


def _our_loader(folder: Path) -> Callable[[list[int]], dict[str, Tensor]]:
    data = training_data(folder)
    return SegmentDataset(data, np.arange(len(data.manifest.index)), 12).__getitems__


def training_data(folder: Path) -> TrainingData:
    """Open what `prepare` wrote, without labels."""
    index = ShardDataset({"p1000": folder / "p1000.parquet"}).index
    index = index.assign(subject_id=index["record_id"], split="train")
    n_labels = len(ECG_FM_LABELS)
    manifest = Manifest(
        index=index,
        targets=np.zeros((len(index), n_labels), np.uint8),
        vocabulary=ECG_FM_LABELS,
        spec=SPEC,
        pos_weight=np.ones(n_labels),
        excluded=pd.DataFrame({"record_id": [], "reason": []}),
    )
    return TrainingData(manifest, SignalCache.open(index, folder, SPEC, folder / "cache"))


def _peak_mib(folder: Path, loader: str) -> float:
    """Memory that loading the batches takes of a fresh process at most."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_load_all, (folder, loader))


def _load_all(folder: Path, loader: str) -> float:
    load = mat_loader(folder) if loader == "mat" else _our_loader(folder)
    before = memory_mib("VmRSS")
    forget_peak()
    for items in _orders(N_BATCHES):
        load(items)
    return memory_mib("VmHWM") - before


def forget_peak() -> None:
    """Start Linux's measurement of this process's largest size anew."""
    Path("/proc/self/clear_refs").write_text("5")


def memory_mib(name: str) -> float:
    """Read a size of this process, e.g. VmRSS, from Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


if __name__ == "__main__":
    main()
