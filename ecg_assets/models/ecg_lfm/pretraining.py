"""ECG-LFM with the heads of its pre-training; checked against ECG-LFM's `w2vbert`."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ecg_assets.models.ecg_lfm.config import EcgLfmConfig
from ecg_assets.models.ecg_lfm.file import map_ecg_lfm_weights
from ecg_assets.models.ecg_lfm.model import EcgLfmEncoder
from ecg_assets.models.pretraining.model import EcgForPreTraining
from ecg_assets.models.pretraining.names import map_heads
from ecg_assets.models.pretraining.objective import Objective


class EcgLfmForPreTraining(EcgForPreTraining):
    """ECG-LFM's encoder, its mask, quantizer, projections and masked prediction.

    Dropout is where ECG-LFM has it (its ``mlm_dropout``): everywhere inside the layers behind
    the one that the contrastive loss reads, and nowhere before.
    """

    config_class = EcgLfmConfig
    encoder_class = EcgLfmEncoder

    def __init__(self, config: EcgLfmConfig, objective: Objective) -> None:
        super().__init__(config, objective)
        _set_dropout(self, 0.0)
        for layer in self.encoder.encoder.layers[objective.contrastive_layer :]:
            _set_dropout(layer, objective.dropout)


def map_ecg_lfm_pretraining_weights(
    state: Mapping[str, Tensor], config: EcgLfmConfig, *, where: str
) -> dict[str, Tensor]:
    """Rename the weights of a pre-trained ECG-LFM to `EcgLfmForPreTraining`'s.

    Parameters
    ----------
    state
        The checkpoint's ``model`` entry. What it carries and never uses is left out.
    config
        Its architecture.
    where
        What the checkpoint is called in errors.

    Raises
    ------
    CheckpointError
        When weights are missing, or there are others; the message names them.
    """
    mapped = map_ecg_lfm_weights(state, config, finetuned=False, where=where)
    return mapped.weights | map_heads(mapped.dropped, predicts_codes=True, where=where)


def _set_dropout(model: nn.Module, probability: float) -> None:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = probability
