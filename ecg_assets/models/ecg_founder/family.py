"""ECGFounder as one of the model families; needs no torch."""

from __future__ import annotations

from ecg_assets.models.ecg_founder.sizes import SIZES
from ecg_assets.models.model_family import ModelFamily, PublishedFiles

ECG_FOUNDER = ModelFamily(
    name="ecg-founder",
    title="ECGFounder",
    signal_kind="ecg-founder",
    sizes=SIZES,
    config="ecg_assets.models.ecg_founder.config:Net1DConfig",
    classifier="ecg_assets.models.ecg_founder.net1d:EcgFounder",
    builds="ecg_assets.models.ecg_founder.config:net1d_config",
    pretrained_on="ECGFounder's public weights were trained on recordings and diagnoses of the "
    "Harvard-Emory ECG Database",
    files=PublishedFiles(
        content="'state_dict' as ECGFounder has it",
        recognizes="ecg_assets.models.ecg_founder.file:is_ecg_founder",
        loads="ecg_assets.models.ecg_founder.file_import:load_ecg_founder",
        imports="ecg_assets.models.ecg_founder.file_import:import_ecg_founder",
        fits="ecg_assets.models.ecg_founder.file_import:fit_meaning",
    ),
)
