"""DeepECG-SSL as one of the model families; needs no torch."""

from __future__ import annotations

from ecg_assets.models.ecg_fm.family import SIZES as ECG_FM_SIZES
from ecg_assets.models.family import ModelFamily, PublishedFiles
from ecg_assets.preprocess.signal_spec import STANDARD_LEADS

SIZES = {name: ECG_FM_SIZES[name] for name in ("tiny", "base")}
"""Architecture of each size by name: ECG-FM's."""


DEEPECG_SSL = ModelFamily(
    name="deepecg-ssl",
    title="DeepECG-SSL",
    signal_kind="deepecg-ssl",
    # Its pipeline scales amplitudes until Lead I's mean spectrum is that of PTB-XL in mV, and
    # levels the peaks of mains: both by all recordings of a batch, so neither is a step here.
    signal={"normalization": "none", "sample_rate_hz": 250, "segment_s": 10.0},
    lead_sets=(STANDARD_LEADS,),
    sizes=SIZES,
    config="ecg_assets.models.deepecg.model:DeepEcgConfig",
    classifier="ecg_assets.models.deepecg.model:DeepEcgForClassification",
    builds="ecg_assets.models.deepecg.model:deepecg_config",
    encoder="ecg_assets.models.deepecg.model:DeepEcg",
    fine_tuning="ecg_assets.models.ecg_fm.config:FINE_TUNING",
    adapted_layers=(
        *("q_proj", "k_proj", "v_proj", "out_proj"),
        *("intermediate_dense", "output_dense"),
    ),
    has_convolution_stack=True,
    has_attention=True,
    can_recompute=True,
    has_tokens=True,
    pretrained_on="DeepECG-SSL's public weights were trained on recordings of the Montreal Heart "
    "Institute; its repository does not list what else its pre-training saw",
    licence="none is stated for the code; weights on request, under the terms given with them",
    files=PublishedFiles(
        content="'cfg' and 'model' as fairseq-signals writes them, with DeepECG-SSL's 77 outputs",
        recognizes="ecg_assets.models.deepecg.file:is_deepecg",
        builds="ecg_assets.models.deepecg.file:build_deepecg",
    ),
)
