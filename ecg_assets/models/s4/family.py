"""S4 and ECG-CPC as model families; needs no torch."""

from __future__ import annotations

from typing import Any

from ecg_assets.models.family import ModelFamily, PublishedFiles
from ecg_assets.preprocess.signal_spec import STANDARD_LEADS

S4_SIZES: dict[str, dict[str, Any]] = {
    # The shape of no published model, for two CPU cores.
    "tiny": {"hidden_size": 32, "n_layers": 2, "n_states": 8, "kernel_length": 250},
    # As published: 2,183,239 parameters with 12 leads and 71 outputs.
    "base": {"hidden_size": 512, "n_layers": 4, "n_states": 8, "kernel_length": 250},
}
"""Architecture of each size of S4 by name."""

ECG_CPC_SIZES: dict[str, dict[str, Any]] = {
    "tiny": {
        "conv_dim": (32, 32),
        "conv_kernel": (3, 1),
        "conv_stride": (2, 1),
        "n_layers": 2,
        "n_states": 8,
        "kernel_length": 300,
    },
    # As published, but for the length of the kernel, which a file tells: of 10 s where the model
    # was pre-trained, of 2.5 s here. 2,932,736 parameters without what only pre-training uses.
    "base": {
        "conv_dim": (512,) * 4,
        "conv_kernel": (3, 1, 1, 1),
        "conv_stride": (2, 1, 1, 1),
        "n_layers": 4,
        "n_states": 8,
        "kernel_length": 300,
    },
}
"""Architecture of each size of ECG-CPC by name."""


def _signal(sample_rate_hz: int) -> dict[str, Any]:
    """Give mV, neither filtered nor normalized, in segments of 2.5 s that are averaged."""
    return {
        "sample_rate_hz": sample_rate_hz,
        "resampling": "kaiser-best",
        "normalization": "none",
        "segment_s": 2.5,
        "aggregation": "mean",
    }


_SETTINGS = (
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    *(
        f"omegaconf.nodes.{kind}Node"
        for kind in ("Any", "Boolean", "Float", "Integer", "String", "Bytes", "Path")
    ),
    # Types of its values, which stand beside them.
    *(f"builtins.{kind}" for kind in ("dict", "list", "str", "int", "float", "bool")),
    "typing.Any",
)
"""What Lightning's files hold of OmegaConf's settings; the model needs nothing of them."""


S4 = ModelFamily(
    name="s4",
    title="S4",
    signal_kind="s4",
    signal=_signal(100),
    lead_sets=(STANDARD_LEADS,),
    sizes=S4_SIZES,
    config="ecg_assets.models.s4.model:S4Config",
    classifier="ecg_assets.models.s4.model:S4Classifier",
    builds="ecg_assets.models.s4.model:s4_config",
    fine_tuning="ecg_assets.models.s4.model:FINE_TUNING",
    has_tokens=True,
    licence="S4's code Apache 2.0; the benchmark of ECG foundation models, which has this model, "
    "states no licence; no weights are public",
    files=PublishedFiles(
        content="'state_dict' of the benchmark's S4",
        recognizes="ecg_assets.models.s4.file:is_s4",
        builds="ecg_assets.models.s4.file:build_s4",
    ),
)

ECG_CPC = ModelFamily(
    name="ecg-cpc",
    title="ECG-CPC",
    signal_kind="ecg-cpc",
    signal=_signal(240),
    lead_sets=(STANDARD_LEADS,),
    sizes=ECG_CPC_SIZES,
    config="ecg_assets.models.s4.model:EcgCpcConfig",
    classifier="ecg_assets.models.s4.model:EcgCpcClassifier",
    builds="ecg_assets.models.s4.model:ecg_cpc_config",
    encoder="ecg_assets.models.s4.model:EcgCpc",
    fine_tuning="ecg_assets.models.s4.model:FINE_TUNING",
    has_tokens=True,
    pretrained_on="ECG-CPC's public weights were pre-trained on recordings of the Harvard-Emory "
    "ECG Database, none of PTB-XL, MIMIC-IV-ECG, CODE or PhysioNet 2021",
    licence="the weights' is stated at figshare 30192604, where they are; S4's code Apache 2.0; "
    "the authors' repository states none",
    files=PublishedFiles(
        content="'state_dict' with ts_encoder as ECG-CPC's pre-training writes it",
        recognizes="ecg_assets.models.s4.file:is_ecg_cpc",
        builds="ecg_assets.models.s4.file:build_ecg_cpc",
        classes=_SETTINGS,
    ),
)
