"""The dataset of another package through the graph, in a process that has the package.

``python -m ecg_assets_tests.defs.outside_dataset ROOT RESULT`` takes the recordings below ROOT to
labels and shards, and writes what it found to RESULT as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import dagster as dg
import pandas as pd

from ecg_assets.labels.codings import codings
from ecg_assets.sources import datasets
from ecg_assets_tests.defs.small_job import TABLES, SmallJob


def main(root: Path, result: Path) -> None:
    """Materialize the stages up to shards."""
    with dg.DagsterInstance.local_temp(str(result.parent)) as instance:
        job = SmallJob.at(
            result.parent,
            instance,
            source="ward",
            raw_root=str(root),
            stored_leads=["I", "V1"],
            max_rejected_share=0.5,
        )
        job.materialize(*(name for name in TABLES if name != "split"))
        job.materialize("signal_shards", shards=job.shards)
        job.materialize("label_crosswalk")
        stored = job.settings.stored
        crosswalk = pd.read_parquet(stored.folder("label_crosswalk.parquet"))
        labels = pd.read_parquet(stored.folder("labels.parquet"))
        positive = labels[labels["value"] == 1]
        found = {
            "datasets": list(datasets()),
            "codings": list(codings()),
            "shards": job.shards,
            "records": pd.read_parquet(stored.folder("record_list.parquet"))[
                ["record_id", "subject_id", "age", "sex"]
            ].to_dict("records"),
            "labels": positive.groupby("record_id", observed=True)["label"].agg(sorted).to_dict(),
            "labelled": sorted(labels["record_id"].astype(str).unique()),
            "rejects": [
                [row.record_id, row.reason]
                for path in stored.folder("rejects").iterdir()
                for row in pd.read_parquet(path).itertuples()
            ],
            "crosswalk": crosswalk.loc[crosswalk["evaluation_source"] == "ward"]
            .set_index("label")["reason"]
            .to_dict(),
        }
        result.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
