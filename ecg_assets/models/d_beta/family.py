"""D-BETA as one of the model families; needs no torch."""

from __future__ import annotations

from typing import Any

from ecg_assets.models.family import ModelFamily, PublishedFiles
from ecg_assets.preprocess.signal_spec import STANDARD_LEADS

SIZES: dict[str, dict[str, Any]] = {
    # The shape of no published model, for two CPU cores: seven convolutions instead of four give
    # 10 s 39 tokens instead of 312.
    "tiny": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "conv_dim": (16, 16, 32, 32, 32, 48, 48),
        "conv_kernel": (2, 2, 2, 2, 2, 2, 2),
        "conv_stride": (2, 2, 2, 2, 2, 2, 2),
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
    },
    # The published one: 63,203,712 parameters with the class token, the projection and the pooler.
    "base": {
        "hidden_size": 768,
        "num_hidden_layers": 8,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "conv_dim": (256, 256, 256, 256),
        "conv_kernel": (2, 2, 2, 2),
        "conv_stride": (2, 2, 2, 2),
        "num_conv_pos_embeddings": 128,
        "num_conv_pos_embedding_groups": 16,
    },
}
"""Architecture of each size by name."""


D_BETA = ModelFamily(
    name="d-beta",
    title="D-BETA",
    signal_kind="d-beta",
    signal={
        # mV as they are. Its example of another sample rate resamples whole recordings, then cuts.
        "normalization": "none",
        "resampling": "fourier",
        "order": ["resample", "part", "filter", "normalize", "segment"],
        "segment_s": 10.0,
    },
    lead_sets=(STANDARD_LEADS,),
    sizes=SIZES,
    config="ecg_assets.models.d_beta.model:DBetaConfig",
    classifier="ecg_assets.models.d_beta.model:DBetaForClassification",
    builds="ecg_assets.models.d_beta.model:d_beta_config",
    encoder="ecg_assets.models.d_beta.model:DBeta",
    fine_tuning="ecg_assets.models.ecg_fm.config:FINE_TUNING",
    adapted_layers=(
        *("q_proj", "k_proj", "v_proj", "out_proj"),
        *("intermediate_dense", "output_dense"),
    ),
    has_convolution_stack=True,
    # A rollout shows tokens by their times; the class token, which is read here, has none.
    has_attention=False,
    can_recompute=True,
    has_tokens=True,
    pretrained_on="D-BETA's public weights were pre-trained on MIMIC-IV-ECG with its reports",
    pretrained_sources=("mimic-iv-ecg",),
    licence="code and weights CC BY-NC 4.0: no commercial use",
    files=PublishedFiles(
        content="'model' with 'ecg_encoder.' and 'class_embedding' as D-BETA has it",
        recognizes="ecg_assets.models.d_beta.file:is_d_beta",
        builds="ecg_assets.models.d_beta.file:build_d_beta",
    ),
)
