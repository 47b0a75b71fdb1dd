"""CLEF as one of the model families; needs no torch."""

from __future__ import annotations

from typing import Any

from ecg_assets.models.family import ModelFamily, PublishedFiles

# Features in a group of the grouped convolutions are counted in a block's middle here, in its
# output by the authors: 8, 16 and 32 of their settings are 4, 16 and 48 where the middle is half,
# as wide as, and one and a half times the output.
SIZES: dict[str, dict[str, Any]] = {
    # The shape of no published model, for two CPU cores: the small one with half the stages' widths
    # and fewer blocks. A stage halves the length, so all six are kept.
    "tiny": {
        "base_filters": 16,
        "ratio": 0.5,
        "filter_list": (16, 32, 32, 64, 64, 128),
        "m_blocks_list": (1, 1, 1, 1, 1, 1),
        "groups_width": 4,
    },
    # The published ones: 447,792, 30,654,000 and 296,623,360 parameters without a head. The middle
    # one has the very shape of ECGFounder with one lead.
    "small": {
        "base_filters": 32,
        "ratio": 0.5,
        "filter_list": (32, 64, 64, 128, 128, 256),
        "m_blocks_list": (1, 1, 2, 2, 2, 2),
        "groups_width": 4,
    },
    "medium": {
        "base_filters": 64,
        "ratio": 1.0,
        "filter_list": (64, 160, 160, 400, 400, 1024, 1024),
        "m_blocks_list": (2, 2, 2, 3, 3, 4, 4),
        "groups_width": 16,
    },
    "large": {
        "base_filters": 128,
        "ratio": 1.5,
        "filter_list": (128, 256, 256, 512, 512, 1024, 1024, 2048, 2048),
        "m_blocks_list": (2, 3, 3, 4, 4, 5, 5, 6, 6),
        "groups_width": 48,
    },
}
"""Architecture of each size by name."""


CLEF = ModelFamily(
    name="clef",
    title="CLEF",
    signal_kind="clef",
    signal={
        "filter": [
            {"kind": "butterworth", "order": 5, "low_hz": 0.67, "high_hz": 40, "form": "ba"}
        ],
        "normalization": {"kind": "z-score", "epsilon": 1e-8},
        "segment_s": 10.0,
    },
    # Its pre-training draws one of the twelve leads at random.
    lead_sets=(("I",), ("II",)),
    sizes=SIZES,
    config="ecg_assets.models.clef.model:ClefConfig",
    classifier="ecg_assets.models.clef.model:ClefForClassification",
    builds="ecg_assets.models.clef.model:clef_config",
    encoder="ecg_assets.models.clef.model:Clef",
    can_recompute=True,
    has_tokens=True,
    never_trained=dict.fromkeys(
        ("first_bn.*", "*.bn1.*", "*.bn2.*", "*.bn3.*"),
        "batch norms that the published settings never run (use_bn=False)",
    ),
    pretrained_on="CLEF's public weights were pre-trained on MIMIC-IV-ECG, with risk scores of its "
    "patients",
    pretrained_sources=("mimic-iv-ecg",),
    licence="code Clear BSD (no patent rights are granted); weights as Zenodo 17572734 says",
    files=PublishedFiles(
        content="'state_dict' with CLEF's 'backbone.' (clef_small.ckpt, clef_medium.ckpt, "
        "clef_largel.ckpt), or with 'model.' and 'projection.' as a file fine-tuned from one",
        recognizes="ecg_assets.models.clef.file:is_clef",
        builds="ecg_assets.models.clef.file:build_clef",
    ),
)
