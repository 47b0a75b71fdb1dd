"""Typed resources: settings with paths, the trainer of child processes, fairseq-signals."""

from ecg_assets.defs.resources.fairseq_signals import FairseqSignalsResource
from ecg_assets.defs.resources.settings import Settings
from ecg_assets.defs.resources.trainer import Trainer

__all__ = ["FairseqSignalsResource", "Settings", "Trainer"]
