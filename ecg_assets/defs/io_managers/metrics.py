"""Evaluation results: one JSON file a checkpoint, with one result or a list of some."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
from dagster import InputContext, OutputContext
from upath import UPath

from ecg_assets.defs.resources.settings import Settings
from ecg_assets.errors import SchemaError
from ecg_assets.evaluation import EvaluationResult
from ecg_assets.storage import replace_file

Results = EvaluationResult | list[EvaluationResult]


class _Metrics(dg.UPathIOManager):
    extension = ".json"

    def dump_to_path(self, context: OutputContext, obj: Results, path: UPath) -> None:
        value = [one.to_json() for one in obj] if isinstance(obj, list) else obj.to_json()
        with replace_file(Path(str(path))) as temporary:
            temporary.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")

    def load_input(self, context: InputContext) -> Results | dict[str, Results]:
        if context.has_partition_key:
            result = super().load_input(context)
            assert isinstance(result, EvaluationResult | list)
            return result
        # An asset without partitions gets all that are stored, be it one.
        folder = Path(str(self._get_path_without_extension(context)))
        paths = {key: folder / f"{key}.json" for key in context.asset_partition_keys}
        found = {}
        for key, path in sorted(paths.items()):
            if path.is_file():
                try:
                    found[key] = _read(path)
                except SchemaError as error:  # of a removed checkpoint it may stay for good
                    context.log.warning(f"Left out: {error}")
        return found

    def load_from_path(self, context: InputContext, path: UPath) -> Results:
        return _read(Path(str(path)))


def _read(path: Path) -> Results:
    value = json.loads(path.read_text())
    if isinstance(value, list):
        return [EvaluationResult.from_json(one) for one in value]
    return EvaluationResult.from_json(value)


class MetricsIOManager(dg.ConfigurableIOManagerFactory):  # type: ignore[type-arg]
    """Stores an `EvaluationResult`, or a list of them; an undefined number is null."""

    settings: Settings

    def create_io_manager(self, context: dg.InitResourceContext) -> dg.UPathIOManager:
        """Build the manager for the current source's folder."""
        return _Metrics(UPath(self.settings.folder("")))
