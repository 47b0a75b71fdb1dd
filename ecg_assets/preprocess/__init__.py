"""Recordings to compact shards, and shards to model input.

Belongs here: what is stored of a recording, its per-lead statistics and quality flags,
resampling, filtering, standardizing, cutting into segments, the export to .mat files. Does not
belong here: labels, splits, which recordings are good enough to train on (build).
Used by build, models, finetune, evaluation and defs.
"""

from ecg_assets.preprocess.mat import (
    MAT_FILES,
    MatFolder,
    export_mat_records,
    read_mat_folder,
)
from ecg_assets.preprocess.mat_form import MatForm, MatLayout
from ecg_assets.preprocess.mat_layout import lead_folder
from ecg_assets.preprocess.mat_meta import MAT_META
from ecg_assets.preprocess.quality_summary import (
    SIGNAL_QUALITY,
    draw_quality,
    summarize_quality,
)
from ecg_assets.preprocess.segment import project_channels, segment
from ecg_assets.preprocess.shard import ShardTables, preprocess_shard
from ecg_assets.preprocess.shard_dataset import ShardDataset
from ecg_assets.preprocess.shard_file import read_shard, write_shard
from ecg_assets.preprocess.shard_schema import REJECTS, shard_schema
from ecg_assets.preprocess.shard_summary import shard_summary
from ecg_assets.preprocess.signal_spec import STANDARD_LEADS, SignalSpec, require_same_spec
from ecg_assets.preprocess.spec_kinds import SIGNAL_KINDS, signal_spec_of_kind
from ecg_assets.preprocess.standardize import count_segments, standardize
from ecg_assets.preprocess.strips import draw_strips, lead_in_mv
from ecg_assets.preprocess.worker_pool import worker_pool

__all__ = [
    "MAT_FILES",
    "MAT_META",
    "REJECTS",
    "SIGNAL_KINDS",
    "SIGNAL_QUALITY",
    "STANDARD_LEADS",
    "MatFolder",
    "MatForm",
    "MatLayout",
    "ShardDataset",
    "ShardTables",
    "SignalSpec",
    "count_segments",
    "draw_quality",
    "draw_strips",
    "export_mat_records",
    "lead_folder",
    "lead_in_mv",
    "preprocess_shard",
    "project_channels",
    "read_mat_folder",
    "read_shard",
    "require_same_spec",
    "segment",
    "shard_schema",
    "shard_summary",
    "signal_spec_of_kind",
    "standardize",
    "summarize_quality",
    "worker_pool",
    "write_shard",
]
