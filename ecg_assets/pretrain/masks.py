"""What is hidden from the model, and what its answers are compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
