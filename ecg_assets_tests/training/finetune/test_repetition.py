"""Seeds and shares of the training set, measured on one test split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ecg_assets.labels import LabelVocabulary
from ecg_assets.models.predictions import Predictions
from ecg_assets.training.finetune.experiments import grid_request, repeated_request
from ecg_assets.training.finetune.repetition import (
    REPEATED_TRAININGS,
    combine_repetitions,
    draw_repetitions,
    summarize_repetitions,
)
from ecg_assets_tests.training.finetune.toy_run import toy_request

NAMES = ("sinus", "paced", "flutter")


def _test_split(seed: int, gain: float, *, n: int = 60) -> Predictions:
    """Scores by another model of the same recordings, of which none has flutter."""
    target = np.random.default_rng(0).integers(0, 2, (n, 3)).astype(np.uint8)
    target[:, 2] = 0
    noise = np.random.default_rng(seed).random((n, 3))
    score = (gain * target + (1 - gain) * noise).astype(np.float32)
    ids = np.array([f"r{i}" for i in range(n)])
    return Predictions(ids, ids, LabelVocabulary(NAMES, ("mean",) * 3), target, score)


RUNS = {
    (share, seed): _test_split(seed, gain)
    for share, gain in ((0.1, 0.1), (1.0, 0.4))
    for seed in (1, 2, 3)
}


def test_mean_and_spread_are_those_of_each_seeds_own_metric() -> None:
    table = combine_repetitions(RUNS, {(0.01, 1): "not trained yet"}, exclusive=False)
    assert REPEATED_TRAININGS.from_pandas(table).num_rows == len(table)
    summary = summarize_repetitions(table).query("label == 'macro' and metric == 'auroc'")
    by_share = summary.set_index("train_fraction")
    for share in (0.1, 1.0):
        aurocs = [
            roc_auc_score(run.target[:, :2], run.score[:, :2], average="macro")
            for (of, _), run in RUNS.items()
            if of == share
        ]
        row = by_share.loc[share]
        assert row["mean"] == pytest.approx(np.mean(aurocs), abs=1e-12)
        assert row["sd"] == pytest.approx(np.std(aurocs, ddof=1), abs=1e-12)
        assert row["n_seeds"] == 3
    together = table[(table["seed"] == "mean") & (table["label"] == "macro")]
    assert together["n"].eq(60).all()
    assert draw_repetitions(table).startswith(b"\x89PNG")


def test_what_is_missing_or_undefined_says_why() -> None:
    table = combine_repetitions(
        {(0.1, 1): RUNS[0.1, 1]}, {(0.1, 2): "not trained yet", (1.0, 1): "gone"}, exclusive=False
    )
    missing = table[table["n"] == 0].set_index(["train_fraction", "seed"])["undefined"]
    assert missing[0.1, "2"] == "not trained yet"
    assert missing[1.0, "1"] == "gone"
    flutter = table[(table["label"] == "flutter") & (table["seed"] == "1")]
    assert set(flutter["undefined"]) == {"the seed has no recording with it"}
    sd = table[(table["seed"] == "sd") & (table["label"] == "sinus")]
    assert set(sd["undefined"]) == {"takes two seeds that define it"}


def test_trainings_of_other_recordings_are_refused() -> None:
    runs = {(1.0, 1): RUNS[1.0, 1], (1.0, 2): _test_split(2, 0.4, n=59)}
    with pytest.raises(ValueError, match="measured on other recordings"):
        combine_repetitions(runs, {}, exclusive=False)
    with pytest.raises(ValueError, match="runs is empty"):
        combine_repetitions({}, {(1.0, 1): "not trained yet"}, exclusive=False)


def test_seeds_and_shares_of_one_recipe_are_one_experiment(tmp_path: Path) -> None:
    def ask(of: int, share: float, **changes: object) -> tuple[str, str]:
        plain = toy_request(tmp_path, **changes)
        request = repeated_request(plain, fraction=share, seed=of, root=tmp_path)
        assert not request.recipe.reports_test
        return request.output_folder.name, request.checkpoint_id

    asked = [ask(1, 0.1), ask(2, 0.1), ask(1, 1.0), ask(1, 0.1, seed=9)]
    assert len({experiment for experiment, _ in asked}) == 1
    assert len({checkpoint for _, checkpoint in asked}) == 3
    assert ask(1, 0.1, epochs=2)[0] != asked[0][0]
    grid = grid_request(toy_request(tmp_path), learning_rate=1e-3, batch_size=4, root=tmp_path)
    assert grid.output_folder.name != asked[0][0]
