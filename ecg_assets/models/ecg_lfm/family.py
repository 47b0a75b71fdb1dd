"""ECG-LFM as one of the model families; needs no torch."""

from __future__ import annotations

from ecg_assets.models.ecg_lfm.sizes import SIZES
from ecg_assets.models.model_family import ModelFamily, PublishedFiles

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
    files=PublishedFiles(
        content="'model' with the conformer layers of ECG-LFM",
        recognizes="ecg_assets.models.ecg_lfm.file:is_ecg_lfm",
        loads="ecg_assets.models.ecg_lfm.file_import:load_ecg_lfm",
        imports="ecg_assets.models.ecg_lfm.file_import:import_ecg_lfm",
        fits="ecg_assets.models.ecg_lfm.file_import:fit_meaning",
    ),
)
