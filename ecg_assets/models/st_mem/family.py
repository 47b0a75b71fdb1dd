"""ST-MEM as one of the model families; needs no torch."""

from __future__ import annotations

from typing import Any

from ecg_assets.models.family import ModelFamily, PublishedFiles
from ecg_assets.preprocess.signal_spec import STANDARD_LEADS

SIZES: dict[str, dict[str, Any]] = {
    # The shape of no published model, for two CPU cores.
    "tiny": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "head_size": 16,
        "intermediate_size": 128,
    },
    # The published one: 85,150,614 parameters. 12 heads of 64; no weight tells.
    "base": {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "head_size": 64,
        "intermediate_size": 3072,
    },
}
"""Architecture of each size by name."""

SIGNAL: dict[str, Any] = {
    "sample_rate_hz": 250,
    "resampling": "fourier",
    # Each crop is filtered and normalized by itself, by one mean and one deviation of all leads.
    "order": ["part", "resample", "segment", "filter", "normalize"],
    "filter": [
        {"kind": "butterworth", "order": 5, "low_hz": 0.67, "form": "sos", "zero_phase": True},
        {"kind": "butterworth", "order": 5, "high_hz": 40, "form": "sos", "zero_phase": True},
    ],
    "normalization": {"kind": "z-score", "scope": "recording"},
    # Of 10 s three crops, whose probabilities are averaged.
    "segment_s": 9.0,
    "stride_s": 0.5,
    "aggregation": "mean",
}
"""Its input, as `SignalSpec` has it."""


ST_MEM = ModelFamily(
    name="st-mem",
    title="ST-MEM",
    signal_kind="st-mem",
    signal=SIGNAL,
    lead_sets=(STANDARD_LEADS,),
    sizes=SIZES,
    config="ecg_assets.models.st_mem.model:StMemConfig",
    classifier="ecg_assets.models.st_mem.model:StMemForClassification",
    builds="ecg_assets.models.st_mem.model:st_mem_config",
    encoder="ecg_assets.models.st_mem.model:StMem",
    # Attention, and the feed-forward layers.
    adapted_layers=("to_qkv", "to_out.0", "net.0", "net.3"),
    can_recompute=True,
    has_tokens=True,
    pretrained_on="ST-MEM's public weights were pre-trained on Chapman, Ningbo (both are part of "
    "PhysioNet 2021) and CODE-15",
    pretrained_sources=("physionet-2021", "code-15"),
    licence="code and weights CC BY-NC 4.0: no commercial use; its README adds that nothing may be "
    "distributed, changed or used outside the scope that is permitted",
    files=PublishedFiles(
        content="'model' with the blocks of ST-MEM",
        recognizes="ecg_assets.models.st_mem.file:is_st_mem",
        builds="ecg_assets.models.st_mem.file:build_st_mem",
    ),
)
