"""All knobs of a deployment in one typed resource, and the paths that follow from them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import dagster as dg
from pydantic import Field

from ecg_assets.build.quality import QualityPolicy
from ecg_assets.build.train_limit import TrainLimit
from ecg_assets.defs.resources.environment import (
    count_cores,
    read_choice,
    read_leads,
    read_number,
    read_words,
)
from ecg_assets.errors import SettingsError
from ecg_assets.finetune.presets import family_of_preset, label_set_of_preset
from ecg_assets.labels import LabelSet, UpstreamLabeler, load_label_set
from ecg_assets.lineage import fingerprint_file, fingerprint_json
from ecg_assets.preprocess.mat_form import MatForm, MatLayout
from ecg_assets.preprocess.signal_spec import SignalSpec
from ecg_assets.preprocess.spec_kinds import SIGNAL_KINDS, SignalKind, signal_spec_of_kind
from ecg_assets.sources import (
    SOURCE_NAMES,
    Folder,
    RemoteRoot,
    Source,
    is_remote,
    open_source,
)
from ecg_assets.split import SplitShares, name_hash_rule


def _preset() -> str:
    """Read the preset, which other settings follow where nothing else is said."""
    return os.environ.get("ECG_PRESET", "tiny")


class Settings(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where the data is, where results go, and what every stage must agree on."""

    source: str = Field(
        default_factory=lambda: os.environ.get("ECG_SOURCE", "synthetic"),
        description=f"Dataset (ECG_SOURCE): one of {', '.join(SOURCE_NAMES)}.",
    )
    raw_root: str = Field(
        default_factory=lambda: os.environ.get("ECG_RAW_ROOT", ""),
        description="Root folder of the dataset, or its fsspec URL, e.g. s3://… (ECG_RAW_ROOT); "
        "synthetic makes its own.",
    )
    data_dir: str = Field(
        default_factory=lambda: os.environ.get("ECG_DATA_DIR", "data"),
        description="Folder for all results (ECG_DATA_DIR).",
    )
    leads: list[str] = Field(
        default_factory=lambda: read_leads("ECG_LEADS", "I"),
        description="Leads a model sees, by name (ECG_LEADS, e.g. I or I,II; 'all' for twelve).",
    )
    stored_leads: list[str] = Field(
        default_factory=lambda: read_leads("ECG_STORED_LEADS", os.environ.get("ECG_LEADS", "I")),
        description="Leads kept in signal shards (ECG_STORED_LEADS); at least those of ECG_LEADS.",
    )
    signal_kind: SignalKind = Field(
        default_factory=lambda: read_choice(
            "ECG_SIGNAL_KIND", *SIGNAL_KINDS, default=family_of_preset(_preset()).signal_kind
        ),
        description="What model input is made of (ECG_SIGNAL_KIND): ecg-fm (each lead z-scored), "
        "ecg-founder (filtered, all leads z-scored together) or raw (mV); unset: what the models "
        "of ECG_PRESET read.",
    )
    resampling: Literal["linear", "polyphase"] = Field(
        default_factory=lambda: read_choice("ECG_RESAMPLING", "linear", "polyphase"),
        description="How other sample rates become 500 Hz (ECG_RESAMPLING): linear, as both "
        "models' authors do it, or polyphase.",
    )
    segment_s: float = Field(
        default_factory=lambda: read_number(float, "ECG_SEGMENT_S", "0"),
        description="Seconds of one model input (ECG_SEGMENT_S); 0 is what the models of "
        "ECG_PRESET read, or else their kind: 10 for ecg-founder, 5 for the others.",
    )
    folders_per_shard: int = Field(
        default_factory=lambda: read_number(int, "ECG_FOLDERS_PER_SHARD", "20"),
        description="MIMIC folders (pNNNN) in one shard (ECG_FOLDERS_PER_SHARD).",
    )
    label_set: str = Field(
        default_factory=lambda: os.environ.get("ECG_LABEL_SET", label_set_of_preset(_preset())),
        description="Labels: a shipped set's name, the path of a file, or own for those of "
        "labels.csv (ECG_LABEL_SET); unset: those that ECG_PRESET is made for.",
    )
    label_threshold: float = Field(
        default_factory=lambda: read_number(float, "ECG_LABEL_THRESHOLD", "0.5"),
        description="Lowest probability that makes a label true (ECG_LABEL_THRESHOLD); "
        "0 counts every hedge, as ECG-FM's published labels do.",
    )
    label_weights: Literal["train", "all"] = Field(
        default_factory=lambda: read_choice("ECG_LABEL_WEIGHTS", "train", "all"),
        description="Rows behind the weights of the Lead-I pipeline's label files: train, or all "
        "as it has them (ECG_LABEL_WEIGHTS).",
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
    split: Literal["patients", "folds"] = Field(
        default_factory=lambda: read_choice("ECG_SPLIT", "patients", "folds"),
        description="patients at random, or the folds of ptb-xl: 1-8, 9, 10 (ECG_SPLIT).",
    )
    valid_share: float = Field(
        default_factory=lambda: read_number(float, "ECG_VALID_SHARE", "0.1"),
        description="Share of patients for validation, 0 to 0.5 (ECG_VALID_SHARE); folds and "
        "ECG_META_SPLIT have their own.",
    )
    test_share: float = Field(
        default_factory=lambda: read_number(float, "ECG_TEST_SHARE", "0.1"),
        description="Share of patients for the test, 0 to 0.5 (ECG_TEST_SHARE).",
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
        description="Checkpoint folder, or file that a model's authors published, that "
        "fine-tuning starts from (ECG_PRETRAINED).",
    )
    preset: str = Field(
        default_factory=_preset,
        description="Fine-tuning preset used when a run names none (ECG_PRESET).",
    )
    trainer: Literal["native", "fairseq-signals"] = Field(
        default_factory=lambda: read_choice("ECG_TRAINER", "native", "fairseq-signals"),
        description="What fine-tunes: native (transformers, here) or fairseq-signals in its own "
        "interpreter, when a run names neither (ECG_TRAINER).",
    )
    seed: int = Field(
        default_factory=lambda: read_number(int, "ECG_SEED", "1"),
        description="Seed of the split, training and the bootstrap (ECG_SEED).",
    )
    workers: int = Field(
        default_factory=lambda: read_number(int, "ECG_WORKERS", str(count_cores())),
        description="Processes that read the recordings of a run (ECG_WORKERS); the cores by "
        "default, more where the disk answers slowly.",
    )
    signal_quality: Literal["none", "zhao2018"] = Field(
        default_factory=lambda: read_choice("ECG_SIGNAL_QUALITY", "none", "zhao2018"),
        description="NeuroKit2's index kept with each recording: none or zhao2018 "
        "(ECG_SIGNAL_QUALITY); some 7 ms a lead.",
    )
    n_synthetic_records: int = Field(
        default_factory=lambda: read_number(int, "ECG_SYNTHETIC_RECORDS", "800"),
        description="Recordings in the synthetic cohort (ECG_SYNTHETIC_RECORDS).",
    )
    n_resamples: int = Field(
        default_factory=lambda: read_number(int, "ECG_RESAMPLES", "1000"),
        description="Bootstrap resamples of patients for intervals (ECG_RESAMPLES).",
    )
    evaluation_sets: list[str] = Field(
        default_factory=lambda: read_words("ECG_EVALUATION_SETS"),
        description="Other sources to evaluate checkpoints on (ECG_EVALUATION_SETS, e.g. "
        "ptb-xl,code-15); none named: all whose results are below the data folder.",
    )
    matrix: str = Field(
        default_factory=lambda: os.environ.get("ECG_MATRIX", ""),
        description="A YAML file that names the models, sources, label sets and methods of the "
        "evaluation matrix (ECG_MATRIX); unset: the tiny presets on the current source.",
    )
    max_rejected_share: float = Field(
        default_factory=lambda: read_number(float, "ECG_MAX_REJECTED_SHARE", "0.05"),
        description="Unreadable share that a shard may have at most (ECG_MAX_REJECTED_SHARE).",
    )
    mat_layout: MatLayout = Field(
        default_factory=lambda: read_choice("ECG_MAT_LAYOUT", "fairseq", "reference"),
        description="Names and keys of .mat files and their manifests: fairseq-signals' or the "
        "Lead-I pipeline's (ECG_MAT_LAYOUT).",
    )
    mat_compress: bool = Field(
        default_factory=lambda: read_choice("ECG_MAT_COMPRESS", "true", "false") == "true",
        description="Compress .mat files (ECG_MAT_COMPRESS: true or false).",
    )
    flawed_records: Literal["exclude", "keep"] = Field(
        default_factory=lambda: read_choice("ECG_FLAWED_RECORDS", "exclude", "keep"),
        description="Recordings with a flat lead or many missing samples: out of manifests, or "
        "kept as the Lead-I pipeline keeps them (ECG_FLAWED_RECORDS).",
    )

    max_per_condition: str = Field(
        default_factory=lambda: os.environ.get("ECG_MAX_PER_CONDITION", "0"),
        description="Most training recordings of each label in manifests (ECG_MAX_PER_CONDITION): "
        "a number, 0 for all, or smallest: as many as the rarest label has.",
    )

    def open_source(self) -> Source:
        """Open the dataset; raises `SettingsError` that says what to set."""
        if is_remote(self.raw_root):
            RemoteRoot(self.raw_root).fetch_tables(self.source_root, self.source)
        return open_source(
            self.source,
            self.source_root,
            folders_per_shard=self.folders_per_shard,
            n_records=self.n_synthetic_records,
        )

    @property
    def source_root(self) -> Path:
        """Root of the raw dataset; of a remote one, the folder that its tables are kept in."""
        if is_remote(self.raw_root):
            return self.data_path / "raw" / fingerprint_json(self.raw_root)[:16]
        if self.raw_root:
            return Path(self.raw_root).expanduser().resolve()
        if self.source == "synthetic":
            return self.data_path / "raw" / "synthetic"
        raise SettingsError(
            f"ECG_RAW_ROOT is not set. Set it to the root folder of {self.source}, "
            "or set ECG_SOURCE=synthetic to use the synthetic cohort."
        )

    @contextmanager
    def recordings_at_hand(self, paths: Iterable[str]) -> Iterator[Path]:
        """Give a root that holds these recordings: the dataset's, or copies of remote ones.

        Copies are deleted after the block.
        """
        if not is_remote(self.raw_root) or self.source == "folder":  # which was copied whole
            yield self.source_root
            return
        folder = self.source_root / "fetched" / fingerprint_json(list(paths))[:16]
        try:
            RemoteRoot(self.raw_root).fetch_records(paths, folder)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def load_label_set(self) -> LabelSet:
        """Load the labels; raises `SettingsError` that says what to set."""
        source = self.open_source() if self.source == "folder" else None
        own_labels = source.read_label_names() if isinstance(source, Folder) else ()
        return load_label_set(self.label_set, own_labels=own_labels)

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
        family = family_of_preset(self.preset)
        is_of_family = self.signal_kind == family.signal_kind
        build = (
            family.signal_spec if is_of_family else partial(signal_spec_of_kind, self.signal_kind)
        )
        return build(leads=self.leads, segment_s=self.segment_s or None, resampling=self.resampling)

    @property
    def mat_form(self) -> MatForm:
        """How .mat files are named, filled and packed."""
        keep_missing = self.flawed_records == "keep" and self.mat_layout == "reference"
        return MatForm(self.mat_layout, self.mat_compress, keep_missing)

    @property
    def quality_policy(self) -> QualityPolicy:
        """Which recordings manifests take."""
        if self.flawed_records == "keep":
            return QualityPolicy(allow_flat=True, max_missing_share=1.0)
        return QualityPolicy()

    @property
    def train_limit(self) -> TrainLimit | None:
        """How many training recordings of each label manifests take; None for all."""
        if self.max_per_condition == "smallest":
            return TrainLimit("smallest", self.seed)
        if not self.max_per_condition.isdecimal():
            raise SettingsError(
                f"ECG_MAX_PER_CONDITION is {self.max_per_condition!r}; set it to a number of "
                "recordings, 0 for all, or smallest."
            )
        most = int(self.max_per_condition)
        return TrainLimit(most, self.seed) if most else None

    @property
    def split_rule(self) -> str:
        """How patients are split, in one line: two equal rules never disagree on a patient."""
        if self.meta_split:
            return f"meta_split {fingerprint_file(Path(self.meta_split))[:16]}"
        if self.split == "folds":
            return f"folds of {self.source}"
        return name_hash_rule(self.seed, self._shares)

    @property
    def split_shares(self) -> SplitShares | None:
        """Shares of patients in a split by hash; None where folds or a file give the split."""
        return None if self.meta_split or self.split == "folds" else self._shares

    @property
    def _shares(self) -> SplitShares:
        return SplitShares(self.valid_share, self.test_share)

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
