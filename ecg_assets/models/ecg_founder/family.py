"""ECGFounder as one of the model families; needs no torch."""

from __future__ import annotations

from typing import Any

from ecg_assets.models.family import ModelFamily, PublishedFiles

# Architecture of each size of ECGFounder's Net1D; needs no torch.


SIZES: dict[str, dict[str, Any]] = {
    # The shape of no published model: for tests and two CPU cores. Three stages instead of six
    # see too little of a recording at once: on the synthetic cohort they come to a lower AUROC.
    "tiny": {
        "base_filters": 16,
        "filter_list": (16, 16, 32, 32, 64, 64),
        "m_blocks_list": (1, 1, 1, 1, 1, 1),
    },
    # The published ECGFounder: 30,819,014 parameters with 12 leads and 150 outputs.
    "base": {
        "base_filters": 64,
        "filter_list": (64, 160, 160, 400, 400, 1024, 1024),
        "m_blocks_list": (2, 2, 2, 3, 3, 4, 4),
    },
}
"""Architecture of each size by name."""


ECG_FOUNDER = ModelFamily(
    name="ecg-founder",
    title="ECGFounder",
    signal_kind="ecg-founder",
    sizes=SIZES,
    config="ecg_assets.models.ecg_founder.net1d:Net1DConfig",
    classifier="ecg_assets.models.ecg_founder.net1d:EcgFounder",
    builds="ecg_assets.models.ecg_founder.net1d:net1d_config",
    can_recompute=True,
    has_tokens=True,
    never_trained=dict.fromkeys(
        ("first_bn.*", "*.bn1.*", "*.bn2.*", "*.bn3.*"),
        "batch norms that the published settings never run (use_bn=False)",
    ),
    pretrained_on="ECGFounder's public weights were trained on recordings and diagnoses of the "
    "Harvard-Emory ECG Database",
    files=PublishedFiles(
        content="'state_dict' as ECGFounder has it",
        recognizes="ecg_assets.models.ecg_founder.file:is_ecg_founder",
        builds="ecg_assets.models.ecg_founder.file:build_ecg_founder",
        fits="ecg_assets.models.ecg_founder.file:fit_meaning",
    ),
)
