from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecg_assets.pretrain.masks import draw_kept_leads, draw_negatives, draw_span_mask


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
