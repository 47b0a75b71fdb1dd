"""Whether a model can read signals: what it reads and what they are, compared in one place.

Every path to a model asks here, be it training, prediction, export or import. Needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ecg_assets.errors import CheckpointError, SpecMismatch
from ecg_assets.models.family import ModelFamily
from ecg_assets.preprocess.signal_spec import (
    KIND_FIELDS,
    SignalSpec,
    find_differing_fields,
    name_fields,
)

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ModelInput:
    """What a model reads.

    Attributes
    ----------
    family
        Its architecture, which says what its input is where nothing else does.
    n_channels
        Channels of the model.
    spec
        The checkpoint's own signal spec; None for random weights, and where a folder has none.
    where
        The model in words, for errors.
    """

    family: ModelFamily
    n_channels: int
    spec: SignalSpec | None = None
    where: str = "the model"


def require_readable(
    model: ModelInput,
    data: SignalSpec | None = None,
    *,
    where: str = "the manifest",
    exactly: bool = False,
) -> None:
    """Raise unless a model's parts fit one another, and the data's signals fit the model.

    The signals must be of the kind that the checkpoint's own spec says, or else the family's:
    filter, normalization, unit and sample rate; and give the model's channels
    (`SignalSpec.can_give`), of a checkpoint of several leads just these in their order. Lengths may
    differ: weights of 5 s segments can be trained on.

    Parameters
    ----------
    model
        What reads.
    data
        What is read; None where the checkpoint's own spec makes it.
    where
        The data in words, for errors.
    exactly
        Whether all of the spec must be the checkpoint's, as for predictions of a trained
        classifier.

    Raises
    ------
    CheckpointError
        When the checkpoint's own spec gives other channels than its model reads.
    SpecMismatch
        When the data does not fit; both sides are printed, and what differs.
    """
    _require_own_channels(model)
    if data is None:
        return
    expected = model.spec or model.family.signal_spec(data.leads)
    differing = find_differing_fields(expected, data)
    if not exactly:
        differing = [
            name
            for name in differing
            if name in KIND_FIELDS or (name == "leads" and _has_other_leads(model.spec, data))
        ]
    has_channels = data.can_give(model.n_channels)
    if not differing and has_channels:
        return
    if not has_channels:
        named = ("leads", "n_channels")
        differing += [name for name in named if name not in differing]
    raise SpecMismatch(
        f"Signal spec of {where} differs from the model's.\n{_describe(model, data)}\n"
        f"They differ in {name_fields(differing)}. {_advise(model, expected, data, exactly)}"
    )


def _has_other_leads(own: SignalSpec | None, data: SignalSpec) -> bool:
    """Tell whether channels that a checkpoint has for one lead each would get other leads.

    A single lead may be another one: its channel is then trained on that.
    """
    return own is not None and min(len(own.leads), len(data.leads)) > 1


def _require_own_channels(model: ModelInput) -> None:
    spec = model.spec
    if spec is not None and not spec.can_give(model.n_channels):
        raise CheckpointError(
            f"{model.family.title} of {model.where} reads {model.n_channels} channels, its signal "
            f"spec gives {spec.describe_channels()}: {spec.to_json()}. "
            "They belong to different models; train or import it again."
        )


def _describe(model: ModelInput, data: SignalSpec) -> str:
    """Print both sides, a line each."""
    of_family = model.family.signal_spec(data.leads).to_json()
    kind = {name: of_family[name] for name in KIND_FIELDS if name in of_family}
    lines = [f"  model: {model.where}, {model.n_channels} channels; {model.family.title}: {kind}"]
    if model.spec is not None:
        lines.append(f"  checkpoint: {model.spec.to_json()}")
    return "\n".join([*lines, f"  data:  {data.to_json()} (channels: {data.describe_channels()})"])


def _advise(model: ModelInput, expected: SignalSpec, data: SignalSpec, exactly: bool) -> str:
    if exactly:
        return "Build manifests with the model's spec, or choose a model of this spec."
    if expected.has_kind_of(data) and data.can_give(model.n_channels):
        return (
            "Build manifests with the checkpoint's leads in its order, "
            f"{','.join(expected.leads)}, or choose weights of these."
        )
    if expected.has_kind_of(data):
        return (
            f"Build manifests with leads that give {model.n_channels} channels, or choose weights "
            f"of {data.describe_channels()} channels."
        )
    if not model.family.reads_kind_of(expected):
        return (
            "Build manifests with the checkpoint's spec, or choose a checkpoint of this spec "
            "(ECG_PRETRAINED)."
        )
    return (
        f"Build manifests with the signals that {model.family.title} reads (its presets bring "
        f"ECG_SIGNAL_KIND={model.family.signal_kind}), or choose a model that reads these "
        "(ECG_PRESET)."
    )


# What a model is called on.


def require_channels(input_values: Tensor, n_channels: int) -> None:
    """Raise `ValueError` unless signals are ``[batch, channel, sample]`` of so many channels."""
    if input_values.ndim != 3 or input_values.shape[1] != n_channels:
        raise ValueError(
            f"Expected signals [batch, {n_channels} channels, sample], "
            f"found {list(input_values.shape)}."
        )


def require_one_length(lengths: Tensor | None, model: str) -> None:
    """Raise `ValueError` where signals are padded and a model cannot tell padding from signal."""
    if lengths is not None:
        raise ValueError(
            f"{model} cannot leave out padding: give signals of one length, without lengths."
        )
