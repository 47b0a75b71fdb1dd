from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from ecg_assets.evaluation import evaluate_slices
from ecg_assets.evaluation.report.calibration_groups import (
    TOO_FEW,
    calibrate_groups,
    draw_calibration_groups,
)
from ecg_assets.evaluation.thresholds import Thresholds
from ecg_assets.known import NOT_MEASURED
from ecg_assets.metrics.metrics import Place, shown_in
from ecg_assets.models.predictions import Predictions
from ecg_assets_tests.evaluation.simulation import simulate_predictions, simulate_validation

N = 900


@pytest.fixture(scope="module")
def sex() -> pd.Series:
    return pd.Series(np.where(np.arange(N) % 3, "F", "M"))


@pytest.fixture(scope="module")
def predictions(sex: pd.Series) -> Predictions:
    """Scores are right on average in women, and too low in men by one in their log odds."""
    generator = np.random.default_rng(0)
    drawn = simulate_predictions(N, decimals=6)
    score = np.clip(generator.random((N, 3)), 0.02, 0.98)
    chance = np.where((sex == "M").to_numpy()[:, None], expit(logit(score) + 1), score)
    target = (generator.random((N, 3)) < chance).astype(np.uint8)
    target[::7, 1] = NOT_MEASURED
    target[(sex == "M").to_numpy() & (np.arange(N) > 30), 2] = 0
    return replace(drawn, target=target, score=score.astype(np.float32))


@pytest.fixture(scope="module")
def slices(predictions: Predictions, sex: pd.Series) -> pd.DataFrame:
    thresholds = Thresholds.from_validation(simulate_validation(100, seed=9))
    groups = pd.DataFrame({"all": "all recordings", "sex": sex, "year": "2001"})
    return evaluate_slices(predictions, thresholds, groups, n_resamples=40, seed=0)


@pytest.fixture(scope="module")
def table(slices: pd.DataFrame) -> pd.DataFrame:
    return calibrate_groups(slices).set_index(["label", "slice", "group"]).sort_index()


def _row(table: pd.DataFrame, *key: str) -> dict[str, Any]:
    """Give the one row of a key."""
    found = table[[place == key for place in table.index]]
    assert len(found) == 1
    return {str(name): value for name, value in found.iloc[0].items()}


@pytest.mark.parametrize("group", ["F", "M"])
@pytest.mark.parametrize("label", [0, 1])
def test_numbers_are_those_of_the_groups_known_recordings(
    predictions: Predictions, sex: pd.Series, table: pd.DataFrame, group: str, label: int
) -> None:
    rows = (sex == group).to_numpy() & (predictions.target[:, label] != NOT_MEASURED)
    target, score = predictions.target[rows, label], predictions.score[rows, label].astype(float)
    found = _row(table, f"label {label}", "sex", group)
    assert (found["n"], found["n_pos"]) == (rows.sum(), target.sum())
    difference = target.mean() - score.mean()
    assert found["calibration_in_the_large"] == pytest.approx(difference, abs=1e-9)
    model = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(score)[:, None], target)
    assert found["calibration_slope"] == pytest.approx(model.coef_[0, 0], rel=1e-4)
    bins = pd.Series(np.minimum((score * 10).astype(int), 9))
    gaps = pd.Series(target - score).groupby(bins).sum().abs()
    assert found["ece"] == pytest.approx(gaps.sum() / len(target), abs=1e-9)
    assert found["undefined"] is None


def test_a_group_whose_scores_are_too_low_stands_out(table: pd.DataFrame) -> None:
    low = {
        group: _row(table, "label 0", "sex", group)["calibration_in_the_large_low"]
        for group in ("F", "M")
    }
    assert low["M"] > 0.05 > low["F"]


def test_few_positives_have_counts_and_a_reason_but_no_number(
    slices: pd.DataFrame, table: pd.DataFrame
) -> None:
    found = _row(table, "label 2", "sex", "M")
    assert 0 < found["n_pos"] < 20 < found["n"]
    assert found["undefined"] == TOO_FEW
    columns = [f"{name}{end}" for name in shown_in(Place.CALIBRATION) for end in ("", "_low")]
    assert np.isnan([found[name] for name in columns]).all()
    of_few = slices[(slices["label"] == "label 2") & (slices["group"] == "M")]
    assert of_few.set_index("metric").loc["ece", ["value", "is_uncertain"]].notna().all()


def test_rows_are_put_label_by_label(slices: pd.DataFrame) -> None:
    rows = calibrate_groups(slices)
    assert rows["label"].tolist() == [f"label {k}" for k in (0, 0, 0, 1, 1, 1, 2, 2, 2)]
    assert rows["group"].tolist() == ["all recordings", "F", "M"] * 3


def test_groups_of_sex_age_and_all_alone_are_shown(table: pd.DataFrame) -> None:
    assert set(table.index.get_level_values("slice")) == {"all", "sex"}
    assert "macro" not in table.index.get_level_values("label")


def test_scores_that_separate_the_classes_have_all_but_a_slope(
    predictions: Predictions, sex: pd.Series
) -> None:
    target = predictions.target.copy()
    target[:, 0] = predictions.score[:, 0] > 0.5
    thresholds = Thresholds.from_validation(simulate_validation(100, seed=9))
    groups = pd.DataFrame({"sex": sex})
    found = evaluate_slices(
        replace(predictions, target=target), thresholds, groups, n_resamples=0, seed=0
    )
    row = _row(calibrate_groups(found).set_index(["label", "group"]), "label 0", "F")
    assert np.isnan(row["calibration_slope"]) and np.isfinite(row["ece"])
    assert row["undefined"].startswith("calibration slope: no finite line")


def test_a_table_of_a_version_without_calibration_has_no_rows(slices: pd.DataFrame) -> None:
    before = slices[slices["metric"] == "auroc"]
    assert calibrate_groups(before).empty


def test_picture_is_drawn_of_what_is_defined(table: pd.DataFrame) -> None:
    rows = table.reset_index()
    picture = draw_calibration_groups(rows)
    assert picture is not None and picture.startswith(b"\x89PNG")
    assert draw_calibration_groups(rows.assign(calibration_in_the_large=np.nan)) is None
