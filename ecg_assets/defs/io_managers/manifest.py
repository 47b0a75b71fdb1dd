"""Manifests: a folder that holds the index, targets, spec and vocabulary."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
from dagster import InputContext, OutputContext
from upath import UPath

from ecg_assets.build import Manifest, read_manifest, write_manifest
from ecg_assets.defs.resources.settings import Settings


class _Manifests(dg.UPathIOManager):
    extension = ""

    def dump_to_path(self, context: OutputContext, obj: Manifest, path: UPath) -> None:
        write_manifest(obj, Path(str(path)))

    def load_from_path(self, context: InputContext, path: UPath) -> Manifest:
        return read_manifest(Path(str(path)))


class ManifestIOManager(dg.ConfigurableIOManagerFactory):  # type: ignore[type-arg]
    """Stores a `Manifest` as the folder ``manifests``."""

    settings: Settings

    def create_io_manager(self, context: dg.InitResourceContext) -> dg.UPathIOManager:
        """Build the manager for the current source's folder."""
        return _Manifests(UPath(self.settings.folder("")))
