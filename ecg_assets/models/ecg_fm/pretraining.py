"""ECG-FM with the heads of its pre-training; checked against fairseq-signals' `wav2vec2_cmsc`."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ecg_assets.models.ecg_fm.config import EcgFmConfig
from ecg_assets.models.ecg_fm.fairseq_file import map_weights
from ecg_assets.models.ecg_fm.model import EcgFmEncoder
from ecg_assets.models.pretraining.model import EcgForPreTraining
from ecg_assets.models.pretraining.names import map_heads


class EcgFmForPreTraining(EcgForPreTraining):
    """ECG-FM's encoder, its mask, quantizer and projections."""

    config_class = EcgFmConfig
    encoder_class = EcgFmEncoder


def map_pretraining_weights(
    state: Mapping[str, Tensor], config: EcgFmConfig, *, where: str
) -> dict[str, Tensor]:
    """Rename the weights of a fairseq-signals `wav2vec2_cmsc` to `EcgFmForPreTraining`'s.

    Parameters
    ----------
    state
        The checkpoint's ``model`` entry.
    config
        Its architecture.
    where
        What the checkpoint is called in errors.

    Raises
    ------
    CheckpointError
        When weights are missing, or there are others; the message names them.
    """
    mapped = map_weights(state, config, finetuned=False, where=where)
    return mapped.weights | map_heads(mapped.dropped, predicts_codes=False, where=where)
