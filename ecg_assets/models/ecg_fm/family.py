"""ECG-FM as one of the model families; needs no torch."""

from __future__ import annotations

from ecg_assets.models.ecg_fm.sizes import SIZES
from ecg_assets.models.model_family import ModelFamily, PublishedFiles

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
    pretrained_on="ECG-FM's public weights were pre-trained on MIMIC-IV-ECG",
    pretrained_sources=("mimic-iv-ecg",),
    files=PublishedFiles(
        content="'cfg' and 'model' as fairseq-signals writes them",
        recognizes="ecg_assets.models.ecg_fm.fairseq_file:is_fairseq",
        loads="ecg_assets.models.ecg_fm.fairseq_import:load_fairseq",
        imports="ecg_assets.models.ecg_fm.fairseq_import:import_fairseq",
        fits="ecg_assets.models.ecg_fm.fairseq_import:fit_meaning",
    ),
)
