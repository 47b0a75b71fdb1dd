"""MELP as one of the model families; needs no torch."""

from __future__ import annotations

from typing import Any

from ecg_assets.models.family import ModelFamily, PublishedFiles

MIMIC_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
"""The twelve leads in the order of MIMIC-IV-ECG's files: aVF before aVL."""

SIZES: dict[str, dict[str, Any]] = {
    # The shape of no published model, for two CPU cores: seven convolutions instead of four give
    # 10 s 39 tokens instead of 312.
    "tiny": {
        "hidden_size": 32,
        "encoder_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "conv_dim": (16, 16, 32, 32, 32, 48, 48),
        "conv_kernel": (2, 2, 2, 2, 2, 2, 2),
        "conv_stride": (2, 2, 2, 2, 2, 2, 2),
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
        "n_queries": 5,
        "n_pool_heads": 4,
    },
    # The published one ("small" of its authors' three, of which no other has weights): 62,553,216
    # parameters of the 65,593,857 in its file.
    "small": {
        "hidden_size": 256,
        "encoder_size": 768,
        "num_hidden_layers": 8,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "conv_dim": (256, 256, 256, 256),
        "conv_kernel": (2, 2, 2, 2),
        "conv_stride": (2, 2, 2, 2),
        "num_conv_pos_embeddings": 128,
        "num_conv_pos_embedding_groups": 16,
        "n_queries": 14,
        "n_pool_heads": 8,
    },
}
"""Architecture of each size by name."""


MELP = ModelFamily(
    # Not "melp", which config.json of its published folder says.
    name="melp-encoder",
    title="MELP",
    signal_kind="melp-encoder",
    signal={
        "normalization": {"kind": "min-max", "scope": "recording", "epsilon": 1e-8},
        "padding": "zeros",
        "segment_s": 10.0,
    },
    lead_sets=(MIMIC_LEADS,),
    sizes=SIZES,
    config="ecg_assets.models.melp.model:MelpConfig",
    classifier="ecg_assets.models.melp.model:MelpForClassification",
    builds="ecg_assets.models.melp.model:melp_config",
    encoder="ecg_assets.models.melp.model:Melp",
    fine_tuning="ecg_assets.models.ecg_fm.config:FINE_TUNING",
    adapted_layers=(
        *("q_proj", "k_proj", "v_proj"),
        *("attention.out_proj", "intermediate_dense", "output_dense"),
    ),
    has_convolution_stack=True,
    # A rollout knows one mean over tokens, not queries that look at them.
    has_attention=False,
    can_recompute=True,
    has_tokens=True,
    pretrained_on="MELP's public weights were pre-trained on MIMIC-IV-ECG with its reports",
    pretrained_sources=("mimic-iv-ecg",),
    licence="code MIT; weights Apache 2.0",
    files=PublishedFiles(
        content="'state_dict' with 'ecg_encoder.attn_pool_contrast.' as MELP has it, or "
        "model.safetensors beside config.json",
        recognizes="ecg_assets.models.melp.file:is_melp",
        builds="ecg_assets.models.melp.file:build_melp",
    ),
)
