"""The main job end to end: ``python -m ecg_assets.defs.demo``, or ``make demo``.

It runs the same jobs that the UI offers, on the instance in DAGSTER_HOME, and skips
what is stored and current. The source is ECG_SOURCE: synthetic unless you set it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)

from ecg_assets.defs.build import build_definitions
from ecg_assets.defs.checkpoint_state import complete_checkpoints, needs_evaluation
from ecg_assets.defs.data_versions import latest_metadata
from ecg_assets.defs.freshness import assets_to_run
from ecg_assets.defs.partitions import CHECKPOINTS, SHARDS
from ecg_assets.defs.resources import Settings
from ecg_assets.defs.summary import summary_text

PRETRAINING_EPOCHS = 4
PROBE = "linear-probe"


class Demo:
    """Runs the jobs in order on one instance."""

    def __init__(self, instance: dg.DagsterInstance, settings: Settings) -> None:
        self._instance = instance
        self._settings = settings
        self._definitions = build_definitions({"settings": settings})

    def run(self) -> None:
        """Materialize everything that is missing or out of date, then print the result."""
        self._job("tables", only=["record_list"], always=True)
        self._job("tables")
        self._job("preprocess", shards=self._instance.get_dynamic_partitions(str(SHARDS.name)))
        self._job("describe_data")
        self._job("finetune")
        self._train_probe()
        for checkpoint in complete_checkpoints(self._settings.checkpoints):
            self._instance.add_dynamic_partitions(str(CHECKPOINTS.name), [checkpoint.checkpoint_id])
            if needs_evaluation(self._instance, self._settings, checkpoint):
                self._job("evaluate", partition=checkpoint.checkpoint_id, always=True)
        self._job("leaderboard_job")
        print(summary_text(self._settings))

    def _train_probe(self) -> None:
        """Train the rival: a linear probe on an encoder pre-trained on the same signals.

        A probe of a random encoder would be beaten by anything.
        """
        if self._settings.preset != "tiny":  # its own encoder may be large, and is not made here
            return
        self._job("pretrain", config={"pretrained_checkpoint": {"epochs": PRETRAINING_EPOCHS}})
        encoder = latest_metadata(self._instance, "pretrained_checkpoint")["folder"].value
        last = latest_metadata(self._instance, "finetuned_checkpoint")["method"].value
        self._job(
            "finetune",
            only=["finetuned_checkpoint"],
            always=last != PROBE,
            config={"finetuned_checkpoint": {"method": PROBE, "pretrained": str(encoder)}},
        )

    def _job(
        self,
        name: str,
        *,
        only: Sequence[str] = (),
        shards: Sequence[str] = (),
        partition: str | None = None,
        always: bool = False,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        job = self._definitions.resolve_job_def(name)
        keys = [dg.AssetKey(asset) for asset in only] or sorted(
            job.asset_layer.executable_asset_keys
        )
        if not always:
            keys = assets_to_run(self._definitions, self._instance, self._settings, keys, shards)
        if not keys:
            print(f"{name}: everything is stored and current", flush=True)
            return
        print(f"{name}: {', '.join(key.to_user_string() for key in keys)}", flush=True)
        started = time.monotonic()
        tags = (
            {
                ASSET_PARTITION_RANGE_START_TAG: shards[0],
                ASSET_PARTITION_RANGE_END_TAG: shards[-1],
            }
            if shards
            else {}
        )
        result = job.execute_in_process(
            instance=self._instance,
            asset_selection=keys,
            partition_key=partition,
            tags=tags,
            run_config={
                "loggers": {"console": {"config": {"log_level": "INFO"}}},
                "ops": {name: {"config": values} for name, values in (config or {}).items()},
            },
            raise_on_error=True,
        )
        print(f"  done in {time.monotonic() - started:.0f} s (run {result.run_id})", flush=True)


def main() -> int:
    """Run the demo on the instance in DAGSTER_HOME."""
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(Path("dagster_home").resolve())))
    home.mkdir(parents=True, exist_ok=True)
    with dg.DagsterInstance.get() as instance:
        Demo(instance, Settings()).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
