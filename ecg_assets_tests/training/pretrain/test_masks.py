from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecg_assets.training.pretrain.pairs import draw_kept_leads, draw_negatives, draw_span_mask


def test_each_segment_has_as_many_masked_tokens() -> None:
    mask = draw_span_mask(np.random.default_rng(0), 50, 156, probability=0.65, length=10)
    assert mask.shape == (50, 156)
    assert len(set(mask.sum(axis=1))) == 1
    assert not (mask == mask[0]).all()


def test_masks_follow_their_probability() -> None:
    """10 or 11 spans of 10 in 156 tokens (10.14 on average) cover half of them.

    A token far from both ends is free with probability (1 - 10 / 146) ^ 10.14 = 0.49, and
    every segment gives tokens back to have as few as the emptiest of its batch.
    """
    random = np.random.default_rng(1)
    shares = [
        draw_span_mask(random, 2, 156, probability=0.65, length=10).mean() for _ in range(2000)
    ]
    assert np.mean(shares) == pytest.approx(0.47, abs=0.02)
    alone = [draw_span_mask(random, 1, 156, probability=0.65, length=10)[0] for _ in range(4000)]
    assert np.mean(alone, axis=0)[20:136] == pytest.approx(1 - (1 - 10 / 146) ** 10.14, abs=0.04)


def test_a_single_segment_is_masked_in_whole_spans() -> None:
    random = np.random.default_rng(2)
    for _ in range(100):
        mask = draw_span_mask(random, 1, 60, probability=0.3, length=7)[0]
        edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
        assert (edges[1::2] - edges[::2] >= 7).all()


def test_too_short_segments_are_refused() -> None:
    with pytest.raises(ValueError, match="has 11 tokens, too few for 2 spans of 10"):
        draw_span_mask(np.random.default_rng(0), 2, 11, probability=0.65, length=10)


@given(st.integers(0, 1000), st.integers(2, 30))
def test_a_negative_is_any_other_masked_token(seed: int, n_masked: int) -> None:
    found = draw_negatives(np.random.default_rng(seed), 2, n_masked, 5)
    assert found.shape == (2, n_masked, 5)
    assert found.min() >= 0
    assert found.max() < n_masked
    assert not (found == np.arange(n_masked)[:, None]).any()


def test_every_other_token_is_equally_often_a_negative() -> None:
    found = draw_negatives(np.random.default_rng(3), 1, 4, 30_000)[0]
    counts = np.stack([np.bincount(row, minlength=4) for row in found]) / 30_000
    assert counts == pytest.approx((1 - np.eye(4)) / 3, abs=0.02)


def test_each_lead_is_blanked_with_its_probability_on_its_own() -> None:
    kept = draw_kept_leads(np.random.default_rng(4), 20_000, 12, mask_probability=0.25)
    assert kept.mean(axis=0) == pytest.approx(np.full(12, 0.75), abs=0.02)
    correlation = np.corrcoef(kept.T) - np.eye(12)
    assert np.abs(correlation).max() < 0.05


class _FairseqDraws:
    """fairseq-signals' draws with a seed, as the numbers from which ours choose the same."""

    def __init__(self, seed: int, n_spans: int) -> None:
        self._state = np.random.RandomState(seed)
        self._n_spans = n_spans
        self._starts: list[NDArray[np.int64]] = []

    def random(self, shape: tuple[int, int] | None = None) -> Any:
        """Give a number, then numbers whose lowest are at its starts, then at what it keeps."""
        if shape is None:
            return self._state.rand()
        scores = np.ones(shape)
        chosen = self._keep(shape[0]) if self._starts else self._start(shape)
        for row, at in enumerate(chosen):
            scores[row, at] = 0
        return scores

    def _start(self, shape: tuple[int, int]) -> list[NDArray[np.int64]]:
        draw = self._state.choice
        self._starts = [draw(shape[1], self._n_spans, replace=False) for _ in range(shape[0])]
        return self._starts

    def _keep(self, n_segments: int) -> list[NDArray[np.int64]]:
        masked = [np.unique(starts[:, None] + np.arange(10)) for starts in self._starts]
        fewest = min(map(len, masked))
        draw = self._state.choice
        return [
            draw(tokens, fewest, replace=False) if len(tokens) > fewest else tokens
            for tokens in masked
        ]


@pytest.mark.reference
@pytest.mark.parametrize(("shape", "seed", "n_spans"), [
    ((4, 156), 101, 10), ((2, 312), 102, 20), ((3, 78), 103, 5),
])  # fmt: skip
def test_masks_are_fairseq_signals_own_where_the_draws_are(
    shape: tuple[int, int], seed: int, n_spans: int, reference_data: Path
) -> None:
    golden = np.load(reference_data / "fairseq_golden" / "functions" / "masking.npz")
    draws: Any = _FairseqDraws(seed, n_spans)
    mask = draw_span_mask(draws, *shape, probability=0.65, length=10)
    assert np.array_equal(mask, golden[f"mask_{shape[0]}x{shape[1]}_seed{seed}"])


@pytest.mark.reference
def test_blanked_leads_are_fairseq_signals_own_where_the_draws_are(reference_data: Path) -> None:
    golden = np.load(reference_data / "fairseq_golden" / "functions" / "masking.npz")
    # Before the leads of each segment it draws a number that decides nothing at p = 1.
    drawn = np.random.RandomState(107).random_sample((20, 13))[:, 1:]

    class Draws:
        def random(self, shape: tuple[int, int]) -> NDArray[np.float64]:
            assert shape == drawn.shape
            return drawn

    draws: Any = Draws()
    kept = draw_kept_leads(draws, 20, 12, mask_probability=0.5)
    assert np.array_equal(kept, golden["leads_kept_20_seed107"])
