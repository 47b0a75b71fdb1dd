"""xresnet1d101 as one of the model families; needs no torch."""

from __future__ import annotations

from typing import Any

from ecg_assets.models.family import ModelFamily, PublishedFiles

SIZES: dict[str, dict[str, Any]] = {
    # The shape of no published model, for two CPU cores.
    "tiny": {"stem": (16, 16, 16), "width": 16, "blocks": (1, 1, 1, 1), "head_size": 32},
    # As published: 1,880,775 parameters with 12 leads and 71 outputs. All stages are as wide.
    "base": {"stem": (32, 32, 64), "width": 64, "blocks": (3, 4, 23, 3), "head_size": 128},
}
"""Architecture of each size by name."""

SIGNAL: dict[str, Any] = {
    "sample_rate_hz": 100,
    "resampling": "polyphase",
    "normalization": "none",
    "segment_s": 2.5,
    "stride_s": 1.25,
    "aggregation": "max",
}
"""Its input, as `SignalSpec` has it.

The authors subtract one mean of all leads, samples and training recordings and divide by one
deviation. The first layer is a convolution without bias and a batch norm, so that this changes
nothing where it is trained from scratch but the border of zeros; a published file needs the numbers
that it was trained with.
"""

XRESNET1D101 = ModelFamily(
    name="xresnet1d101",
    title="xresnet1d101",
    signal_kind="xresnet1d101",
    signal=SIGNAL,
    # No spec is that of its published files: each has a mean and a deviation of its own.
    lead_sets=(),
    sizes=SIZES,
    config="ecg_assets.models.xresnet.model:XresnetConfig",
    classifier="ecg_assets.models.xresnet.model:Xresnet",
    builds="ecg_assets.models.xresnet.model:xresnet_config",
    fine_tuning="ecg_assets.models.xresnet.model:FINE_TUNING",
    has_tokens=True,
    pretrained_on="xresnet1d101's published models were trained on PTB-XL with its labels",
    # PhysioNet 2021 has PTB-XL's recordings under other names.
    pretrained_sources=("ptb-xl", "physionet-2021"),
    pretrained_part="folds 1 to 8 of it, while fold 9 was looked at: its tenth fold alone is new",
    licence="the authors' code GPL 3, of which nothing is here; their trained models are on "
    "Fraunhofer's cloud, without a licence of their own",
    files=PublishedFiles(
        content="'model' of fastai's xresnet1d101",
        recognizes="ecg_assets.models.xresnet.file:is_xresnet",
        builds="ecg_assets.models.xresnet.file:build_xresnet",
        fits="ecg_assets.models.xresnet.file:fit_meaning",
    ),
)
