"""The whole job on a small cohort, materialized once for all tests that look at it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)
from pydantic import Field

from ecg_assets.defs.build import build_definitions
from ecg_assets.defs.child import COMPUTE, answer_call, read_result, train_request
from ecg_assets.defs.resources import Context, Trainer
from ecg_assets.defs.settings import Settings

TABLES = (
    "record_list",
    "machine_reports",
    "labels",
    "label_evidence",
    "unmatched_statements",
    "split",
)
RESAMPLED = (
    *("eval_metrics", "external_metrics", "lead_degradation", "slice_metrics", "matrix_cell"),
)
"""Assets whose runs say how many resamples their intervals take."""
N_RECORDS = 160
MATRIX = """
models:
  transformer: {preset: tiny}
  net1d: {preset: ecg-founder-six-tiny}
sources: [synthetic]
label_sets: [ecg-fm-17, six-conditions]
methods: [logistic-regression, full]
changes: {epochs: 1}
"""
"""Design of the evaluation matrix, as ECG_MATRIX names it."""


class TrainsHere(Trainer):
    """Trains in this process: a child of its own needs longer to start than to train."""

    def run(
        self, context: Context, settings: Settings, task: str, path: Path, *, alone: bool = False
    ) -> Path:
        return train_request(task, path, lambda _: None)


class LaunchesHere(TrainsHere):
    """Does in this process what a launched child is asked for, and notes it in `asked`."""

    launch: list[str] = Field(default=["srun"])
    asked: ClassVar[list[str]] = []

    def run(
        self, context: Context, settings: Settings, task: str, path: Path, *, alone: bool = False
    ) -> Path:
        if task != COMPUTE:
            self.asked.append("train_request")
            return super().run(context, settings, task, path, alone=alone)
        name, _, _ = read_result(path)
        self.asked.append(name.split(":")[1])
        return answer_call(path, lambda _: None)


@dataclass
class SmallJob:
    """An instance, its settings, and a way to materialize assets on them.

    `trainer` is the product's own where a test is about the child process.
    """

    instance: dg.DagsterInstance
    settings: Settings
    n_resamples: int = 50
    trainer: Trainer = field(default_factory=TrainsHere)

    @classmethod
    def at(cls, folder: Path, instance: dg.DagsterInstance, **settings: Any) -> SmallJob:
        """Start with nothing materialized and results below a folder."""
        values = {
            "source": "synthetic",
            "raw_root": "",
            "data_dir": str(folder / "data"),
            "n_synthetic_records": N_RECORDS,
            "device": "cpu",
            "preset": "tiny",
            "matrix": "",
        }
        return cls(instance, Settings(**{**values, **settings}))

    @contextmanager
    def copied_to(self, folder: Path) -> Iterator[SmallJob]:
        """Give a copy of its results and events, free to be changed."""
        home = Path(self.instance.root_directory)
        shutil.copytree(home, folder, dirs_exist_ok=True)
        data = folder / Path(self.settings.data_dir).relative_to(home)
        with dg.DagsterInstance.local_temp(str(folder)) as instance:
            yield SmallJob(instance, self.settings_with(data_dir=str(data)))

    def settings_with(self, **changes: Any) -> Settings:
        """The same settings but for some."""
        return Settings(**{**self.settings.model_dump(), **changes})

    @property
    def definitions(self) -> dg.Definitions:
        return build_definitions({"settings": self.settings, "trainer": self.trainer})

    @property
    def shards(self) -> list[str]:
        return list(self.instance.get_dynamic_partitions("shard"))

    @property
    def checkpoints(self) -> list[str]:
        return list(self.instance.get_dynamic_partitions("checkpoint"))

    def materialize(
        self,
        *assets: str,
        partition: str | None = None,
        shards: Sequence[str] = (),
        config: dict[str, Any] | None = None,
        raise_on_error: bool = True,
    ) -> dg.ExecuteInProcessResult:
        """Materialize assets with their checks, for one partition or a range of shards.

        Raises what made a step fail, if it is told to.
        """
        tags = {}
        if shards:
            tags = {
                ASSET_PARTITION_RANGE_START_TAG: shards[0],
                ASSET_PARTITION_RANGE_END_TAG: shards[-1],
            }
        intervals: dict[str, Any] = {
            asset: {"config": {"n_resamples": self.n_resamples}}
            for asset in assets
            if asset in RESAMPLED
        }
        job = self.definitions.resolve_implicit_global_asset_job_def()
        try:
            return job.execute_in_process(
                instance=self.instance,
                asset_selection=[dg.AssetKey(asset) for asset in assets],
                partition_key=partition,
                tags=tags,
                run_config={"ops": {**intervals, **(config or {})}},
                raise_on_error=raise_on_error,
            )
        except dg.Failure as failure:
            raise failure.__cause__ or failure from None

    def run_to_manifests(self, mat_config: dict[str, Any] | None = None) -> None:
        """Materialize everything before training."""
        self.materialize(*TABLES)
        self.materialize(
            "signal_shards",
            "mat_records",
            shards=self.shards,
            config={"mat_records": {"config": mat_config or {}}},
        )
        self.materialize("computed_labels", "manifests", "fairseq_manifests", "signal_quality")
        self.materialize("mirror_status", "label_crosswalk", "drift")

    def pretrain(self) -> None:
        """Pre-train the tiny model for one epoch."""
        self.materialize(
            "pretrained_checkpoint",
            config={"pretrained_checkpoint": {"config": {"epochs": 1}}},
        )

    def train(self, epochs: int = 2) -> None:
        """Fine-tune the tiny model."""
        self.materialize(
            "finetuned_checkpoint",
            config={"finetuned_checkpoint": {"config": {"epochs": epochs}}},
        )

    def train_experiments(self) -> None:
        """Train some folds, points and seeds for one epoch each; the others stay missing."""
        config = {"epochs": 1}
        trained = {"fold_checkpoint": ("1", "2"), "grid_checkpoint": ("lr=0.004_batch=32",)}
        for asset, partitions in trained.items():
            for partition in partitions:
                self.materialize(asset, partition=partition, config={asset: {"config": config}})
        for seed, share in (("1", "0.1"), ("2", "0.1"), ("1", "1")):
            self.materialize(
                "repeated_checkpoint",
                partition=f"{seed}|{share}",
                config={"repeated_checkpoint": {"config": config}},
            )
        self.materialize("cross_validation", "grid_search", "repeated_trainings")
        self.train_probes()

    def train_probes(self, **config: Any) -> None:
        """Train a small grid of linear probes on the first checkpoint's encoder."""
        self.materialize("probe_grid", config=self.probe_config(**config))

    def probe_config(self, **config: Any) -> dict[str, Any]:
        """Run configuration of `train_probes`."""
        small = {"learning_rates": [1e-3, 1e-2], "weight_decays": [0.0], "epochs": 3}
        start = {"pretrained": str(self.settings.store.checkpoints / self.checkpoints[0])}
        return {"probe_grid": {"config": {"seeds": [1, 2], **small, **start, **config}}}

    def compare_models(self) -> None:
        """Evaluate two cells of the matrix for one epoch; the others stay missing."""
        self.materialize("frozen_embeddings", partition="transformer|synthetic")
        for method in ("logistic-regression", "full"):
            cell = f"transformer/{method}|synthetic/ecg-fm-17"
            self.materialize("matrix_cell", partition=cell)
        self.materialize("evaluation_matrix")

    def evaluate(self, checkpoint: str) -> None:
        """Evaluate one checkpoint and rebuild the leaderboard."""
        self.materialize(
            "checkpoint",
            "predictions",
            "eval_metrics",
            "external_metrics",
            "lead_degradation",
            "slice_metrics",
            "label_noise",
            "eval_report",
            partition=checkpoint,
        )
        self.materialize("embeddings", "record_scores", "saliency", partition=checkpoint)
        self.materialize(
            "classification_results",
            "production_model",
            partition=checkpoint,
            config={"production_model": {"config": {"onnx": False}}},
        )
        self.materialize("refused_checkpoints", "leaderboard", "croissant")

    def metadata(self, asset: str, partition: str | None = None) -> dict[str, Any]:
        """Metadata values of an asset's latest materialization."""
        return {
            name: value.value for name, value in self._latest(asset, partition).metadata.items()
        }

    def version(self, asset: str, partition: str | None = None) -> str:
        """Data version of an asset's latest materialization."""
        return str((self._latest(asset, partition).tags or {})["dagster/data_version"])

    def _latest(self, asset: str, partition: str | None) -> dg.AssetMaterialization:
        records = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(
                asset_key=dg.AssetKey(asset),
                asset_partitions=None if partition is None else [partition],
            ),
            limit=1,
        ).records
        event = records[0].asset_materialization
        assert event is not None
        return event
