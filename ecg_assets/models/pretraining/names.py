"""Names of the weights that only pre-training has, in fairseq-signals (and ECG-LFM) and here."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ecg_assets.errors import CheckpointError

_CODES = {"mlm_proj.weight": "predict_codes.weight", "mlm_proj.bias": "predict_codes.bias"}
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


def map_heads(
    state: Mapping[str, Tensor], *, predicts_codes: bool, where: str
) -> dict[str, Tensor]:
    """Rename what only pre-training uses of a checkpoint to `EcgForPreTraining`'s names.

    Parameters
    ----------
    state
        Those weights of the checkpoint.
    predicts_codes
        Whether it was pre-trained with masked prediction.
    where
        What the checkpoint is called in errors.

    Raises
    ------
    CheckpointError
        When weights are missing, or there are others; the message names them.
    """
    names = _HEADS | (_CODES if predicts_codes else {})
    if set(state) != set(names):
        raise CheckpointError(
            f"{where} was not pre-trained as expected (W2V + CMSC, masked prediction: "
            f"{predicts_codes}): its heads lack {sorted(set(names) - set(state))} and have "
            f"{sorted(set(state) - set(names))} besides. Is it of another objective?"
        )
    return {names[name]: tensor.float() for name, tensor in state.items()}


def fairseq_heads(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give what only pre-training uses of `EcgForPreTraining`'s weights, by fairseq's names."""
    names = _HEADS | _CODES
    return {theirs: state[ours].contiguous() for theirs, ours in names.items() if ours in state}
