"""Outputs of many partitions in one run, written one by one as they arrive.

Dagster's `UPathIOManager` refuses an output that stands for several partitions, and
would need all of them in memory.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import InputContext, OutputContext


class PartitionedFiles(dg.IOManager):
    """Takes an iterable of (partition, value); gives a mapping of partition to stored path."""

    suffix = ""

    def __init__(self, base: Path) -> None:
        self._base = base

    @abstractmethod
    def write(self, value: Any, path: Path) -> None:
        """Write one partition atomically."""

    def handle_output(self, context: OutputContext, obj: Iterable[tuple[str, Any]]) -> None:
        """Write partitions as they arrive; those before a kill stay on disk."""
        folder = self._base / context.asset_key.path[-1]
        for partition, value in obj:
            self.write(value, folder / f"{partition}{self.suffix}")

    def load_input(self, context: InputContext) -> Mapping[str, Path]:
        """Paths of those of the asked partitions that are stored, by partition."""
        folder = self._base / context.asset_key.path[-1]
        paths = {key: folder / f"{key}{self.suffix}" for key in context.asset_partition_keys}
        return {key: path for key, path in sorted(paths.items()) if path.exists()}
