"""Batches of paired segments for a torch DataLoader, with their masks and negatives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ecg_assets.errors import SchemaError
from ecg_assets.models.device_signals import DeviceSignals, to_device
from ecg_assets.models.pretraining.objective import Objective
from ecg_assets.preprocess.model_input import number_segments
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.engine.segments import Batch

# Which segments of a split are pairs of one patient.


Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of segments of one patient.

    Attributes
    ----------
    rows
        Row of the manifest's index of the first and of the second segments' recordings, int64
        ``(2, pair)``.
    numbers
        Numbers of the segments in their recordings, int64 ``(2, pair)``.
    patients
        Patient, integer ``(pair,)``: equal for equal ``subject_id``.
    """

    rows: Rows
    numbers: Rows
    patients: Rows

    def __len__(self) -> int:
        return len(self.patients)


def find_pairs(data: TrainingData, split: str, kind: str = "segments") -> Pairs:
    """Find all pairs of a split; they depend on nothing but the data.

    Parameters
    ----------
    data
        The recordings.
    split
        Whose.
    kind
        ``segments``: neighbours in one recording, 0 and 1, 2 and 3, …. ``studies``: each
        recording with its patient's next one in the index, segment 0 with segment 0 and so on
        as far as both go.

    Raises
    ------
    SchemaError
        When there are none.
    """
    rows = data.rows(split)
    find = _pair_studies if kind == "studies" else _pair_segments
    found, numbers = find(data, rows)
    if not found.size:
        raise SchemaError(_explain_none(data, split, kind, len(rows)))
    subjects = data.manifest.index["subject_id"].to_numpy()[found[0]]
    _, patients = np.unique(subjects, return_inverse=True)
    return Pairs(found, numbers, patients)


def _pair_segments(data: TrainingData, rows: Rows) -> tuple[Rows, Rows]:
    """Pair neighbours; one that is left over has no partner."""
    counts = data.n_segments(rows) // 2
    found, first = np.repeat(rows, counts), 2 * number_segments(counts)
    return np.stack([found, found]), np.stack([first, first + 1])


def _pair_studies(data: TrainingData, rows: Rows) -> tuple[Rows, Rows]:
    """Pair recordings of one patient that follow each other in the index."""
    _, patient = np.unique(data.manifest.index["subject_id"].to_numpy()[rows], return_inverse=True)
    order = np.argsort(patient, kind="stable")
    is_next = patient[order][:-1] == patient[order][1:]
    studies = rows[np.stack([order[:-1][is_next], order[1:][is_next]])]
    counts = data.n_segments(studies.ravel()).reshape(2, -1).min(axis=0)
    numbers = number_segments(counts)
    return np.repeat(studies, counts, axis=1), np.stack([numbers, numbers])


def _explain_none(data: TrainingData, split: str, kind: str, n_records: int) -> str:
    length = data.manifest.spec.segment_s
    if kind == "studies":
        return (
            f"No patient has two of the {n_records} recordings in split {split!r} with a segment "
            f"of {length} s each. Pair segments of one recording (pairs = 'segments'), or use a "
            "source whose patients come back."
        )
    return (
        f"None of the {n_records} recordings in split {split!r} has two segments of {length} s. "
        "Check the split, or build manifests with a shorter segment_s."
    )


# What is hidden from the model, and what its answers are compared with.


_FEWEST_SPANS = 2


def draw_span_mask(
    random: np.random.Generator,
    n_segments: int,
    n_tokens: int,
    *,
    probability: float,
    length: int,
) -> NDArray[np.bool_]:
    """Mask spans of tokens, equally many tokens in each segment, as fairseq-signals does.

    The number of spans is the same in a batch and ``probability × n_tokens / length`` on
    average, rounded up or down at random, at least 2. Spans may overlap: fewer tokens are
    masked than `probability` says. Segments with more than the fewest give back some, at
    random.

    Returns
    -------
    NDArray[np.bool_]
        True where a token is masked, ``(segment, token)``.

    Raises
    ------
    ValueError
        When a segment has too few tokens for the spans.
    """
    n_spans = max(_FEWEST_SPANS, int(probability * n_tokens / length + random.random()))
    # As in fairseq-signals no span ends with the last token.
    n_starts = n_tokens - length
    if n_starts < n_spans:
        raise ValueError(
            f"A segment has {n_tokens} tokens, too few for {n_spans} spans of {length}. "
            "Use longer segments, or lower mask_length."
        )
    starts = random.random((n_segments, n_starts)).argsort(axis=1)[:, :n_spans]
    covered = starts[:, :, None] + np.arange(length)
    mask = np.zeros((n_segments, n_tokens), np.bool_)
    np.put_along_axis(mask, covered.reshape(n_segments, -1), True, axis=1)
    return _keep_equally_many(random, mask)


def _keep_equally_many(random: np.random.Generator, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Unmask random tokens until all segments have as many as the fewest."""
    order = np.where(mask, random.random(mask.shape), 2.0).argsort(axis=1)
    kept = np.zeros_like(mask)
    np.put_along_axis(kept, order[:, : mask.sum(axis=1).min()], True, axis=1)
    return kept


def draw_negatives(
    random: np.random.Generator, n_segments: int, n_masked: int, n_negatives: int
) -> NDArray[np.int64]:
    """Draw other masked tokens of the same segment for each masked token, with replacement.

    Returns
    -------
    NDArray[np.int64]
        Positions among the masked tokens, ``(segment, masked token, negative)``.
    """
    drawn = random.integers(n_masked - 1, size=(n_segments, n_masked, n_negatives))
    return drawn + (drawn >= np.arange(n_masked)[:, None])


def draw_kept_leads(
    random: np.random.Generator, n_segments: int, n_channels: int, *, mask_probability: float
) -> NDArray[np.bool_]:
    """Choose which channels of each segment stay: random lead masking, ``(segment, channel)``.

    Each goes on its own, so that at times all or none do.
    """
    return random.random((n_segments, n_channels)) >= mask_probability


class PairDataset(Dataset[Batch]):
    """Pairs as the arguments of `EcgForPreTraining.forward`, a whole batch at once.

    Masks, negatives and blanked leads follow from the seed, the epoch and the first pair of the
    batch alone: in whichever process a batch is made, it is the same.

    Parameters
    ----------
    data
        The recordings.
    pairs
        Which segments of them.
    n_channels
        Channels of the model, which was compared with the manifest's spec when it was built.
    n_tokens
        Tokens of a segment.
    objective
        Says how to mask.
    seed
        Seed of masks, negatives and blanked leads.
    device
        Where the signals are kept and batches made; None for the memory map.
    """

    def __init__(
        self,
        data: TrainingData,
        pairs: Pairs,
        *,
        n_channels: int,
        n_tokens: int,
        objective: Objective,
        seed: int,
        device: torch.device | None = None,
    ) -> None:
        self._place = device or torch.device("cpu")
        self._on_device = None
        if device is not None:
            # Each recording once, though it may be in several pairs.
            kept, positions = np.unique(pairs.rows, return_inverse=True)
            self._on_device = DeviceSignals(data.signals, kept, data.manifest.spec, device)
            self._positions = positions.reshape(pairs.rows.shape)
        self._spec = data.manifest.spec
        self._signals = data.signals
        self._pairs = pairs
        self._n_channels = n_channels
        self._n_tokens = n_tokens
        self._objective = objective
        self._seed = seed
        self._epoch = 0

    def __len__(self) -> int:
        return len(self._pairs)

    def set_epoch(self, epoch: int) -> None:
        """Choose the masks, negatives and blanked leads of the batches that follow."""
        self._epoch = epoch

    def __getitem__(self, item: int) -> Batch:
        return self.__getitems__([item])

    def __getitems__(self, items: list[int]) -> Batch:
        """Read pairs: first the first segments of all, then the second ones."""
        chosen = np.asarray(items)
        random = np.random.default_rng([self._seed, self._epoch, chosen[0]])
        mask = draw_span_mask(
            random,
            2 * len(chosen),
            self._n_tokens,
            probability=self._objective.mask_probability,
            length=self._objective.mask_length,
        )
        negatives = draw_negatives(
            random, len(mask), int(mask[0].sum()), self._objective.n_negatives
        )
        inputs = self._read(chosen, random)
        others = {
            "mask": mask,
            "negatives": negatives,
            "patients": self._pairs.patients[chosen],
        }
        return {
            "input_values": inputs,
            **{name: to_device(value, self._place) for name, value in others.items()},
        }

    def _read(self, chosen: NDArray[np.int64], random: np.random.Generator) -> Tensor:
        """Read segments and blank leads, float32 ``[2 × pair, channel, sample]``."""
        numbers = self._pairs.numbers[:, chosen].ravel()
        if self._on_device is None:
            rows = self._pairs.rows[:, chosen].ravel()
            found = self._signals.segments_at(rows, numbers, self._spec)
            segments = torch.from_numpy(found)
        else:
            positions = self._positions[:, chosen].ravel()
            segments = self._on_device.segments_at(
                to_device(positions, self._place), to_device(numbers, self._place)
            )
        probability = self._objective.lead_mask_probability
        kept = draw_kept_leads(
            random, len(segments), self._n_channels, mask_probability=probability
        )
        # A single lead is repeated here: each copy is blanked on its own.
        return segments * to_device(kept, self._place)[:, :, None]
