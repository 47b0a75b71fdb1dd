"""The user's installation of fairseq-signals, in an interpreter of its own."""

from __future__ import annotations

import os

import dagster as dg
from pydantic import Field

from ecg_assets.finetune.fairseq_probe import FairseqInstall, probe_fairseq


class FairseqSignalsResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Finds fairseq-signals and says what is missing; nothing of it is imported here."""

    python: str = Field(
        default_factory=lambda: os.environ.get("FAIRSEQ_SIGNALS_PYTHON", ""),
        description="Interpreter with fairseq-signals (FAIRSEQ_SIGNALS_PYTHON).",
    )
    config_folder: str = Field(
        default_factory=lambda: os.environ.get("FAIRSEQ_SIGNALS_CONFIG", ""),
        description="Folder of its diagnosis.yaml (FAIRSEQ_SIGNALS_CONFIG); empty: the one in "
        "its clone.",
    )
    n_gpus: int = Field(
        default=1, description="GPUs that it trains on; the batch size is for each of them."
    )
    n_workers: int = Field(default=6, description="Processes that load .mat files.")
    needs_gpu: bool = Field(
        default=True,
        description="Refuse to start without a GPU. Only a changed fairseq-signals trains on a "
        "CPU.",
    )

    def probe(self) -> FairseqInstall:
        """Look at the interpreter; raises `SettingsError` that lists what is missing."""
        return probe_fairseq(self.python, self.config_folder, needs_gpu=self.needs_gpu)
