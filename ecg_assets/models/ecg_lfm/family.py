"""ECG-LFM as one of the model families; needs no torch."""

from __future__ import annotations

from typing import Any

from ecg_assets.models.family import ModelFamily, PublishedFiles

# Architecture of each size of ECG-LFM; needs no torch.


SIZES: dict[str, dict[str, Any]] = {
    # The shape of no published model, for two CPU cores; six convolutions instead of four give
    # a segment of 5 s 39 tokens instead of 156, as ECG-FM's smallest size has.
    "tiny": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "conv_dim": (16, 16, 32, 32, 64, 64),
        "conv_kernel": (2, 2, 2, 2, 2, 2),
        "conv_stride": (2, 2, 2, 2, 2, 2),
        "conv_depthwise_kernel_size": 7,
    },
    # The published settings: 626,812,672 parameters in pre-training, of which 606,094,336 are
    # this encoder's with 12 input channels.
    "base": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "conv_dim": (256, 256, 256, 256),
        "conv_kernel": (2, 2, 2, 2),
        "conv_stride": (2, 2, 2, 2),
        "conv_depthwise_kernel_size": 31,
    },
}
"""Architecture of each size by name."""


ECG_LFM = ModelFamily(
    name="ecg-lfm",
    title="ECG-LFM",
    # Its scripts store 5 s segments at 500 Hz in mV, neither filtered nor normalized. Its training
    # could still normalize what it reads (fairseq-signals' tasks have such an option, off unless
    # asked for); no published model says whether one did.
    signal_kind="raw",
    n_channels=12,
    sizes=SIZES,
    config="ecg_assets.models.ecg_lfm.config:EcgLfmConfig",
    classifier="ecg_assets.models.ecg_lfm.model:EcgLfmForClassification",
    builds="ecg_assets.models.ecg_lfm.config:ecg_lfm_config",
    encoder="ecg_assets.models.ecg_lfm.model:EcgLfm",
    pretraining="ecg_assets.models.ecg_lfm.pretraining:EcgLfmForPreTraining",
    fine_tuning="ecg_assets.models.ecg_lfm.config:FINE_TUNING",
    # Attention, and the feed-forward layers.
    adapted_layers=(
        *("linear_q", "linear_k", "linear_v", "linear_out"),
        *("intermediate_dense", "output_dense"),
    ),
    has_convolution_stack=True,
    # A rollout follows attention alone; half of what passes between tokens here is convolution.
    has_attention=False,
    can_recompute=True,
    has_tokens=True,
    files=PublishedFiles(
        content="'model' with the conformer layers of ECG-LFM",
        recognizes="ecg_assets.models.ecg_lfm.file:is_ecg_lfm",
        builds="ecg_assets.models.ecg_lfm.file:build_ecg_lfm",
    ),
)
