"""Recordings to compact shards, and shards to model input.

Belongs here: what is stored of a recording, its per-lead statistics and quality flags,
resampling, standardizing, cutting into segments, the export to .mat files. Does not
belong here: labels, splits, which recordings are good enough to train on (build).
Used by build, models, finetune, evaluation and defs.
"""

from ecg_assets.preprocess.mat import MAT_FILES, export_mat_records, read_mat_files
from ecg_assets.preprocess.segment import project_channels, segment
from ecg_assets.preprocess.shard import ShardTables, preprocess_shard
from ecg_assets.preprocess.shard_file import read_shard, write_shard
from ecg_assets.preprocess.shard_schema import REJECTS, shard_schema
from ecg_assets.preprocess.shard_summary import shard_summary
from ecg_assets.preprocess.signal_spec import STANDARD_LEADS, SignalSpec, require_same_spec
from ecg_assets.preprocess.standardize import count_segments, standardize

__all__ = [
    "MAT_FILES",
    "REJECTS",
    "STANDARD_LEADS",
    "ShardTables",
    "SignalSpec",
    "count_segments",
    "export_mat_records",
    "preprocess_shard",
    "project_channels",
    "read_mat_files",
    "read_shard",
    "require_same_spec",
    "segment",
    "shard_schema",
    "shard_summary",
    "standardize",
    "write_shard",
]
