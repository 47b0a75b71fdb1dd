"""One stage of the small job in a process of its own, for tests that kill it.

``python -m ecg_assets_tests.defs.run_stage FOLDER STAGE [PRETRAINED]`` with stage shards or
training, from a pretrained checkpoint where one is given.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import dagster as dg

from ecg_assets_tests.defs.small_job import TABLES, SmallJob

EPOCHS = 4


def main(folder: Path, stage: str, pretrained: str = "") -> None:
    """Materialize what a stage needs, then the stage."""
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        settings: dict[str, Any] = {}
        if pretrained:
            # Its tokens are four times as many as those of our tiny size.
            settings = {"preset": "ecg-fm-lead-i", "pretrained": pretrained}
            settings |= {"n_synthetic_records": 60, "max_rejected_share": 0.5}
        job = SmallJob.at(folder, instance, **settings)
        if stage == "shards":
            job.materialize(*TABLES)
            job.materialize("signal_shards", "mat_records", shards=job.shards)
        else:
            job.run_to_manifests()
            job.train(epochs=EPOCHS)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
