"""Names of the weights of ECG-FM's pre-training in fairseq-signals and here."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ecg_assets.errors import CheckpointError
from ecg_assets.models.ecg_fm_config import EcgFmConfig
from ecg_assets.models.fairseq_names import map_weights

_HEADS = {
    "mask_emb": "mask_embedding",
    "quantizer.vars": "quantizer.codevectors",
    "quantizer.weight_proj.weight": "quantizer.weight_proj.weight",
    "quantizer.weight_proj.bias": "quantizer.weight_proj.bias",
    "project_q.weight": "project_q.weight",
    "project_q.bias": "project_q.bias",
    "final_proj.weight": "project_hidden.weight",
    "final_proj.bias": "project_hidden.bias",
}


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
    if set(mapped.dropped) != set(_HEADS):
        raise CheckpointError(
            f"{where} is no W2V + CMSC model as ECG-FM was pre-trained: its heads lack "
            f"{sorted(set(_HEADS) - set(mapped.dropped))} and have "
            f"{sorted(set(mapped.dropped) - set(_HEADS))} besides. Is it of another objective?"
        )
    heads = {_HEADS[name]: tensor.float() for name, tensor in mapped.dropped.items()}
    return mapped.weights | heads


def fairseq_heads(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give what only pre-training uses of `EcgFmForPreTraining`'s weights, by fairseq's names."""
    return {theirs: state[ours].contiguous() for theirs, ours in _HEADS.items()}
