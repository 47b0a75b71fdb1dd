"""Fewer leads than twelve on the same recordings: which configurations, and as what input.

A lead that a configuration lacks is 0 in the model's input, after standardization, as in the
random lead masking of ECG-FM's pre-training. Only the leads that are there are standardized,
each or together as the spec says. III, aVR, aVL and aVF are not computed where I and II alone
are there: they follow from the two (Einthoven, Goldberger), so that such a device is the
configuration of six limb leads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ecg_assets.preprocess import STANDARD_LEADS, SignalSpec
from ecg_assets.preprocess.limb_leads import LIMB_LEADS


@dataclass(frozen=True)
class LeadSet:
    """A configuration of leads.

    Attributes
    ----------
    name
        What people call it.
    leads
        The leads that are there.
    is_repeated
        Whether its one lead stands in every channel.
    """

    name: str
    leads: tuple[str, ...]
    is_repeated: bool = False

    def spec(self, model_spec: SignalSpec) -> SignalSpec:
        """Say how its leads are read: as the model's, but these alone."""
        return replace(model_spec, leads=self.leads, n_channels=len(self.leads))

    def lay_out(
        self, segments: NDArray[np.float32], channels: tuple[str, ...]
    ) -> NDArray[np.float32]:
        """Give a model's channels: the leads that are there, 0 for the others.

        Parameters
        ----------
        segments
            Standardized, ``(segment, lead, sample)``, the leads of this configuration.
        channels
            Lead of each channel of the model.

        Returns
        -------
        NDArray[np.float32]
            ``(segment, channel, sample)``.

        >>> LeadSet("I", ("I",)).lay_out(np.ones((1, 1, 2), np.float32), ("II", "I")).tolist()
        [[[0.0, 0.0], [1.0, 1.0]]]
        """
        if self.is_repeated:
            return np.repeat(segments, len(channels), axis=1)
        n_segments, _, n_samples = segments.shape
        laid_out = np.zeros((n_segments, len(channels), n_samples), np.float32)
        laid_out[:, [channels.index(lead) for lead in self.leads]] = segments
        return laid_out


LEAD_SETS = (
    LeadSet("12 leads", STANDARD_LEADS),
    LeadSet("6 limb leads", LIMB_LEADS),
    LeadSet("2 leads (I, II)", ("I", "II")),
    LeadSet("Lead I × 12", ("I",), is_repeated=True),
)
"""The configurations, the most leads first."""


def all_leads(lead_sets: Sequence[LeadSet]) -> LeadSet:
    """Give the configuration with every lead of some, in the standard order."""
    named = {lead for lead_set in lead_sets for lead in lead_set.leads}
    return LeadSet("all", tuple(lead for lead in STANDARD_LEADS if lead in named))


def model_channels(spec: SignalSpec, n_channels: int) -> tuple[str, ...]:
    """Lead of each channel of a model.

    A model of twelve channels that was trained on one lead repeated could read twelve: they
    are taken in the standard order. One that reads a single channel has its lead alone.
    """
    if len(spec.leads) == n_channels:
        return spec.leads
    return STANDARD_LEADS if n_channels == len(STANDARD_LEADS) else spec.leads


def find_obstacle(
    lead_set: LeadSet, spec: SignalSpec, n_channels: int, stored_leads: tuple[str, ...]
) -> str:
    """Say why a configuration cannot be run; empty where it can.

    Parameters
    ----------
    spec, n_channels
        What the model was trained on, and how many channels it reads.
    stored_leads
        Leads in the shards.
    """
    channels = model_channels(spec, n_channels)
    lacking = [lead for lead in lead_set.leads if lead not in channels]
    if lacking:
        return f"the model reads {_count(n_channels)} ({', '.join(channels)}), not {_list(lacking)}"
    if lead_set.is_repeated and n_channels not in (1, len(STANDARD_LEADS)):
        return f"the model reads {_count(n_channels)}, not {len(STANDARD_LEADS)} or 1"
    not_stored = [lead for lead in lead_set.leads if lead not in stored_leads]
    if not_stored:
        return (
            f"the shards lack {_list(not_stored)}; preprocess again with "
            "ECG_STORED_LEADS=all, or at least these"
        )
    return ""


def _count(n_channels: int) -> str:
    return "1 channel" if n_channels == 1 else f"{n_channels} channels"


def _list(leads: list[str]) -> str:
    return f"lead {leads[0]}" if len(leads) == 1 else f"leads {', '.join(leads)}"
