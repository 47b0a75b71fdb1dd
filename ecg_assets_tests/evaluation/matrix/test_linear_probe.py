"""A logistic regression a label on frozen features."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ecg_assets.evaluation.matrix.linear_probe import UNCHOSEN, LinearProbe, ProbeGrid, fit_probe

N_TRAIN, N_VALID = 240, 90


@pytest.fixture(scope="module")
def features() -> NDArray[np.float32]:
    """Draw features of very different scales, a constant one among them."""
    drawn = np.random.default_rng(5).normal(size=(N_TRAIN + N_VALID, 12))
    return np.asarray(drawn * np.geomspace(1e-3, 1e3, 12) * (np.arange(12) != 4), np.float32)


@pytest.fixture(scope="module")
def target(features: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Two labels that some features tell, with noise; the third is rare and all in train."""
    noise = np.random.default_rng(6).normal(size=(len(features), 2))
    scaled = features / np.geomspace(1e-3, 1e3, 12)
    told = scaled[:, [0, 11]] + scaled[:, [2, 3]] + noise > 1
    rare = np.zeros((len(features), 1), bool)
    rare[:5] = True
    return np.asarray(np.hstack([told, rare]), np.uint8)


@pytest.fixture(scope="module")
def probe(features: NDArray[np.float32], target: NDArray[np.uint8]) -> LinearProbe:
    """Fit it."""
    return fit_probe(
        features[:N_TRAIN],
        target[:N_TRAIN],
        features[N_TRAIN:],
        target[N_TRAIN:],
        ("first", "second", "rare"),
    )


def test_scores_are_those_of_scikit_learn_with_the_best_penalty_of_valid(
    probe: LinearProbe, features: NDArray[np.float32], target: NDArray[np.uint8]
) -> None:
    train, valid = slice(None, N_TRAIN), slice(N_TRAIN, None)
    scores = probe.score(features[valid])
    for column in (0, 1):
        found = {}
        for strength in ProbeGrid().strengths:
            regression = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)
            oracle = make_pipeline(StandardScaler(), regression)
            oracle.fit(features[train], target[train, column])
            score = oracle.predict_proba(features[valid])[:, 1]
            found[strength] = (roc_auc_score(target[valid, column], score), score)
        choice = probe.choices.iloc[column]
        auroc, score = found[choice["inverse_strength"]]
        assert choice["valid_auroc"] == pytest.approx(max(auc for auc, _ in found.values()))
        assert choice["valid_auroc"] == pytest.approx(auroc)
        np.testing.assert_allclose(scores[:, column], score, rtol=0, atol=2e-3)
    assert probe.choices["has_converged"].all()


def test_without_both_classes_in_valid_nothing_is_chosen(probe: LinearProbe) -> None:
    rare = probe.choices.iloc[2]
    assert rare["inverse_strength"] == UNCHOSEN
    assert np.isnan(rare["valid_auroc"])


def test_a_rerun_gives_the_same_numbers(
    probe: LinearProbe, features: NDArray[np.float32], target: NDArray[np.uint8]
) -> None:
    again = fit_probe(
        features[:N_TRAIN],
        target[:N_TRAIN],
        features[N_TRAIN:],
        target[N_TRAIN:],
        ("first", "second", "rare"),
    )
    np.testing.assert_array_equal(again.weights, probe.weights)
    np.testing.assert_array_equal(again.score(features), probe.score(features))


def test_a_label_of_one_class_is_refused_by_name(
    features: NDArray[np.float32], target: NDArray[np.uint8]
) -> None:
    with pytest.raises(ValueError, match="never is 0 in all of train"):
        fit_probe(features, target[:, :1] * 0, features, target[:, :1], ("never",))


def test_a_grid_is_chosen_by_the_log_loss_of_valid(
    features: NDArray[np.float32], target: NDArray[np.uint8]
) -> None:
    """Scaled or not, five penalties, weighted or not: as scikit-learn fits each."""
    scale = np.geomspace(1e-1, 1e1, 12) / np.geomspace(1e-3, 1e3, 12)
    mild = np.asarray(features * scale, np.float32)
    train, valid, y = mild[:N_TRAIN], mild[N_TRAIN:], target[:, 0]
    grid = ProbeGrid(
        scaled=(True, False),
        strengths=(0.01, 0.1, 1.0, 10.0),
        class_weights=("balanced", "none"),
        chosen_by="log-loss",
    )
    probe = fit_probe(train, target[:N_TRAIN, :1], valid, target[N_TRAIN:, :1], ("one",), grid=grid)
    losses = {}
    for is_scaled, strength, weight in product((True, False), grid.strengths, ("balanced", None)):
        regression = LogisticRegression(C=strength, class_weight=weight, max_iter=1000)
        oracle = make_pipeline(*([StandardScaler()] if is_scaled else []), regression)
        oracle.fit(train, y[:N_TRAIN])
        score = oracle.predict_proba(valid)[:, 1]
        losses[is_scaled, strength, weight or "none"] = (log_loss(y[N_TRAIN:], score), score)
    choice = probe.choices.iloc[0]
    best = min(losses, key=lambda one: losses[one][0])
    found = (choice["is_scaled"], choice["inverse_strength"], choice["class_weight"])
    assert found == best
    assert choice["valid_log_loss"] == pytest.approx(losses[best][0], abs=1e-4)
    np.testing.assert_allclose(probe.score(valid)[:, 0], losses[best][1], rtol=0, atol=2e-3)
