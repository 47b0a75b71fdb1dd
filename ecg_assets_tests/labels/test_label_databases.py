"""Labels whose positives come from one database are found, by the counts of PhysioNet 2021."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ecg_assets.labels.audit import count_by_database, find_confounded
from ecg_assets.labels.figures import draw_databases

DATABASES = ("CPSC", "CPSC-Extra", "INCART", "PTB", "PTB-XL", "Georgia", "Chapman", "Ningbo")
PUBLISHED = {
    "NORM": (918, 4, 0, 80, 18092, 1752, 1826, 6299),
    "AFIB": (1221, 153, 2, 15, 1514, 570, 1780, 0),
    "AFLT": (0, 54, 0, 1, 73, 186, 445, 7615),
    "1dAVb": (722, 106, 0, 0, 797, 769, 247, 893),
    "LBBB": (236, 38, 0, 0, 536, 231, 205, 248),
    "none": (0,) * len(DATABASES),
}
"""Positives of a label in each database, as the challenge counts them."""


def test_flutter_of_physionet_2021_is_of_one_hospital() -> None:
    values, databases = [], []
    for column, of_label in enumerate(PUBLISHED.values()):
        for database, n in zip(DATABASES, of_label, strict=True):
            values.append(np.tile(np.eye(len(PUBLISHED), dtype=np.uint8)[column], (n, 1)))
            databases += [database] * n
    counts = count_by_database(np.concatenate(values), list(PUBLISHED), databases)
    found = find_confounded(counts)
    assert found[["label", "database", "positives"]].to_numpy().tolist() == [
        ["AFLT", "Ningbo", 7615]
    ]
    assert found["share_of_positives"].iloc[0] == pytest.approx(7615 / 8374)
    table = counts.set_index(["label", "database"])["positives"]
    found_afib = [int(table["AFIB", database]) for database in DATABASES]
    assert found_afib == list(PUBLISHED["AFIB"])
    assert counts.loc[counts["label"] == "none", "share_of_positives"].isna().all()
    assert draw_databases(counts) == draw_databases(counts)
    sums = counts.groupby("label")["share_of_records"].sum()
    assert np.allclose(sums, 1)


def test_one_database_is_nothing_to_tell_apart() -> None:
    counts = count_by_database(np.ones((5, 1), np.uint8), ["NORM"], ["MIMIC"] * 5)
    assert counts["share_of_positives"].tolist() == [1.0]
    assert find_confounded(counts).empty


def _count(n_positive: tuple[int, int], n_records: tuple[int, int]) -> pd.DataFrame:
    """Count one label in two databases."""
    values = [i < n for n, of in zip(n_positive, n_records, strict=True) for i in range(of)]
    databases = ["a"] * n_records[0] + ["b"] * n_records[1]
    return count_by_database(np.array(values, np.uint8)[:, None], ["AFLT"], databases)


def test_just_the_limit_is_not_more_than_it() -> None:
    counts = _count((16, 4), (30, 30))
    assert find_confounded(counts).empty
    assert find_confounded(counts, most=0.7)["database"].tolist() == ["a"]


def test_a_label_of_few_recordings_is_confounded_with_nothing() -> None:
    assert find_confounded(_count((19, 0), (30, 30))).empty
    assert find_confounded(_count((20, 0), (30, 30)))["database"].tolist() == ["a"]
    assert find_confounded(_count((1, 0), (2, 2)), fewest_positives=1)["positives"].tolist() == [1]


@pytest.mark.parametrize(("n_others", "is_confounded"), [(10, False), (40, True)])
def test_a_database_of_nearly_all_recordings_may_have_nearly_all_positives(
    n_others: int, is_confounded: bool
) -> None:
    """It has 45 of 50 positives: as many as of the recordings, or more."""
    counts = _count((45, 5), (90, n_others))
    assert find_confounded(counts).empty == (not is_confounded)
