from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import fbeta_score

from ecg_assets.errors import SchemaError
from ecg_assets.known import NOT_MEASURED
from ecg_assets.metrics.confusion import (
    challenge_score,
    macro_beta_scores,
    read_challenge_weights,
    sensitivity_within_capacity,
)


def _by_loop(target: np.ndarray, called: np.ndarray, weights: np.ndarray, normal: int) -> float:
    """The published formula, recording by recording and pair by pair."""

    def unscaled(calls: np.ndarray) -> float:
        total = 0.0
        for true, call in zip(target, calls, strict=True):
            n_named = max(sum(1 for a, b in zip(true, call, strict=True) if a or b), 1)
            for j in np.flatnonzero(true):
                for k in np.flatnonzero(call):
                    total += weights[j, k] / n_named
        return total

    inactive = np.zeros_like(called)
    inactive[:, normal] = 1
    least, most = unscaled(inactive), unscaled(target)
    return (unscaled(called) - least) / (most - least) if most != least else np.nan


@given(st.integers(1, 25), st.integers(2, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_score_equals_a_loop_over_recordings(n_records: int, n_classes: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    target, called = (generator.random((2, n_records, n_classes)) < 0.4).astype(int)
    weights = generator.random((n_classes, n_classes)) / 2
    np.fill_diagonal(weights, 1)
    expected = _by_loop(target, called, weights, normal=1)
    found = challenge_score(target, called, weights, normal_index=1)
    assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_right_calls_score_one_and_always_normal_scores_nothing() -> None:
    generator = np.random.default_rng(0)
    target = (generator.random((50, 4)) < 0.4).astype(int)
    normal = np.tile([0, 0, 1, 0], (50, 1))
    assert challenge_score(target, target, np.eye(4), normal_index=2) == pytest.approx(1)
    assert challenge_score(target, normal, np.eye(4), normal_index=2) == pytest.approx(0)


def test_set_of_normal_recordings_alone_has_no_score() -> None:
    normal = np.tile([1, 0], (5, 1))
    assert np.isnan(challenge_score(normal, normal, np.eye(2), normal_index=0))


def test_weights_are_read_with_equivalent_codes_as_one_class(tmp_path: Path) -> None:
    path = tmp_path / "weights.csv"
    path.write_text(",426783006,713427006|59118001\n426783006,1,0.35\n59118001|713427006,0.35,1\n")
    weights = read_challenge_weights(path)
    assert weights.index_of("59118001") == weights.index_of("713427006") == 1
    np.testing.assert_array_equal(weights.values, [[1, 0.35], [0.35, 1]])
    with pytest.raises(ValueError, match="'164889003'"):
        weights.index_of("164889003")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",a,b\nb,1,0\na,0,1\n", "same classes, in the same order"),
        (",a,b\na,1,0\n", "2 in the row and 1 in the column"),
        (",a,b\na,1,\nb,0,1\n", "1 weights are missing"),
        (",a,b\na,1,x\nb,0,1\n", "not a number"),
    ],
)
def test_wrong_weights_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.csv"
    path.write_text(text)
    with pytest.raises(SchemaError, match=message):
        read_challenge_weights(path)


@pytest.mark.parametrize(
    ("shape", "value", "normal", "message"),
    [
        ((3, 3), 1, 0, "3 classes and normal_index 0; expected 2"),
        ((3, 2), 2, 0, "other values than 0 and 1"),
        ((3, 2), 1, 2, "normal_index 2"),
    ],
)
def test_wrong_arrays_are_refused(
    shape: tuple[int, int], value: int, normal: int, message: str
) -> None:
    calls = np.full(shape, value)
    with pytest.raises(ValueError, match=message):
        challenge_score(calls, calls, np.eye(2), normal_index=normal)


def _by_permutation(
    target: np.ndarray, score: np.ndarray, capacity: float, n: int
) -> tuple[float, float]:
    """Mean over random orders of the recordings, as the Challenge defines it, and its error.

    The recordings with the highest scores are called, as many as fit in; equal scores stand in the
    random order.
    """
    generator = np.random.default_rng(12345)
    n_called = int(capacity * len(target))
    found = np.empty(n)
    for k in range(n):
        order = generator.permutation(len(target))
        ranked = order[np.argsort(-score[order], kind="stable")]
        found[k] = target[ranked[:n_called]].sum() / target.sum()
    return found.mean(), found.std() / np.sqrt(n)


@pytest.mark.parametrize(
    ("n_levels", "capacity"), [(2, 0.05), (4, 0.05), (12, 0.05), (10**6, 0.05), (4, 0.31)]
)
def test_sensitivity_within_capacity_is_the_mean_of_random_orders(
    n_levels: int, capacity: float
) -> None:
    generator = np.random.default_rng(n_levels)
    target = (generator.random(217) < 0.1).astype(np.uint8)
    score = np.floor(n_levels * (0.7 * generator.random(217) + 0.3 * target)) / n_levels
    found = sensitivity_within_capacity(target, score, capacity)
    mean, error = _by_permutation(target, score, capacity, 10_000)
    assert abs(found - mean) <= 4 * error + 1e-12
    assert 0 < found < 1 and (error > 1e-12) == (n_levels < 100)


def test_number_of_recordings_that_fit_in_is_rounded_down() -> None:
    target, score = np.zeros(39, np.uint8), np.arange(39.0)
    target[[38, 37]] = 1
    assert sensitivity_within_capacity(target, score) == 0.5  # 39 × 0.05 is 1.95
    target[0] = NOT_MEASURED
    assert sensitivity_within_capacity(target, score) == 0.5
    assert sensitivity_within_capacity(np.append(target, [0, 0]), np.append(score, [-1, -2])) == 1


def test_sensitivity_within_capacity_at_its_ends() -> None:
    target, score = np.array([1, 0, 1], np.uint8), np.array([0.1, 0.5, 0.1])
    assert sensitivity_within_capacity(target, score, 0.0) == 0
    assert sensitivity_within_capacity(target, score, 1.0) == 1
    assert np.isnan(sensitivity_within_capacity(np.zeros(3, np.uint8), score))
    with pytest.raises(ValueError, match=r"capacity is 1\.5"):
        sensitivity_within_capacity(target, score, 1.5)
    with pytest.raises(ValueError, match="1 NaN"):
        sensitivity_within_capacity(target, np.array([0.1, np.nan, 0.1]))


@given(st.integers(1, 25), st.integers(1, 5), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_beta_scores_equal_a_loop_over_recordings(n_records: int, n_labels: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    target, called = (generator.random((2, n_records, n_labels)) < 0.4).astype(int)
    f_scores, g_scores = [], []
    for k in range(n_labels):
        tp = fp = fn = 0.0
        for right, calls in zip(target, called, strict=True):
            weight = 1 / max(right.sum(), 1)
            tp += weight * (right[k] == 1 and calls[k] == 1)
            fp += weight * (right[k] == 0 and calls[k] == 1)
            fn += weight * (right[k] == 1 and calls[k] == 0)
        if tp + fp + fn:
            f_scores.append(5 * tp / (5 * tp + fp + 4 * fn))
            g_scores.append(tp / (tp + fp + 2 * fn))
    expected = [np.mean(scores) if scores else np.nan for scores in (f_scores, g_scores)]
    assert macro_beta_scores(target, called) == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_beta_scores_of_one_label_a_recording_are_the_usual_ones() -> None:
    generator = np.random.default_rng(0)
    target = np.eye(4, dtype=int)[generator.integers(0, 4, 100)]
    called = (target + (generator.random(target.shape) < 0.2)) % 2
    expected = fbeta_score(target, called, beta=2, average="macro")
    assert macro_beta_scores(target, called)[0] == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ValueError, match="other values than 0 and 1"):
        macro_beta_scores(np.full((3, 2), NOT_MEASURED), called[:3, :2])
