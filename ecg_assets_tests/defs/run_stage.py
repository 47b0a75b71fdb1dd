"""One stage of the small job in a process of its own, for tests that kill it.

``python -m ecg_assets_tests.defs.run_stage FOLDER STAGE`` with stage shards, or training of stored
manifests.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from ecg_assets.defs.loading import loading

with loading():
    import dagster as dg

    from ecg_assets.defs.resources import Trainer
    from ecg_assets_tests.defs.small_job import TABLES, SmallJob


def main(folder: Path, stage: str) -> None:
    """Materialize a stage."""
    folder.mkdir(exist_ok=True)
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        job = replace(SmallJob.at(folder, instance), trainer=Trainer())
        if stage == "training":
            job.train()
        else:
            job.materialize(*TABLES)
            job.materialize("signal_shards", "mat_records", shards=job.shards)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
