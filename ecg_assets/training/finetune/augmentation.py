"""Random changes of training segments; validation and test are never changed.

Amounts are in the unit of the model's input: standard deviations where the signal spec normalizes,
mV where it does not.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.utils.data import Dataset

from ecg_assets.errors import SettingsError
from ecg_assets.preprocess import SignalSpec
from ecg_assets.training.engine.segments import Batch, SegmentDataset
from ecg_assets.training.finetune.recipe import Recipe

_WANDER_HZ = (0.05, 0.5)
"""Lowest and highest frequency of the baseline: slower than a heartbeat, as breathing is."""

_OF_A_LEAD = ("lead_dropout", "time_shift_s", "wander_amplitude")
"""What changes each lead along its own time."""


class AugmentedSegments(Dataset[Batch]):
    """Segments that look different in each epoch.

    What happens to a batch depends on the seed, the epoch and its first segment alone, so that a
    resumed run sees what an undisturbed one would. On a GPU the numbers are others than on a CPU.

    Parameters
    ----------
    segments
        What to change.
    recipe
        Says what is done, and how much.
    spec
        Of the segments.
    seed
        Of the training.

    Raises
    ------
    SettingsError
        When leads are to be dropped where there is only one, or changed along their time where
        they lie end to end.
    """

    def __init__(
        self, segments: SegmentDataset, recipe: Recipe, spec: SignalSpec, seed: int
    ) -> None:
        if recipe.lead_dropout and len(spec.leads) == 1:
            raise SettingsError(
                f"lead_dropout is {recipe.lead_dropout}, but the signals have the lead "
                f"{spec.leads[0]} alone, and nothing would be left. Set it to 0."
            )
        of_leads = [name for name in _OF_A_LEAD if getattr(recipe, name)]
        if of_leads and spec.layout != "channels":
            raise SettingsError(
                f"{', '.join(of_leads)} would change leads, each along its time, but the model "
                "reads them end to end as one. Set it to 0."
            )
        self._segments = segments
        self._recipe = recipe
        self._spec = spec
        self._seed = seed
        self._epoch = 0

    def __len__(self) -> int:
        return len(self._segments)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Known targets of each segment, ``(segment,)``."""
        return self._segments.counts

    def set_epoch(self, epoch: int) -> None:
        """Choose the random numbers of the batches that follow."""
        self._epoch = epoch

    def __getitem__(self, item: int) -> Batch:
        return self.__getitems__([item])

    def __getitems__(self, items: list[int]) -> Batch:
        """Read and change segments, as the arguments of `EcgClassifier.forward`."""
        batch = self._segments.__getitems__(items)
        inputs = batch["input_values"]
        # A repeated lead is changed once, so that its copies stay equal.
        leads = inputs[:, : len(self._spec.leads)]
        key = np.random.SeedSequence([self._seed, self._epoch, items[0]])
        generator = Generator(leads.device).manual_seed(int(key.generate_state(1, np.uint64)[0]))
        changed = augment(leads, self._recipe, self._spec.sample_rate_hz, generator)
        return {**batch, "input_values": changed.expand_as(inputs)}


def augment(
    segments: Tensor, recipe: Recipe, sample_rate_hz: float, generator: Generator
) -> Tensor:
    """Change segments by all that a recipe asks for; what it leaves at 0 does nothing.

    Parameters
    ----------
    segments
        float32 ``[segment, lead, sample]``.
    recipe
        Its fields in `AUGMENTATIONS`.
    sample_rate_hz
        Of the segments.
    generator
        On the segments' device.

    Returns
    -------
    Tensor
        Of the same shape; `segments` themselves stay as they are.
    """
    if recipe.time_shift_s:
        max_shift = round(recipe.time_shift_s * sample_rate_hz)
        segments = shift_time(segments, max_shift, generator)
    if recipe.amplitude_change:
        segments = scale_amplitude(segments, recipe.amplitude_change, generator)
    if recipe.wander_amplitude:
        segments = add_wander(segments, recipe.wander_amplitude, sample_rate_hz, generator)
    if recipe.noise_sd:
        segments = add_noise(segments, recipe.noise_sd, generator)
    if recipe.lead_dropout:
        segments = drop_leads(segments, recipe.lead_dropout, generator)
    return segments


def shift_time(segments: Tensor, max_shift: int, generator: Generator) -> Tensor:
    """Turn each segment by up to `max_shift` samples either way, all leads alike.

    It is circular: what leaves at one end comes back at the other, which makes one seam.
    """
    n_segments, _, n_samples = segments.shape
    shift = torch.randint(
        -max_shift, max_shift + 1, (n_segments, 1), generator=generator, device=segments.device
    )
    source = (torch.arange(n_samples, device=segments.device) - shift) % n_samples
    return segments.gather(2, source[:, None, :].expand_as(segments))


def scale_amplitude(segments: Tensor, change: float, generator: Generator) -> Tensor:
    """Multiply each segment by a number from ``1 - change`` to ``1 + change``, all leads alike."""
    return segments * (1 + change * _uniform(segments, (1, 1), generator))


def add_wander(
    segments: Tensor, amplitude: float, sample_rate_hz: float, generator: Generator
) -> Tensor:
    """Add a slow sine of one frequency a segment, with an amplitude of its own in each lead.

    It is at most `amplitude` high; frequencies are from 0.05 to 0.5 Hz.
    """
    low, high = _WANDER_HZ
    middle, half = (low + high) / 2, (high - low) / 2
    frequency = middle + half * _uniform(segments, (1, 1), generator)
    phase = math.pi * _uniform(segments, (1, 1), generator)
    height = amplitude * _uniform(segments, (segments.shape[1], 1), generator)
    seconds = torch.arange(segments.shape[2], device=segments.device) / sample_rate_hz
    return segments + height * torch.sin(2 * math.pi * frequency * seconds + phase)


def add_noise(segments: Tensor, sd: float, generator: Generator) -> Tensor:
    """Add normally distributed noise of this standard deviation to each sample."""
    noise = torch.randn(segments.shape, generator=generator, device=segments.device)
    return segments + sd * noise


def drop_leads(segments: Tensor, probability: float, generator: Generator) -> Tensor:
    """Set each lead of each segment to 0 with this probability; one lead at least stays."""
    chance = torch.rand(segments.shape[:2], generator=generator, device=segments.device)
    is_dropped = chance < probability
    # The last lead to fall: it stays where all would be gone.
    is_dropped.scatter_(1, chance.argmax(dim=1, keepdim=True), False)
    return segments.masked_fill(is_dropped[:, :, None], 0.0)


def _uniform(segments: Tensor, shape: tuple[int, int], generator: Generator) -> Tensor:
    """Draw from -1 to 1 for each segment, ``[segment, *shape]``."""
    size = (len(segments), *shape)
    return 2 * torch.rand(size, generator=generator, device=segments.device) - 1
