from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score

from ecg_assets.labels import LabelVocabulary
from ecg_assets.metrics.metrics import MACRO
from ecg_assets.models.predictions import Predictions
from ecg_assets.training.finetune.cross_validation import (
    ALL,
    CROSS_VALIDATION,
    MEAN,
    SD,
    combine_folds,
    draw_folds,
    summarize,
)

NAMES = ("sinus", "paced", "flutter")


def _fold(seed: int, n: int = 40, *, without: int | None = None) -> Predictions:
    """Scores that lean to the one label of each recording; a label may be absent."""
    random = np.random.default_rng(seed)
    true = random.choice([i for i in range(3) if i != without], n)
    target = np.eye(3, dtype=np.uint8)[true]
    score = (0.35 * target + 0.65 * random.random((n, 3))).astype(np.float32)
    ids = np.array([f"{seed}-{i}" for i in range(n)])
    return Predictions(ids, ids, LabelVocabulary(NAMES, ("mean",) * 3), target, score)


def _value(table: pd.DataFrame, fold: str, label: str, metric: str) -> float:
    chosen = table[
        (table["fold"] == fold) & (table["label"] == label) & (table["metric"] == metric)
    ]
    assert len(chosen) == 1
    return float(chosen["value"].iloc[0])


@pytest.fixture
def folds() -> dict[str, Predictions]:
    return {"1": _fold(1), "2": _fold(2), "3": _fold(3, n=25)}


def test_values_are_scikit_learns_and_their_mean_and_standard_deviation(
    folds: dict[str, Predictions],
) -> None:
    table = combine_folds(folds, {}, exclusive=True)
    measures: dict[str, Any] = {
        "auroc": lambda p, i: roc_auc_score(p.target[:, i], p.score[:, i]),
        "auprc": lambda p, i: average_precision_score(p.target[:, i], p.score[:, i]),
        "f1": lambda p, i: f1_score(p.target[:, i], p.score.argmax(axis=1) == i),
    }
    for metric, measure in measures.items():
        expected = np.array([[measure(fold, i) for i in range(3)] for fold in folds.values()])
        for i, label in enumerate(NAMES):
            found = [_value(table, fold, label, metric) for fold in folds]
            np.testing.assert_allclose(found, expected[:, i])
            assert _value(table, MEAN, label, metric) == pytest.approx(expected[:, i].mean())
            assert _value(table, SD, label, metric) == pytest.approx(expected[:, i].std(ddof=1))
        macro = [_value(table, fold, MACRO, metric) for fold in folds]
        np.testing.assert_allclose(macro, expected.mean(axis=1))
        assert _value(table, SD, MACRO, metric) == pytest.approx(np.std(macro, ddof=1))
    accuracy = [
        accuracy_score(fold.target.argmax(axis=1), fold.score.argmax(axis=1))
        for fold in folds.values()
    ]
    assert _value(table, MEAN, ALL, "accuracy") == pytest.approx(np.mean(accuracy))
    assert CROSS_VALIDATION.from_pandas(table).num_rows == len(table)


def test_labels_that_are_not_exclusive_have_neither_f1_nor_accuracy(
    folds: dict[str, Predictions],
) -> None:
    table = combine_folds(folds, {}, exclusive=False)
    assert set(table["metric"]) == {"auroc", "auprc"}


def test_a_label_that_a_fold_lacks_is_undefined_there_and_in_no_fold_s_macro(
    folds: dict[str, Predictions],
) -> None:
    folds = {**folds, "2": _fold(2, without=2)}
    table = combine_folds(folds, {}, exclusive=True)
    lacking = table[(table["fold"] == "2") & (table["label"] == "flutter")]
    assert lacking["value"].isna().all()
    assert set(lacking["undefined"]) == {"the fold has no recording with it"}
    assert table["value"].notna().eq(table["undefined"].isna()).all()
    summary = summarize(table).set_index(["label", "metric"])
    assert summary.loc[("flutter", "auroc"), "n_folds"] == 2
    assert summary.loc[("flutter", "auroc"), "n"] == 65
    for fold in folds:
        others = [_value(table, fold, label, "auroc") for label in ("sinus", "paced")]
        assert _value(table, fold, MACRO, "auroc") == pytest.approx(np.mean(others))


def test_a_missing_fold_is_named_and_one_fold_has_no_standard_deviation() -> None:
    missing = {"2": "not trained yet"}
    table = combine_folds({"1": _fold(1)}, missing, exclusive=False)
    row = table[table["fold"] == "2"].iloc[0]
    assert (row["undefined"], row["n"], row["n_folds"]) == ("not trained yet", 0, 0)
    sd = table[table["fold"] == SD]
    assert sd["value"].isna().all()
    assert set(sd["undefined"]) == {"takes two folds that define it"}
    mean = _value(table, MEAN, MACRO, "auroc")
    assert mean == _value(table, "1", MACRO, "auroc")
    assert CROSS_VALIDATION.from_pandas(table).num_rows == len(table)


def test_no_fold_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="folds is empty"):
        combine_folds({}, {"1": "not trained yet"}, exclusive=False)


def test_picture_is_a_png_also_of_undefined_labels(folds: dict[str, Predictions]) -> None:
    folds = {**folds, "2": _fold(2, without=2)}
    table = combine_folds(folds, {"4": "not trained yet"}, exclusive=True)
    assert draw_folds(table).startswith(b"\x89PNG")
