"""A user's own folder of recordings, from labels.csv to a report on their own labels."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from ecg_assets.sources import read_record
from ecg_assets.sources.synthetic.cohort import write_synthetic_cohort
from ecg_assets_tests.defs.small_job import SmallJob

LABELS = ["Paced rhythm", "Low voltage"]


def write_own_recordings(folder: Path, cohort: Path, n_records: int) -> None:
    """Write recordings of a cohort as .npy, two a patient, with labels of one's own."""
    write_synthetic_cohort(cohort, n_records=2 * n_records, seed=3)
    folder.mkdir()
    faulty = set(pd.read_csv(cohort / "planted_faults.csv", dtype=str)["study_id"])
    headers = sorted(p for p in (cohort / "files").rglob("*.hea") if p.stem not in faulty)
    rows: list[dict[str, object]] = []
    for number, header in enumerate(headers[:n_records]):
        signal = read_record(header).physical()
        weak = number % 4 == 0
        np.save(folder / f"{number}.npy", signal * (0.3 if weak else 1.0))
        row = {"file": f"{number}.npy", "patient": f"P{number // 2}", "age": 40 + number % 40}
        rows.append({**row, LABELS[0]: int(number % 3 == 0), LABELS[1]: int(weak)})
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
    (folder / "folder.yaml").write_text(
        "sample_rate_hz: 500\n"
        "leads: [I, II, III, aVR, aVF, aVL, V1, V2, V3, V4, V5, V6]\n"
        "units_per_mv: 1\n"
    )


def test_own_recordings_reach_a_report_on_own_labels(tmp_path: Path) -> None:
    raw = tmp_path / "recordings"
    write_own_recordings(raw, tmp_path / "cohort", n_records=60)
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        job = SmallJob.at(tmp_path, instance, source="folder", raw_root=str(raw), label_set="own")
        job.run_to_manifests()
        job.train(epochs=1)
        job.evaluate(job.checkpoints[0])
        report = json.loads(
            (job.settings.stored.folder("eval_metrics") / f"{job.checkpoints[0]}.json").read_text()
        )
    assert [row["label"] for row in report["labels"]] == LABELS
    given = pd.read_csv(raw / "labels.csv").set_index("file")
    index = pq.read_table(job.settings.stored.folder("manifests") / "index.parquet").to_pandas()
    targets = np.load(job.settings.stored.folder("manifests") / "y.npy")
    files = index["record_id"].str.removesuffix(".npy") + ".npy"
    assert np.array_equal(targets, given.loc[files, LABELS].to_numpy())
    assert index.groupby("subject_id")["split"].nunique().max() == 1
