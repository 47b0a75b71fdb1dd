"""HuBERT-ECG as one of the model families; needs no torch."""

from __future__ import annotations

from typing import Any

from ecg_assets.models.family import ModelFamily, PublishedFiles
from ecg_assets.preprocess.signal_spec import STANDARD_LEADS

_CONVOLUTIONS = {"conv_kernel": (10, 3, 3, 2, 2), "conv_stride": (4, 2, 2, 2, 2)}
"""One token each 64 samples."""
_PUBLISHED = {
    "conv_dim": (512,) * 5,
    **_CONVOLUTIONS,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
}
SIZES: dict[str, dict[str, Any]] = {
    # The shape of no published model, for two CPU cores.
    "tiny": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "conv_dim": (32, 32, 32, 64, 64),
        **_CONVOLUTIONS,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
    },
    # The published ones: 30,209,664, 92,798,848 and 187,644,736 parameters, of which 512, 768 and
    # 960 are the vector of masked tokens, which only pre-training uses and the encoder here lacks.
    "small": {
        "hidden_size": 512,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "intermediate_size": 2048,
        **_PUBLISHED,
    },
    "base": {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        **_PUBLISHED,
    },
    # 12 heads of 80; 16 would load as well, and run wrong.
    "large": {
        "hidden_size": 960,
        "num_hidden_layers": 16,
        "num_attention_heads": 12,
        "intermediate_size": 3840,
        **_PUBLISHED,
    },
}
"""Architecture of each size by name."""

SIGNAL: dict[str, Any] = {
    "sample_rate_hz": 500,
    "resampling": "fourier",
    # At the recording's own rate: int(0.3 × rate) taps, made odd.
    "filter": [{"kind": "fir", "low_hz": 0.05, "high_hz": 47, "length_s": 0.3, "zero_phase": True}],
    # Over the whole recording, so that a segment rarely spans -1 to 1.
    "normalization": {"kind": "min-max", "scope": "lead", "epsilon": 1e-8, "low": -1, "high": 1},
    "order": ["filter", "resample", "normalize", "part", "segment"],
    "segment_s": 5.0,
    "fill": "mean",
    # 12 × 2500 samples laid end to end, then every fifth of them: 6000. The filter against
    # aliasing runs over the borders of leads.
    "layout": "end-to-end",
    "decimation": 5,
}
"""Its input, as `SignalSpec` has it."""


HUBERT_ECG = ModelFamily(
    name="hubert-ecg",
    title="HuBERT-ECG",
    signal_kind="hubert-ecg",
    signal=SIGNAL,
    lead_sets=(STANDARD_LEADS,),
    sizes=SIZES,
    config="ecg_assets.models.hubert_ecg.model:HubertEcgConfig",
    classifier="ecg_assets.models.hubert_ecg.model:HubertEcgForClassification",
    builds="ecg_assets.models.hubert_ecg.model:hubert_ecg_config",
    encoder="ecg_assets.models.hubert_ecg.model:HubertEcg",
    fine_tuning="ecg_assets.models.hubert_ecg.model:FINE_TUNING",
    # Attention, and the feed-forward layers.
    adapted_layers=(
        *("q_proj", "k_proj", "v_proj", "out_proj"),
        *("intermediate_dense", "output_dense"),
    ),
    has_convolution_stack=True,
    # A token is a place in one lead, not a time of all: a rollout over time would mean nothing.
    has_attention=False,
    can_recompute=True,
    has_tokens=True,
    pretrained_on="HuBERT-ECG's public weights were pre-trained on 9.1 million recordings of four "
    "countries, of which no list is public; its model card names PTB, PTB-XL, CPSC, CPSC-Extra, "
    "Georgia, Chapman, Ningbo, SPH, CODE, SaMi-Trop and Hefei for what was fine-tuned from them",
    pretrained_sources=("ptb-xl", "physionet-2021", "code-15"),
    pretrained_part="of which it is not known who was in the pre-training",
    licence="code and weights CC BY-NC 4.0: no commercial use",
    files=PublishedFiles(
        content="'model_state_dict' with 'model_config' as HuBERT-ECG's training writes them, or "
        "model.safetensors beside config.json",
        recognizes="ecg_assets.models.hubert_ecg.file:is_hubert_ecg",
        builds="ecg_assets.models.hubert_ecg.file:build_hubert_ecg",
        classes=("hubert_ecg.HuBERTECGConfig",),
    ),
)
