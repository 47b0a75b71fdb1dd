from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import chi2, norm

from ecg_assets.figures import to_png
from ecg_assets.metrics.mean_ranks import (
    draw_critical_difference,
    find_cliques,
    find_critical_difference,
    rank_models,
)

# AUROC of a decision tree and its variants on fourteen data sets, Demšar 2006, table 6.
TREES = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def _draws(values: NDArray[np.float64], spread: float, n_draws: int = 200) -> NDArray[np.float64]:
    noise = np.random.default_rng(0).normal(size=(len(values), n_draws, values.shape[1]))
    return values[:, np.newaxis] + spread * noise


def test_published_example_of_the_method_is_reproduced() -> None:
    """Mean ranks 3.143, 2.000, 2.893, 1.964; Friedman's χ² 9.28; critical difference 1.25."""
    found = rank_models(TREES, _draws(TREES, 0.01))
    assert found.mean_ranks == pytest.approx([3.143, 2.0, 2.893, 1.964], abs=5e-4)
    # The page has it without the correction for ties: a division by 1 − Σ(t³ − t) / N k (k² − 1).
    n_tied = [np.unique(row, return_counts=True)[1] for row in TREES]
    correction = 1 - sum(float((n**3 - n).sum()) for n in n_tied) / (14 * 4 * 15)
    assert found.friedman_statistic * correction == pytest.approx(9.28, abs=5e-3)
    assert found.friedman_p == pytest.approx(chi2.sf(found.friedman_statistic, 3))
    assert found.critical_difference == pytest.approx(1.25, abs=5e-3)


def test_critical_difference_has_the_table_s_quantiles() -> None:
    """Demšar 2006, table 5a, q at 0.05 and 0.10 for two to ten models."""
    at_5 = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
    at_10 = [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920]
    for alpha, quantiles in ((0.05, at_5), (0.10, at_10)):
        for k, q in enumerate(quantiles, start=2):
            scale = np.sqrt(k * (k + 1) / (6 * 10))
            assert find_critical_difference(k, 10, alpha) / scale == pytest.approx(q, abs=2e-3)


def test_ranks_in_resamples_equal_a_loop() -> None:
    draws = _draws(TREES, 0.02, 60).round(2)  # with ties
    found = rank_models(TREES, draws)
    ranks = np.empty_like(draws)
    for place in np.ndindex(draws.shape):
        others = draws[place[0], place[1]]
        value = draws[place]
        ranks[place] = 1 + (others > value).sum() + ((others == value).sum() - 1) / 2
    low, high = np.percentile(ranks, [2.5, 97.5], axis=1)
    np.testing.assert_allclose([found.low, found.high], [low, high], rtol=0, atol=1e-12)
    low, high = np.percentile(ranks.mean(axis=0), [2.5, 97.5], axis=0)
    ends = [found.mean_low, found.mean_high]
    np.testing.assert_allclose(ends, [low, high], rtol=0, atol=1e-12)


def test_resample_that_is_undefined_on_one_task_is_in_no_mean_rank() -> None:
    draws = _draws(TREES, 0.02)
    draws[3, :50] = np.nan
    found = rank_models(TREES, draws)
    kept = rank_models(TREES, draws[:, 50:])
    assert found.mean_low.tolist() == kept.mean_low.tolist()
    assert found.low[3].tolist() == kept.low[3].tolist()
    draws[3, :150] = np.nan
    found = rank_models(TREES, draws)
    assert np.isnan(found.mean_low).all() and np.isnan(found.low[3]).all()
    assert np.isfinite(found.low[4]).all()


def test_models_that_are_always_equal_share_a_rank_and_have_no_p_value() -> None:
    values = np.full((4, 3), 0.8)
    found = rank_models(values, np.full((4, 10, 3), 0.8))
    assert found.mean_ranks.tolist() == [2, 2, 2]
    assert np.isnan(found.friedman_p) and np.isnan(found.friedman_statistic)


def test_friedman_s_p_value_is_small_by_chance_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    p_values = []
    for _ in range(300):
        values = generator.random((12, 5))
        p_values.append(rank_models(values, values[:, np.newaxis]).friedman_p)
    share = np.mean(np.array(p_values) <= 0.05)
    assert abs(share - 0.05) < norm.isf(1e-4) * np.sqrt(0.05 * 0.95 / 300)


def test_what_cannot_be_ranked_is_refused() -> None:
    with pytest.raises(ValueError, match="2 models on 14 tasks"):
        rank_models(TREES[:, :2], _draws(TREES[:, :2], 0.1))
    with pytest.raises(ValueError, match="4 models on 1 tasks"):
        rank_models(TREES[:1], _draws(TREES[:1], 0.1))
    with pytest.raises(ValueError, match=r"draws \(13, 200, 4\)"):
        rank_models(TREES, _draws(TREES[1:], 0.1))
    lacking = TREES.copy()
    lacking[2, 1] = np.nan
    with pytest.raises(ValueError, match="1 of 14 tasks lack"):
        rank_models(lacking, _draws(TREES, 0.1))


def test_bars_join_all_and_only_models_that_do_not_differ() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        ranks = generator.integers(2, 14, 7) / 2
        bars = find_cliques(ranks, 1.3)
        for first in ranks:
            for second in ranks:
                is_joined = any(
                    low <= min(first, second) and max(first, second) <= high for low, high in bars
                )
                assert is_joined == (0 < abs(first - second) <= 1.3) or first == second
        assert not any(a != b and a[0] >= b[0] and a[1] <= b[1] for a in bars for b in bars)


LONG = "a foundation model, finetuned with layer-wise rates of learning"


@pytest.mark.parametrize(
    ("ranks", "critical_difference", "names"),
    [
        ([1.0, 1.0, 3.0], 2.34, ["a", LONG, "c"]),
        ([1.2, 2.4, 2.4], 0.4, ["a", "b", LONG]),
        ([3.2, 4.1, 8.9, 5, 9.2, 7.7, 5, 1.6, 2.9, 7.4], 2.56, [f"{LONG} {i}" for i in range(10)]),
        ([5.5] * 10, 2.56, [f"model {i}" for i in range(10)]),
    ],
)
def test_no_text_of_the_picture_lies_over_another_or_is_cut(
    ranks: list[float],
    critical_difference: float,
    names: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    figures: list[Figure] = []

    def keep(figure: Figure) -> bytes:
        figures.append(figure)
        return to_png(figure)

    monkeypatch.setattr("ecg_assets.metrics.mean_ranks.to_png", keep)
    png = draw_critical_difference(np.array(ranks), critical_difference, names)
    assert Image.open(io.BytesIO(png)).format == "PNG"
    (figure,) = figures
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in figure.axes[0].texts]
    assert len(boxes) == 2 * len(names) + 1
    width, height = canvas.get_width_height()
    for k, box in enumerate(boxes):
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
        assert not any(box.overlaps(other) for other in boxes[k + 1 :])
