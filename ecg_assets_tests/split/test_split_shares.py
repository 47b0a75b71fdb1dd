"""Shares of the split: larger ones add patients, and the rule's name says them."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ecg_assets.errors import SettingsError
from ecg_assets.split import SplitShares, name_hash_rule, parse_hash_rule, split_by_patient
from ecg_assets.split.patients import compare_shares

PATIENTS = pd.DataFrame({"record_id": (ids := [str(i) for i in range(2_000)]), "subject_id": ids})
SHARE = st.floats(0, 0.5)


def _patients(shares: SplitShares, split: str, seed: int = 1) -> set[str]:
    table = split_by_patient(PATIENTS, seed=seed, shares=shares)
    return set(table.loc[table["split"] == split, "subject_id"])


@given(SHARE, SHARE, st.floats(0, 0.49))
@settings(max_examples=25)
def test_a_larger_share_adds_patients_and_the_others_is_not_touched(
    one: float, other: float, fixed: float
) -> None:
    less, more = sorted((one, other))
    assert _patients(SplitShares(less, fixed), "valid") <= _patients(
        SplitShares(more, fixed), "valid"
    )
    assert _patients(SplitShares(fixed, less), "test") <= _patients(
        SplitShares(fixed, more), "test"
    )
    tests = [_patients(SplitShares(valid, fixed), "test") for valid in (less, more)]
    valids = [_patients(SplitShares(fixed, test), "valid") for test in (less, more)]
    assert tests[0] == tests[1]
    assert valids[0] == valids[1]


@pytest.mark.parametrize("shares", [(0.1, 0.1), (0.2, 0.3), (0.0, 0.5), (0.05, 0.0), (0.5, 0.49)])
def test_shares_are_met_as_far_as_chance_goes(shares: tuple[float, float]) -> None:
    wanted = SplitShares(*shares)
    split = split_by_patient(PATIENTS, seed=0, shares=wanted)
    table = compare_shares(split, wanted)
    assert table["is_expected"].all()
    assert table["share"].to_numpy() == pytest.approx(table["expected_share"].to_numpy(), abs=0.03)
    empty = table.loc[table["patients"] == 0, "split"]
    assert tuple(empty) == wanted.left_out


def test_split_of_other_shares_is_not_what_was_asked_for() -> None:
    split = split_by_patient(PATIENTS, seed=0)
    table = compare_shares(split, SplitShares(test=0.2)).set_index("split")
    assert table["is_expected"].to_dict() == {"train": False, "valid": True, "test": False}


def test_no_patients_are_no_wrong_shares() -> None:
    table = compare_shares(PATIENTS.iloc[:0].assign(split="train"), SplitShares())
    assert table["is_expected"].all()
    assert table["share"].isna().all()


def test_rule_of_the_default_is_named_as_ever() -> None:
    assert name_hash_rule(1, SplitShares()) == "hash of patient, seed 1, 80/10/10"


@given(SHARE, SHARE, st.integers(-3, 99))
@example(0.5, 0.4999999999, 1)
@settings(max_examples=50)
def test_rule_is_read_as_it_was_named(valid: float, test: float, seed: int) -> None:
    assume(round(valid, 10) + round(test, 10) < 1)
    shares = SplitShares(valid, test)
    assert parse_hash_rule(name_hash_rule(seed, shares)) == (seed, shares)
    assert (shares.valid, shares.test) == pytest.approx((valid, test), rel=0, abs=1e-10)


def test_shares_that_round_to_all_patients_are_refused() -> None:
    with pytest.raises(SettingsError, match="leave no patient to train on"):
        SplitShares(0.49999999999999994, 0.49999999999999994)


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "folds of ptb-xl",
        "meta_split 0123456789abcdef",
        "hash of patient, seed 1, 10/80/10",
        "hash of patient, seed 1, 80/ten/10",
        "hash of patient, seed one, 80/10/10",
    ],
)
def test_another_rule_is_none_to_repeat(rule: str) -> None:
    assert parse_hash_rule(rule) is None


@pytest.mark.parametrize(
    ("valid", "test", "message"),
    [
        (-0.1, 0.1, r"ECG_VALID_SHARE is -0\.1; set it to a share from 0 to 0\.5"),
        (0.1, 0.6, r"ECG_TEST_SHARE is 0\.6"),
        (float("nan"), 0.1, "ECG_VALID_SHARE is nan"),
        (0.5, 0.5, "leave no patient to train on"),
    ],
)
def test_shares_out_of_range_are_refused(valid: float, test: float, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        SplitShares(valid, test)
