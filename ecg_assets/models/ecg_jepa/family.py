"""ECG-JEPA as one of the model families; needs no torch."""

from __future__ import annotations

from typing import Any

from ecg_assets.models.family import ModelFamily, PublishedFiles

EIGHT_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
"""What it reads, in its order; the other four limb leads are sums of I and II."""

SIZES: dict[str, dict[str, Any]] = {
    # The shape of no published model, for two CPU cores.
    "tiny": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
    # The published one: 85,374,720 numbers, of which 307,200 are the fixed table of positions.
    # 16 heads of 48; no weight tells.
    "base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 16},
}
"""Architecture of each size by name."""

SIGNAL: dict[str, Any] = {
    "sample_rate_hz": 250,
    "resampling": "fourier",
    # mV as they are, as in pre-training and the published probe. The published fine-tuning alone
    # filters, which weights of neither have seen.
    "normalization": "none",
    "segment_s": 10.0,
}
"""Its input, as `SignalSpec` has it."""


ECG_JEPA = ModelFamily(
    name="ecg-jepa",
    title="ECG-JEPA",
    signal_kind="ecg-jepa",
    signal=SIGNAL,
    lead_sets=(EIGHT_LEADS,),
    sizes=SIZES,
    config="ecg_assets.models.ecg_jepa.model:EcgJepaConfig",
    classifier="ecg_assets.models.ecg_jepa.model:EcgJepaForClassification",
    builds="ecg_assets.models.ecg_jepa.model:ecg_jepa_config",
    encoder="ecg_assets.models.ecg_jepa.model:EcgJepa",
    # Attention, and the feed-forward layers.
    adapted_layers=("qkv", "proj", "fc1", "fc2"),
    can_recompute=True,
    has_tokens=True,
    pretrained_on="ECG-JEPA's public weights were pre-trained on Chapman-Shaoxing, Ningbo (both "
    "are part of PhysioNet 2021) and CODE-15",
    pretrained_sources=("physionet-2021", "code-15"),
    licence="code MIT; for the weights no licence is stated",
    files=PublishedFiles(
        content="'encoder' with the blocks of ECG-JEPA",
        recognizes="ecg_assets.models.ecg_jepa.file:is_ecg_jepa",
        builds="ecg_assets.models.ecg_jepa.file:build_ecg_jepa",
    ),
)
