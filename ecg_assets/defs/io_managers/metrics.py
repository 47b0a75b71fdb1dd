"""Evaluation results: one JSON file a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
from dagster import InputContext, OutputContext
from upath import UPath

from ecg_assets.defs.resources.settings import Settings
from ecg_assets.evaluation import EvaluationResult
from ecg_assets.storage import replace_file


class _Metrics(dg.UPathIOManager):
    extension = ".json"

    def dump_to_path(self, context: OutputContext, obj: EvaluationResult, path: UPath) -> None:
        with replace_file(Path(str(path))) as temporary:
            temporary.write_text(json.dumps(obj.to_json(), indent=1, allow_nan=False) + "\n")

    def load_input(self, context: InputContext) -> EvaluationResult | dict[str, EvaluationResult]:
        if context.has_partition_key:
            result = super().load_input(context)
            assert isinstance(result, EvaluationResult)
            return result
        # An asset without partitions gets all that are stored, be it one.
        folder = Path(str(self._get_path_without_extension(context)))
        paths = {key: folder / f"{key}.json" for key in context.asset_partition_keys}
        return {
            key: EvaluationResult.from_json(json.loads(path.read_text()))
            for key, path in sorted(paths.items())
            if path.is_file()
        }

    def load_from_path(self, context: InputContext, path: UPath) -> EvaluationResult:
        return EvaluationResult.from_json(json.loads(Path(str(path)).read_text()))


class MetricsIOManager(dg.ConfigurableIOManagerFactory):  # type: ignore[type-arg]
    """Stores an `EvaluationResult`; an undefined number is null."""

    settings: Settings

    def create_io_manager(self, context: dg.InitResourceContext) -> dg.UPathIOManager:
        """Build the manager for the current source's folder."""
        return _Metrics(UPath(self.settings.folder("")))
