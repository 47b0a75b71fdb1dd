"""Which samples a model's answer rests on: integrated gradients, and attention.

Both show what the model uses, not what is true of the heart.
"""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.models.checkpoint import TrainedModel
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.families import family_of
from ecg_assets.models.scoring import read_block, require_signal
from ecg_assets.models.signals import require_readable
from ecg_assets.preprocess.blocks import signal_blocks

METHODS = ("integrated-gradients", "attention")


def saliency(
    model: EcgClassifier,
    signal: NDArray[np.float32],
    label: int,
    method: str = "integrated-gradients",
    *,
    n_steps: int = 32,
) -> NDArray[np.float32]:
    """Weigh the samples of one input.

    Parameters
    ----------
    model
        In evaluation mode.
    signal
        Standardized samples, float32 ``(channel, sample)``.
    label
        Which output to explain, by its position; attention does not depend on it.
    method
        ``integrated-gradients`` (https://arxiv.org/abs/1703.01365, from a signal of zeros, which
        is each lead's mean): summed over all samples and channels they are the logit minus that
        of zeros. ``attention``: rollout (https://arxiv.org/abs/2005.00928) averaged over the
        tokens that are pooled; a family that mixes samples or tokens otherwise has none.
    n_steps
        Points of the integral.

    Returns
    -------
    NDArray[np.float32]
        ``(sample,)``: summed over channels. Gradients have a sign, attention is at least 0.

    Raises
    ------
    SettingsError
        When attention is asked of a family that has none.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; allowed: {METHODS}.")
    family = family_of(model)
    if method == "attention" and not family.has_attention:
        raise SettingsError(
            f"{family.title} has no attention that would show it: convolutions mix its samples or "
            "tokens. Use method 'integrated-gradients'."
        )
    inputs = torch.from_numpy(signal)[None].to(model.device)
    if method == "attention":
        return _rollout(model, inputs)
    return _integrate(model, inputs, label, n_steps)


def _integrate(
    model: EcgClassifier, inputs: Tensor, label: int, n_steps: int
) -> NDArray[np.float32]:
    """Sum gradients on the way from zeros to the signal.

    ECG-FM's group norm makes it blind to amplitude but for the smallest: nearly all of the
    difference from zeros arises in the first percent of the way. Steps grow with the fourth
    power, so that they see it.
    """
    total = torch.zeros_like(inputs)
    for step in range(n_steps):
        # One at a time: memory is that of a single backward pass.
        place = (step + 0.5) / n_steps
        point = (inputs * place**4).detach().requires_grad_()
        logit = model(point).logits[0, label]
        (gradient,) = torch.autograd.grad(logit, point)
        total += gradient * (4 * place**3 / n_steps)
    weights: NDArray[np.float32] = (total * inputs)[0].sum(dim=0).detach().cpu().numpy()
    return weights


def _rollout(model: Any, inputs: Tensor) -> NDArray[np.float32]:
    found: list[Tensor] = []

    def keep(layer: Any, arguments: tuple[Any, ...]) -> None:
        found.append(_attention(layer.attention, arguments[0]))

    hooks = [layer.register_forward_pre_hook(keep) for layer in model.encoder.encoder.layers]
    try:
        with torch.inference_mode():
            model(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    flow = torch.eye(found[0].shape[-1], device=inputs.device)
    for attention in found:
        # Half of a token's features pass a layer by its residual connection.
        flow = (0.5 * attention + 0.5 * torch.eye(len(attention), device=inputs.device)) @ flow
    of_token = _read_by_head(model, inputs, flow).cpu().numpy()
    n_samples = inputs.shape[-1]
    centres = (np.arange(len(of_token)) + 0.5) * n_samples / len(of_token)
    return np.asarray(np.interp(np.arange(n_samples), centres, of_token), np.float32)


@torch.inference_mode()
def _read_by_head(model: EcgClassifier, inputs: Tensor, flow: Tensor) -> Tensor:
    """Weigh the tokens of a rollout ``[token, token]`` as the head reads them, ``[token]``."""
    if model.attention_pool is None:
        return flow.mean(dim=0)
    return model.attention_pool.look(*model.tokens(inputs))[0].mean(dim=0) @ flow


def _attention(module: Any, hidden: Tensor) -> Tensor:
    """Attention of each token to each other, averaged over heads, ``[token, token]``."""
    n_tokens, n_heads = hidden.shape[1], module.num_heads
    query, key = (
        project(hidden)[0].view(n_tokens, n_heads, -1).transpose(0, 1)
        for project in (module.q_proj, module.k_proj)
    )
    scores = query @ key.transpose(1, 2) / math.sqrt(query.shape[-1])
    return cast(Tensor, scores.softmax(dim=-1).mean(dim=0))


# Saliency of stored recordings, segment by segment.


def explain_recordings(
    trained: TrainedModel, signals: pa.Table, label: int, method: str
) -> list[NDArray[np.float32]]:
    """Weigh the samples of recordings, each segment by itself.

    Parameters
    ----------
    trained
        The model, with the signal spec of its input.
    signals
        Table as `shard_schema` declares, with the leads of the spec.
    label, method
        As `saliency` takes them.

    Returns
    -------
    list
        For each row of the table, float32 ``(sample,)`` at the spec's sample rate, as long
        as its whole segments together.

    Raises
    ------
    BadRecord
        When a recording holds no signal.
    CheckpointError
        When the model reads other channels than its spec gives.
    SettingsError
        When its segments overlap, or their leads lie end to end.
    SchemaError
        When a recording is shorter than a segment.
    """
    require_readable(trained.input)
    if trained.spec.layout != "channels" or trained.spec.stride_s is not None:
        raise SettingsError(
            "The model reads its leads end to end, or segments that overlap: no weights lie on the "
            "time of a recording. Explain single segments with saliency()."
        )
    weights: dict[int, NDArray[np.float32]] = {}
    for block in signal_blocks(signals, trained.spec.leads):
        require_signal([signals["record_id"][row].as_py() for row in block.rows], block, trained)
        for row, segments in zip(block.rows.tolist(), read_block(trained, block), strict=True):
            if not len(segments):
                raise SchemaError(
                    f"{signals['record_id'][row].as_py()} is shorter than a segment of "
                    f"{trained.spec.segment_s} s; choose another recording."
                )
            weights[row] = np.concatenate(
                [saliency(trained.model, one, label, method) for one in segments]
            )
    return [weights[row] for row in range(signals.num_rows)]
