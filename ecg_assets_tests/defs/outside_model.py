"""The evaluation matrix of a model of another package, in a process that has the package.

``python -m ecg_assets_tests.defs.outside_model DATA DESIGN RESULT`` materializes the matrix of a
design on the results stored in DATA, and writes what it found to RESULT as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import dagster as dg
import pandas as pd

from ecg_assets.defs.settings import Settings
from ecg_assets.models.families import FAMILIES
from ecg_assets_tests.defs.small_job import SmallJob


def main(data: Path, design: Path, result: Path) -> None:
    """Materialize every partition of the matrix, and its table."""
    with dg.DagsterInstance.local_temp(str(data.parent)) as instance:
        job = SmallJob.at(data.parent, instance, data_dir=str(data), matrix=str(design))
        assets = {key.to_user_string(): key for key in job.definitions.resolve_all_asset_keys()}
        graph = job.definitions.resolve_asset_graph()
        for name in ("frozen_embeddings", "matrix_cell"):
            partitions = graph.get(assets[name]).partitions_def
            assert partitions is not None
            for partition in partitions.get_partition_keys():
                job.materialize(name, partition=partition)
        job.materialize("evaluation_matrix")
        table = pd.read_parquet(data / "synthetic" / "evaluation_matrix.parquet")
        macro = table[(table["label"] == "macro") & (table["metric"] == "auroc")]
        spec = Settings(preset="resnet-1d-tiny", signal_kind="ecg-fm").signal_spec
        found = {
            "families": list(FAMILIES),
            "macro_auroc": macro[["model", "method", "value"]].to_dict("records"),
            "sample_rate_hz": spec.sample_rate_hz,
            "segment_s": spec.segment_s,
        }
        result.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
