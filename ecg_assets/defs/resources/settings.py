"""All knobs of a deployment in one typed resource, and the paths that follow from them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Literal, TypeVar

import dagster as dg
from pydantic import Field

from ecg_assets.errors import SettingsError
from ecg_assets.labels import LabelSet, UpstreamLabeler, load_label_set
from ecg_assets.labels.label_set import ECG_FM_17
from ecg_assets.lineage import fingerprint_file
from ecg_assets.preprocess.signal_spec import STANDARD_LEADS, SignalSpec
from ecg_assets.sources import Source, open_source

_Number = TypeVar("_Number", int, float)


class Settings(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where the data is, where results go, and what every stage must agree on."""

    source: str = Field(
        default_factory=lambda: os.environ.get("ECG_SOURCE", "synthetic"),
        description="mimic-iv-ecg, physionet-2021 or synthetic (ECG_SOURCE).",
    )
    raw_root: str = Field(
        default_factory=lambda: os.environ.get("ECG_RAW_ROOT", ""),
        description="Root folder of the dataset (ECG_RAW_ROOT); synthetic makes its own.",
    )
    data_dir: str = Field(
        default_factory=lambda: os.environ.get("ECG_DATA_DIR", "data"),
        description="Folder for all results (ECG_DATA_DIR).",
    )
    leads: list[str] = Field(
        default_factory=lambda: _names("ECG_LEADS", "I"),
        description="Leads a model sees, by name (ECG_LEADS, e.g. I or I,II; 'all' for twelve).",
    )
    stored_leads: list[str] = Field(
        default_factory=lambda: _names("ECG_STORED_LEADS", os.environ.get("ECG_LEADS", "I")),
        description="Leads kept in signal shards (ECG_STORED_LEADS); at least those of ECG_LEADS.",
    )
    segment_s: float = Field(
        default_factory=lambda: _number(float, "ECG_SEGMENT_S", "5"),
        description="Seconds of one model input (ECG_SEGMENT_S); ECG-FM was trained on 5.",
    )
    folders_per_shard: int = Field(
        default_factory=lambda: _number(int, "ECG_FOLDERS_PER_SHARD", "20"),
        description="MIMIC folders (pNNNN) in one shard (ECG_FOLDERS_PER_SHARD).",
    )
    label_set: str = Field(
        default_factory=lambda: os.environ.get("ECG_LABEL_SET", ECG_FM_17),
        description="Labels: a shipped set's name or the path of a file (ECG_LABEL_SET).",
    )
    label_threshold: float = Field(
        default_factory=lambda: _number(float, "ECG_LABEL_THRESHOLD", "0.5"),
        description="Lowest probability that makes a label true (ECG_LABEL_THRESHOLD); "
        "0 counts every hedge, as ECG-FM's published labels do.",
    )
    label_weights: Literal["train", "all"] = Field(
        default_factory=lambda: _choice("ECG_LABEL_WEIGHTS", "train", "all"),
        description="Rows behind computed_labels' weights: train, or all as the reference has "
        "them (ECG_LABEL_WEIGHTS).",
    )
    ecg_fm_root: str = Field(
        default_factory=lambda: os.environ.get("ECG_FM_ROOT", ""),
        description="A clone of ECG-FM, whose labeler upstream_labels runs (ECG_FM_ROOT).",
    )
    ecg_fm_python: str = Field(
        default_factory=lambda: os.environ.get("ECG_FM_PYTHON", sys.executable),
        description="Interpreter with pandas 2 for ECG-FM's labeler (ECG_FM_PYTHON).",
    )
    report_joint: str = Field(
        default_factory=lambda: os.environ.get("ECG_REPORT_JOINT", " "),
        description="Stands between report lines for ECG-FM's labeler (ECG_REPORT_JOINT).",
    )
    meta_split: str = Field(
        default_factory=lambda: os.environ.get("ECG_META_SPLIT", ""),
        description="A meta_split.csv to take the split from (ECG_META_SPLIT).",
    )
    device: str = Field(
        default_factory=lambda: os.environ.get("ECG_DEVICE", "auto"),
        description="auto, cpu, cuda or cuda:N (ECG_DEVICE).",
    )
    precision: str = Field(
        default_factory=lambda: os.environ.get("ECG_PRECISION", "fp32"),
        description="fp32, bf16 or fp16 (ECG_PRECISION).",
    )
    pretrained: str = Field(
        default_factory=lambda: os.environ.get("ECG_PRETRAINED", ""),
        description="Checkpoint folder that fine-tuning starts from (ECG_PRETRAINED).",
    )
    preset: str = Field(
        default_factory=lambda: os.environ.get("ECG_PRESET", "tiny"),
        description="Fine-tuning preset used when a run names none (ECG_PRESET).",
    )
    seed: int = Field(
        default_factory=lambda: _number(int, "ECG_SEED", "1"),
        description="Seed of the split, training and the bootstrap (ECG_SEED).",
    )
    n_synthetic_records: int = Field(
        default_factory=lambda: _number(int, "ECG_SYNTHETIC_RECORDS", "800"),
        description="Recordings in the synthetic cohort (ECG_SYNTHETIC_RECORDS).",
    )
    n_resamples: int = Field(
        default_factory=lambda: _number(int, "ECG_RESAMPLES", "1000"),
        description="Bootstrap resamples of patients for intervals (ECG_RESAMPLES).",
    )
    max_rejected_share: float = Field(
        default_factory=lambda: _number(float, "ECG_MAX_REJECTED_SHARE", "0.05"),
        description="Unreadable share that a shard may have at most (ECG_MAX_REJECTED_SHARE).",
    )

    def open_source(self) -> Source:
        """Open the dataset; raises `SettingsError` that says what to set."""
        return open_source(
            self.source,
            self.source_root,
            folders_per_shard=self.folders_per_shard,
            n_records=self.n_synthetic_records,
        )

    @property
    def source_root(self) -> Path:
        """Root of the raw dataset."""
        if self.raw_root:
            return Path(self.raw_root).expanduser().resolve()
        if self.source == "synthetic":
            return self.data_path / "raw" / "synthetic"
        raise SettingsError(
            f"ECG_RAW_ROOT is not set. Set it to the root folder of {self.source}, "
            "or set ECG_SOURCE=synthetic to use the synthetic cohort."
        )

    def load_label_set(self) -> LabelSet:
        """Load the labels; raises `SettingsError` that says what to set."""
        return load_label_set(self.label_set)

    def upstream_labeler(self) -> UpstreamLabeler:
        """Find ECG-FM's labeler; raises `SettingsError` that says what to set."""
        return UpstreamLabeler(Path(self.ecg_fm_root), self.ecg_fm_python, self.report_joint)

    @property
    def signal_spec(self) -> SignalSpec:
        """What model input is made of."""
        missing = [lead for lead in self.leads if lead not in self.stored_leads]
        if missing:
            raise SettingsError(
                f"ECG_LEADS asks for {missing}, but ECG_STORED_LEADS keeps {self.stored_leads}."
            )
        n_channels = 12 if len(self.leads) == 1 else len(self.leads)
        return SignalSpec(leads=tuple(self.leads), n_channels=n_channels, segment_s=self.segment_s)

    @property
    def split_rule(self) -> str:
        """How patients are split, in one line: two equal rules never disagree on a patient."""
        if self.meta_split:
            return f"meta_split {fingerprint_file(Path(self.meta_split))[:16]}"
        return f"hash of patient, seed {self.seed}, 80/10/10"

    @property
    def data_path(self) -> Path:
        """Folder of all results."""
        return Path(self.data_dir).expanduser().resolve()

    def folder(self, asset: str) -> Path:
        """Folder of an asset's files for the current source."""
        return self.data_path / self.source / asset

    @property
    def checkpoints(self) -> Path:
        """Folder with one folder a checkpoint; shared by all sources."""
        return self.data_path / "checkpoints"


def _number(kind: type[_Number], variable: str, default: str) -> _Number:
    """Read a number from the environment."""
    text = os.environ.get(variable, default)
    try:
        return kind(text)
    except ValueError as error:
        raise SettingsError(f"{variable} is {text!r}; expected {kind.__name__}.") from error


def _choice(variable: str, *allowed: str) -> Any:
    """Read one of a few words from the environment; the first is the default."""
    text = os.environ.get(variable, allowed[0])
    if text not in allowed:
        raise SettingsError(f"{variable} is {text!r}; allowed: {allowed}.")
    return text


def _names(variable: str, default: str) -> list[str]:
    """Read a comma-separated list of leads from the environment; ``all`` means twelve."""
    text = os.environ.get(variable, default)
    if text.strip().lower() == "all":
        return list(STANDARD_LEADS)
    return [name.strip() for name in text.split(",") if name.strip()]
