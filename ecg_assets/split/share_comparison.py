"""Compare the shares that a split has with those that were asked for."""

from __future__ import annotations

import pandas as pd
from scipy.stats import binomtest

from ecg_assets.split.patient_split import count_splits
from ecg_assets.split.split_shares import SplitShares

RAREST_BY_CHANCE = 1e-6
"""Probability below which a count of patients is no longer taken for chance."""


def compare_shares(split: pd.DataFrame, shares: SplitShares) -> pd.DataFrame:
    """Compare the patients of each split with the share that each patient had of coming there.

    Parameters
    ----------
    split
        As `SPLIT` declares.
    shares
        What was asked for.

    Returns
    -------
    DataFrame
        ``split, records, patients, share, expected_share, is_expected``, a row a split in the
        order train, valid, test. Shares are of patients, NaN where there is none. A count is
        expected where an exact binomial test gives it `RAREST_BY_CHANCE` or more.

    >>> ids = [str(number) for number in range(50)]
    >>> split = pd.DataFrame({"record_id": ids, "subject_id": ids, "split": "train"})
    >>> compare_shares(split, SplitShares(valid=0.5, test=0.1))["is_expected"].tolist()
    [False, False, True]
    """
    counts = count_splits(split)
    n_patients = int(counts["patients"].sum())
    expected = [shares.train, shares.valid, shares.test]
    p_values = [
        binomtest(int(n), n_patients, share).pvalue if n_patients else 1.0
        for n, share in zip(counts["patients"], expected, strict=True)
    ]
    return counts.assign(
        share=counts["patients"] / n_patients if n_patients else float("nan"),
        expected_share=expected,
        is_expected=[p_value >= RAREST_BY_CHANCE for p_value in p_values],
    )
