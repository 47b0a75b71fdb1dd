"""Typed resources: settings with their paths, and the trainer that runs child processes."""

from ecg_assets.defs.resources.settings import Settings
from ecg_assets.defs.resources.trainer import Trainer

__all__ = ["Settings", "Trainer"]
