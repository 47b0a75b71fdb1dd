"""Architecture of each size of ECG-FM; needs no torch."""

from __future__ import annotations

from typing import Any

from ecg_assets.models.family import ModelFamily, PublishedFiles

SIZES: dict[str, dict[str, Any]] = {
    # The shape of no published model: with six convolutions instead of four a segment of
    # 5 s is 39 tokens instead of 156. On the synthetic cohort an epoch then takes half as
    # long, and 12 epochs come to a higher AUROC.
    "tiny": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "conv_dim": (16, 16, 32, 32, 64, 64),
        "conv_kernel": (2, 2, 2, 2, 2, 2),
        "conv_stride": (2, 2, 2, 2, 2, 2),
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
    },
    # The published ECG-FM: 90,373,248 parameters with 12 input channels, without the head.
    "base": {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "conv_dim": (256, 256, 256, 256),
        "conv_kernel": (2, 2, 2, 2),
        "conv_stride": (2, 2, 2, 2),
        "num_conv_pos_embeddings": 128,
        "num_conv_pos_embedding_groups": 16,
    },
    # The width and depth of wav2vec 2.0's large model (arXiv:2006.11477) behind ECG-FM's
    # convolutions; no weights of it are published.
    "large": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "conv_dim": (256, 256, 256, 256),
        "conv_kernel": (2, 2, 2, 2),
        "conv_stride": (2, 2, 2, 2),
        "num_conv_pos_embeddings": 128,
        "num_conv_pos_embedding_groups": 16,
    },
}
"""Architecture of each size by name."""


# ECG-FM as one of the model families; needs no torch.


ECG_FM = ModelFamily(
    name="ecg_fm",
    title="ECG-FM",
    signal_kind="ecg-fm",
    sizes=SIZES,
    config="ecg_assets.models.ecg_fm.config:EcgFmConfig",
    classifier="ecg_assets.models.ecg_fm.model:EcgFmForClassification",
    builds="ecg_assets.models.ecg_fm.config:ecg_fm_config",
    encoder="ecg_assets.models.ecg_fm.model:EcgFm",
    pretraining="ecg_assets.models.ecg_fm.pretraining:EcgFmForPreTraining",
    fine_tuning="ecg_assets.models.ecg_fm.config:FINE_TUNING",
    # Attention, and the feed-forward layers.
    adapted_layers=(
        *("q_proj", "k_proj", "v_proj", "out_proj"),
        *("intermediate_dense", "output_dense"),
    ),
    has_convolution_stack=True,
    has_attention=True,
    can_recompute=True,
    has_tokens=True,
    pretrained_on="ECG-FM's public weights were pre-trained on MIMIC-IV-ECG",
    pretrained_sources=("mimic-iv-ecg",),
    licence="code and weights MIT",
    files=PublishedFiles(
        content="'cfg' and 'model' as fairseq-signals writes them",
        recognizes="ecg_assets.models.ecg_fm.fairseq_file:is_ecg_fm",
        builds="ecg_assets.models.ecg_fm.fairseq_import:build_ecg_fm",
    ),
)
