"""MERL's ResNet-18 as one of the model families; needs no torch."""

from __future__ import annotations

from typing import Any

from ecg_assets.models.family import ModelFamily, PublishedFiles
from ecg_assets.preprocess.signal_spec import STANDARD_LEADS

SIZES: dict[str, dict[str, Any]] = {
    # The shape of no published model, for two CPU cores.
    "tiny": {"widths": (8, 16, 32, 64), "blocks": (1, 1, 1, 1)},
    # As published: 3,848,832 parameters with 12 leads, without the last layer.
    "base": {"widths": (64, 128, 256, 512), "blocks": (2, 2, 2, 2)},
}
"""Architecture of each size by name."""

LEADS = (*STANDARD_LEADS[:4], "aVF", "aVL", *STANDARD_LEADS[6:])
"""In the order of MIMIC-IV-ECG's files, which MERL was pre-trained on: aVF before aVL."""

SIGNAL: dict[str, Any] = {
    "normalization": {"kind": "min-max", "scope": "recording", "epsilon": 1e-8},
    "segment_s": 10.0,
    # Before the range is measured, as MERL pads the recordings of CPSC 2018.
    "padding": "zeros",
}
"""Its input, as `SignalSpec` has it."""

MERL_RESNET18 = ModelFamily(
    name="merl-resnet18",
    title="MERL's ResNet-18",
    signal_kind="merl-resnet18",
    signal=SIGNAL,
    lead_sets=(LEADS,),
    sizes=SIZES,
    config="ecg_assets.models.merl_resnet18.model:Resnet18Config",
    classifier="ecg_assets.models.merl_resnet18.model:Resnet18Classifier",
    builds="ecg_assets.models.merl_resnet18.model:resnet18_config",
    encoder="ecg_assets.models.merl_resnet18.model:Resnet18",
    has_tokens=True,
    pretrained_on="MERL's public weights were pre-trained on 771,693 recordings and reports of "
    "MIMIC-IV-ECG",
    pretrained_sources=("mimic-iv-ecg",),
    licence="code and weights MIT",
    files=PublishedFiles(
        content="the weights of MERL's ResNet-18, res18_best_encoder.pth",
        recognizes="ecg_assets.models.merl_resnet18.file:is_resnet18",
        builds="ecg_assets.models.merl_resnet18.file:build_resnet18",
        fits="ecg_assets.models.merl_resnet18.file:fit_meaning",
    ),
)
