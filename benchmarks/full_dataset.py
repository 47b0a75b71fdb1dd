"""The graph at the size of MIMIC-IV-ECG: 800,035 recordings in record_list, signals for some.

``python benchmarks/full_dataset.py [FOLDER]`` keeps its files in FOLDER, to look at them in the UI.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run as a script, too

from benchmarks.mimic_tree import write_mimic_tree

N_RECORDS, N_PATIENTS = 800_035, 161_352
N_SMALL_FOLDERS, RECORDS_PER_SMALL_FOLDER = 60, 100
SHARDS = ("p1000-p1019", "p1020-p1039", "p1040-p1059")
"""Shards with signals: those of the small folders."""


def main() -> None:
    """Print time, memory, staleness and the extrapolated cost of a whole backfill."""
    if len(sys.argv) > 1:
        _run(Path(sys.argv[1]).resolve())
        return
    with tempfile.TemporaryDirectory() as name:
        _run(Path(name))


def _run(folder: Path) -> None:
    root, home = folder / "mimic-iv-ecg", folder / "home"
    home.mkdir(parents=True)
    n_stored = _write_dataset(root)
    variables = {
        "DAGSTER_HOME": str(home),
        "ECG_SOURCE": "mimic-iv-ecg",
        "ECG_RAW_ROOT": str(root),
        "ECG_DATA_DIR": str(folder / "data"),
    }
    os.environ.update(variables)
    for asset in ("record_list", "split"):
        seconds, mib = _materialize(asset)
        print(f"{asset}: {seconds:.0f} s with the start of Dagster, {mib / 1024:.2f} GiB at most")
    span = f"{SHARDS[0]}...{SHARDS[-1]}"
    seconds, mib = _materialize("signal_shards", "--partition-range", span)
    print(f"signal_shards of {n_stored} recordings: {seconds:.0f} s, {mib / 1024:.2f} GiB at most")
    _materialize("mat_records", "--partition-range", span)
    _materialize("signal_quality")
    _print_extrapolation(n_stored)
    print("before a change:", _status())
    _damage(root)
    _materialize("signal_shards", "--partition", SHARDS[1])
    print(f"after a change in {SHARDS[1]}:", _status())


def _write_dataset(root: Path) -> int:
    """Write record_list.csv, and signals of the small folders as links to a few files."""
    generator = np.random.default_rng(0)
    n_small = N_SMALL_FOLDERS * RECORDS_PER_SMALL_FOLDER
    patients = np.sort(generator.choice(10_000_000, N_PATIENTS, replace=False)) + 10_000_000
    of_record = np.sort(generator.integers(N_PATIENTS, size=N_RECORDS))
    subject = patients[of_record]
    folder = 1000 + N_SMALL_FOLDERS + (subject - 10_000_000) * (1000 - N_SMALL_FOLDERS) // 10**7
    folder[:n_small] = 1000 + np.arange(n_small) // RECORDS_PER_SMALL_FOLDER
    study = 40_000_000 + np.arange(N_RECORDS)
    path = [
        f"files/p{f}/p{s}/s{n}/{n}"
        for f, s, n in zip(folder.tolist(), subject.tolist(), study.tolist(), strict=True)
    ]
    root.mkdir(parents=True)
    pd.DataFrame(
        {
            "subject_id": subject,
            "study_id": study,
            "file_name": study,
            "ecg_time": "2150-01-01 10:00:00",
            "path": path,
        }
    ).to_csv(root / "record_list.csv", index=False)
    (root / "machine_measurements.csv").write_text("subject_id,study_id,report_0\n")
    originals = root / "originals"
    originals.mkdir()
    made = write_mimic_tree(originals, 100)["path"].tolist()
    for number, name in enumerate(path[:n_small]):
        original = originals / made[number % len(made)]
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(original.with_suffix(".dat"), target.parent / f"{original.name}.dat")
        os.link(original.with_suffix(".hea"), target.with_suffix(".hea"))
    return n_small


def _damage(root: Path) -> None:
    """Replace a recording of the second shard by another one."""
    folder = root / "files" / "p1025"
    first, second = sorted(folder.rglob("*.dat"))[:2]
    content = second.read_bytes()
    first.unlink()  # a link: writing would change the original
    first.write_bytes(content)


def _materialize(asset: str, *arguments: str) -> tuple[float, float]:
    """Run Dagster's command line; give its seconds and the memory of its largest process in MiB."""
    command = [sys.executable, "-m", "dagster_dg_cli.cli", "launch"]
    command += ["-m", "ecg_assets.definitions", "--assets", asset, *arguments]
    started = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            log.seek(0)
            sys.exit(log.read().decode(errors="replace")[-3000:])
    return time.monotonic() - started, usage.ru_maxrss / 1024


def _print_extrapolation(n_stored: int) -> None:
    metadata = [_latest("signal_shards", shard) for shard in SHARDS]
    rate = sum(m["records"] for m in metadata) / sum(
        m["records"] / m["records_per_second"] for m in metadata
    )
    n_bytes = sum(m["bytes_out"] for m in metadata) / n_stored
    print(
        f"all {N_RECORDS:,} recordings: {N_RECORDS / rate / 60:.0f} min at {rate:,.0f} a second "
        f"from memory; a disk must give {N_RECORDS * 121_000 / 1e9:.0f} GB besides; "
        f"{N_RECORDS * n_bytes / 1e9:.1f} GB stored"
    )


def _latest(asset: str, shard: str) -> Mapping[str, float]:
    with dg.DagsterInstance.get() as instance:
        found = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[shard]), limit=1
        ).records[0]
        assert found.asset_materialization is not None
        return {
            name: value.value
            for name, value in found.asset_materialization.metadata.items()
            if isinstance(value.value, int | float)
        }


def _status() -> dict[str, str]:
    """Ask Dagster whether what follows from the shards is current."""
    from ecg_assets.definitions import defs

    graph = defs.resolve_asset_graph()
    with dg.DagsterInstance.get() as instance:
        resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
        found = {
            f"mat_records[{shard}]": resolver.get_status(dg.AssetKey("mat_records"), shard).value
            for shard in SHARDS
        }
        quality = resolver.get_status(dg.AssetKey("signal_quality"))
        return {**found, "signal_quality": quality.value}


if __name__ == "__main__":
    main()
