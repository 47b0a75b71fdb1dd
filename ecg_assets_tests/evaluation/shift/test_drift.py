from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ecg_assets.evaluation.shift.drift import (
    DRIFT,
    collect_quantities,
    count_shifted,
    draw_drift,
    group_by_origin,
    is_shifted,
    measure_drift,
)
from ecg_assets.evaluation.shift.slices import name_years
from ecg_assets.evaluation.shift.stability_index import (
    bin_values,
    chance_limit,
    expected_by_chance,
    stability_index,
)
from ecg_assets.labels import LabelVocabulary


def test_index_is_the_textbook_sum_for_large_counts() -> None:
    before, now = np.array([500_000, 300_000, 200_000]), np.array([400_000, 300_000, 300_000])
    p, q = before / before.sum(), now / now.sum()
    expected = ((q - p) * np.log(q / p)).sum()
    assert stability_index(before, now) == pytest.approx(expected, rel=1e-5)


def test_index_is_finite_for_an_empty_bin_and_undefined_without_recordings() -> None:
    assert 0 < stability_index(np.array([50, 50]), np.array([100, 0])) < np.inf
    assert np.isnan(stability_index(np.array([50, 50]), np.array([0, 0])))


def test_bins_are_deciles_of_the_reference_and_missing_values_have_their_own() -> None:
    values = np.append(np.arange(1000.0), [np.nan] * 7)
    is_reference = np.arange(1007) < 500
    counts = np.bincount(bin_values(values, is_reference)[is_reference])
    assert (abs(counts[:10] - 50) <= 1).all()
    assert (bin_values(values, is_reference) == 10).sum() == 7


def test_index_without_drift_has_the_stated_mean_and_seldom_passes_the_limit() -> None:
    """4,000 comparisons of two samples of one distribution with ten bins."""
    generator = np.random.default_rng(0)
    shares = np.full(10, 0.1)
    reference = generator.multinomial(800, shares, 4000)
    current = generator.multinomial(300, shares, 4000)
    index = stability_index(reference, current)
    sizes = np.array(10), np.array(800), np.array(300)
    assert index.mean() == pytest.approx(float(expected_by_chance(*sizes)), rel=0.05)
    assert (index > chance_limit(*sizes)).mean() < 0.004


def _cohort(n_patients: int = 1200) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """One recording a patient, without any drift."""
    generator = np.random.default_rng(3)
    quantities = pd.DataFrame(
        {
            "age": generator.normal(60, 15, n_patients),
            "label/AF": (generator.random(n_patients) < 0.1).astype(float),
            "signal/std_mv_I": generator.lognormal(size=n_patients),
        }
    )
    groups = pd.DataFrame(
        {
            "split": generator.choice(["train", "valid", "test"], n_patients, p=[0.6, 0.2, 0.2]),
            "shard": generator.choice(["p0", "p1", "p2"], n_patients),
            "year": generator.choice(["2001", "2002"], n_patients),
        }
    )
    return quantities, groups, np.arange(n_patients).astype(str)


def test_one_distribution_drifts_nowhere() -> None:
    table = measure_drift(*_cohort())
    DRIFT.from_pandas(table)
    assert len(table) == 3 * (2 + 3 + 2)
    assert not is_shifted(table).any()


@pytest.mark.parametrize("quantity", ["age", "label/AF", "signal/std_mv_I"])
def test_planted_drift_is_found_where_it_is_and_nowhere_else(quantity: str) -> None:
    quantities, groups, patients = _cohort()
    moved = (groups["split"] == "test").to_numpy()
    changed = {"age": 30.0, "label/AF": 1.0, "signal/std_mv_I": 4.0}[quantity]
    quantities.loc[moved, quantity] = (quantities.loc[moved, quantity] + changed).clip(
        upper=1.0 if quantity == "label/AF" else np.inf
    )
    table = measure_drift(quantities, groups, patients)
    of_splits = table[(table["comparison"] == "split") & is_shifted(table)]
    assert of_splits[["quantity", "group"]].to_numpy().tolist() == [[quantity, "test"]]
    assert count_shifted(table) == {"split": 1, "shard": 0, "year": 0}


def test_missing_values_that_become_frequent_are_drift() -> None:
    quantities, groups, patients = _cohort()
    quantities.loc[groups["shard"] == "p1", "age"] = np.nan
    found = measure_drift(quantities, groups, patients)
    found = found[(found["comparison"] == "shard") & (found["group"] == "p1")]
    assert is_shifted(found).tolist() == [True, False, False]
    assert np.isnan(found["current"].iloc[0])


def test_chance_counts_patients_and_not_their_recordings() -> None:
    """Ten copies of each recording are no more evidence than one."""
    quantities, groups, patients = _cohort(200)
    once = measure_drift(quantities, groups, patients)
    copied = [pd.concat([table] * 10, ignore_index=True) for table in (quantities, groups)]
    often = measure_drift(copied[0], copied[1], np.tile(patients, 10))
    np.testing.assert_array_equal(once["chance_limit"], often["chance_limit"])
    assert (often["n_current"] == 10 * once["n_current"]).all()


def test_a_patient_in_two_groups_counts_on_both_sides() -> None:
    quantities = pd.DataFrame({"age": [50.0, 51.0, 70.0]})
    groups = pd.DataFrame({"year": ["2001", "2002", "2002"]})
    table = measure_drift(quantities, groups, np.array(["a", "a", "b"]))
    assert table["n_patients_current"].tolist() == [1, 2]
    assert table["n_patients_reference"].tolist() == [2, 1]


def test_a_single_group_is_compared_with_nothing() -> None:
    quantities, groups, patients = _cohort(50)
    table = measure_drift(quantities, groups.assign(shard="p0")[["shard"]], patients)
    assert table.empty
    assert draw_drift(table) is None


def test_without_a_train_split_no_split_is_compared() -> None:
    quantities, groups, patients = _cohort(50)
    table = measure_drift(quantities, groups.replace("train", "valid")[["split"]], patients)
    assert table.empty


def test_quantities_join_by_recording_whatever_the_order() -> None:
    records = pd.DataFrame(
        {
            "record_id": ["a", "b", "c"],
            "shard": "p0",
            "age": [50.0, np.nan, 70.0],
            "sex": ["F", "M", None],
            "ecg_time": pd.to_datetime(["2001-05-01", "NaT", "2003-01-01"]),
        }
    )
    labels = pd.DataFrame(
        {"record_id": ["c", "a"], "label": "AF", "value": [1, 0], "probability": [1.0, 0.0]}
    )
    signals = pd.DataFrame({"record_id": ["b", "a"], "std_mv_I": [0.2, 0.1], "flat": False})
    table = collect_quantities(records, signals, labels, LabelVocabulary(("AF",), ("mean",)))
    expected = {
        "age": [50, np.nan, 70],
        "sex": [1, 0, np.nan],
        "label/AF": [0, np.nan, 1],
        "signal/std_mv_I": [0.1, 0.2, np.nan],
    }
    assert list(table.columns) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(table[name].astype(float), values, rtol=1e-6)
    split = pd.DataFrame({"record_id": ["c", "a"], "split": ["test", "train"]})
    groups = group_by_origin(records, split)
    assert groups["split"].fillna("-").tolist() == ["train", "-", "test"]
    assert groups["year"].tolist() == ["2001", "unknown", "2003"]


def test_many_years_become_decades() -> None:
    named = name_years(pd.Series([*range(2110, 2130), None]))
    assert set(named) == {"2110-2119", "2120-2129", "unknown"}


def test_same_drift_gives_the_same_picture() -> None:
    table = measure_drift(*_cohort(300))
    assert draw_drift(table) == draw_drift(table)
