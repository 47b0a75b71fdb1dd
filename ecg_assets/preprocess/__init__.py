"""Recordings to compact shards, and shards to model input.

Belongs here: what is stored of a recording, its per-lead statistics and quality flags,
resampling, filtering, standardizing, cutting into segments. Does not belong here:
labels, splits, which recordings are good enough to train on (build), .mat files (export).
Used by build, models, finetune, evaluation and defs.
"""

from ecg_assets.preprocess.model_input import (
    count_segments,
    is_cut,
    lead_in_mv,
    prepare,
    project_channels,
    segment,
    standardize,
    used_part,
)
from ecg_assets.preprocess.quality_summary import SIGNAL_QUALITY, draw_quality, summarize_quality
from ecg_assets.preprocess.shard import ShardTables, preprocess_shard
from ecg_assets.preprocess.shard_schema import REJECTS, shard_schema
from ecg_assets.preprocess.shard_store import ShardDataset, read_shard, shard_summary, write_shard
from ecg_assets.preprocess.signal_spec import (
    SIGNAL_KINDS,
    STANDARD_LEADS,
    SignalSpec,
    require_same_spec,
    signal_spec_of_kind,
)
from ecg_assets.preprocess.strips import draw_strips
from ecg_assets.preprocess.worker_pool import worker_pool

__all__ = [
    "REJECTS",
    "SIGNAL_KINDS",
    "SIGNAL_QUALITY",
    "STANDARD_LEADS",
    "ShardDataset",
    "ShardTables",
    "SignalSpec",
    "count_segments",
    "draw_quality",
    "draw_strips",
    "is_cut",
    "lead_in_mv",
    "prepare",
    "preprocess_shard",
    "project_channels",
    "read_shard",
    "require_same_spec",
    "segment",
    "shard_schema",
    "shard_summary",
    "signal_spec_of_kind",
    "standardize",
    "summarize_quality",
    "used_part",
    "worker_pool",
    "write_shard",
]
