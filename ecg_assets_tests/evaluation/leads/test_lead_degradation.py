"""The table of a lead degradation: paired, and honest about what was not run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ecg_assets.evaluation import compare_predictions, evaluate
from ecg_assets.evaluation.leads import (
    DIFFERENCE,
    LEAD_DEGRADATION,
    LEAD_SETS,
    compare_lead_sets,
    draw_lead_degradation,
    macro_by_lead_set,
)
from ecg_assets.models.predictions import Predictions
from ecg_assets_tests.evaluation.simulation import simulate_predictions

TWELVE, SIX, TWO, ONE = (lead_set.name for lead_set in LEAD_SETS)


def _noisier(predictions: Predictions, noise: float) -> Predictions:
    """Predictions with the same targets and less to go by."""
    draws = np.random.default_rng(1).random(predictions.score.shape, dtype=np.float32)
    return replace(predictions, score=(1 - noise) * predictions.score + noise * draws)


def test_every_configuration_has_its_auroc_and_what_it_loses() -> None:
    full = simulate_predictions(300)
    table = compare_lead_sets(
        {TWELVE: full, TWO: _noisier(full, 0.4), ONE: _noisier(full, 0.9)},
        {SIX: "the shards lack lead aVF"},
        n_resamples=100,
        seed=3,
    )
    LEAD_DEGRADATION.from_pandas(table)
    macro = macro_by_lead_set(table).set_index("leads")
    assert macro["value"][TWELVE] > macro["value"][TWO] > macro["value"][ONE]
    assert macro["undefined"][SIX] == "not run: the shards lack lead aVF"
    assert np.isnan(macro["value"][SIX])
    lost = table[(table["metric"] == DIFFERENCE) & (table["label"] == "macro")].set_index("leads")
    assert list(lost.index) == [TWO, ONE]
    assert lost["value"][ONE] == pytest.approx(macro["value"][ONE] - macro["value"][TWELVE])
    assert lost["high"][ONE] < 0


def test_numbers_are_those_of_evaluate_and_of_the_paired_comparison() -> None:
    full = simulate_predictions(200)
    fewer = _noisier(full, 0.5)
    table = compare_lead_sets({TWELVE: full, ONE: fewer}, {}, n_resamples=60, seed=1)
    alone = evaluate(fewer.score, fewer.target, fewer.vocabulary.names, fewer.subject_ids, 60, 1)
    pair = compare_predictions(fewer, full, n_resamples=60, seed=1)
    one = table[table["leads"] == ONE]
    for label in (*full.vocabulary.names, "macro"):
        assert _interval(one, label, "auroc") == _interval(alone, label, "auroc")
        assert _interval(one, label, DIFFERENCE) == _interval(pair, label, "auroc")


def _interval(table: pd.DataFrame, label: str, metric: str) -> list[float]:
    """Ends of the interval in the one row of a label and metric."""
    rows = table[(table["label"] == label) & (table["metric"] == metric)]
    ((low, high),) = rows[["low", "high"]].to_numpy(float).tolist()
    return [low, high]


def test_one_configuration_is_one_point_with_nothing_to_lose() -> None:
    reasons = dict.fromkeys((TWELVE, SIX, TWO), "the model reads 1 channel (I), not more")
    table = compare_lead_sets({ONE: simulate_predictions(60)}, reasons, n_resamples=20, seed=0)
    assert DIFFERENCE not in set(table["metric"])
    assert macro_by_lead_set(table)["value"].notna().tolist() == [False, False, False, True]
    assert (table["n"][table["leads"] == TWELVE] == 0).all()


def test_label_without_positives_is_undefined_and_not_averaged() -> None:
    full = simulate_predictions(80)
    full.target[:, 0] = 0
    table = compare_lead_sets({TWELVE: full, ONE: full}, {}, n_resamples=20, seed=0)
    label = table[table["label"] == full.vocabulary.names[0]]
    assert label["value"].isna().all()
    assert label["undefined"].notna().all()
    assert macro_by_lead_set(table)["value"].notna().sum() == 2


def test_picture_is_the_same_for_the_same_numbers() -> None:
    table = compare_lead_sets(
        {ONE: simulate_predictions(60)}, {TWELVE: "x"}, n_resamples=20, seed=0
    )
    png = draw_lead_degradation(table)
    assert png == draw_lead_degradation(table)
    assert png.startswith(b"\x89PNG")
