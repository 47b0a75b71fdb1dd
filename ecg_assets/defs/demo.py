"""The main job end to end: ``python -m ecg_assets.defs.demo``, or ``make demo``.

It runs the same jobs that the UI offers, on the instance in DAGSTER_HOME, and skips
what is stored and current. The source is ECG_SOURCE: synthetic unless you set it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
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
from ecg_assets.finetune.presets import PRESETS, family_of_preset, tiny_presets
from ecg_assets.pretrain.presets import find_pretraining_preset

PRETRAINING_EPOCHS = 4
PROBE = "linear-probe"
ONNX_PACKAGES = ("onnx", "onnxruntime", "onnxscript")


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
        self._job("finetune", config={"finetuned_checkpoint": self._first_training()})
        self._train_rivals()
        for checkpoint in complete_checkpoints(self._settings.checkpoints):
            self._instance.add_dynamic_partitions(str(CHECKPOINTS.name), [checkpoint.checkpoint_id])
            if needs_evaluation(self._instance, self._settings, checkpoint):
                self._job("evaluate", partition=checkpoint.checkpoint_id, always=True)
                if self._has_exclusive_labels:
                    self._export(checkpoint.checkpoint_id)
        self._job("leaderboard_job")
        print(summary_text(self._settings))

    @property
    def _has_exclusive_labels(self) -> bool:
        recipe = PRESETS.get(self._settings.preset)
        return recipe is not None and recipe.objective == "exclusive"

    def _first_training(self) -> Mapping[str, str]:
        """Give the configuration of the first checkpoint: empty, or that of an encoder."""
        made_here = self._has_exclusive_labels and not self._settings.pretrained
        return self._encoder if made_here else {}

    @property
    def _encoder(self) -> Mapping[str, str]:
        """Configuration of what stands for published weights, which are fine-tuned.

        Those were trained on very many statements; here it is the preset's own labels, each
        by itself.
        """
        family = family_of_preset(self._settings.preset)
        return {"preset": tiny_presets()[family.name], "objective": "multi-label"}

    def _train_rivals(self) -> None:
        """Train what the first checkpoint is compared with: a linear probe at least.

        A probe of a random encoder would be beaten by anything. Large models of other presets
        have no rival: their encoder is not made here.
        """
        if pretraining := self._pretraining_preset():
            config = {"preset": pretraining, "epochs": PRETRAINING_EPOCHS}
            self._job("pretrain", config={"pretrained_checkpoint": config})
            encoder = latest_metadata(self._instance, "pretrained_checkpoint")["folder"].value
            self._finetune(method=PROBE, pretrained=str(encoder))
        elif self._has_exclusive_labels and not self._is_trained(PROBE):
            encoder = self._settings.pretrained or self._train_encoder()
            if not self._settings.pretrained:
                self._finetune(pretrained=encoder)
            self._finetune(method=PROBE, pretrained=encoder)

    def _pretraining_preset(self) -> str | None:
        """Give what pre-trains the tiny model that the preset is of, where something does."""
        family = family_of_preset(self._settings.preset).name
        if tiny_presets().get(family) != self._settings.preset:
            return None
        return find_pretraining_preset(family, PRESETS[self._settings.preset].size)

    def _train_encoder(self) -> str:
        """Give the encoder's folder; a finished one is found again, not trained again."""
        self._finetune(**self._encoder)
        encoder = latest_metadata(self._instance, "finetuned_checkpoint")["folder"].value
        print(f"  stands for published weights: {encoder}", flush=True)
        return str(encoder)

    def _finetune(self, **config: str) -> None:
        """Train one more checkpoint; not again after a probe, which is the last."""
        self._job(
            "finetune",
            only=["finetuned_checkpoint"],
            always=not self._is_trained(PROBE),
            config={"finetuned_checkpoint": config},
        )

    def _is_trained(self, method: str) -> bool:
        """Tell whether the newest checkpoint was trained in this way."""
        found = latest_metadata(self._instance, "finetuned_checkpoint")["method"].value
        return bool(found == method)

    def _export(self, checkpoint: str) -> None:
        """Write the folder to use a checkpoint with; with ONNX where its packages are there."""
        with_onnx = all(find_spec(name) for name in ONNX_PACKAGES)
        self._job(
            "production",
            partition=checkpoint,
            always=True,
            config={"production_model": {"onnx": with_onnx}},
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
                "ops": {
                    asset: {"config": values}
                    for asset, values in (config or {}).items()
                    if dg.AssetKey(asset) in keys
                },
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
