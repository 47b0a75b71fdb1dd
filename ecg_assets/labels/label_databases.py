"""Where a label's positives come from: a label of one database alone can be told by its hospital.

Recordings of one database share carts, filters and noise. Where nearly all positives of a label
come from one, a model can learn these instead of the finding, and a split of the same data does
not show it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

MOST_OF_ONE_DATABASE = 0.8
"""Share of a label's positives from one database above which the two are confounded."""
FEWEST_POSITIVES = 20
"""Positives below which a label's share says nothing: of a single one, one database has all."""


def count_by_database(
    values: npt.NDArray[np.uint8], names: Sequence[str], databases: Sequence[str]
) -> pd.DataFrame:
    """Count each label's positives in each database.

    Parameters
    ----------
    values
        0 or 1, ``(record, label)``.
    names
        Labels, in the order of the columns.
    databases
        Database of each recording.

    Returns
    -------
    DataFrame
        A row a label and database, labels in their order, databases by name: ``label``,
        ``database``, ``records``, ``positives``, ``share`` (positives among the database's
        recordings), ``share_of_positives`` (among the label's positives, NaN where it has
        none), ``share_of_records`` (the database's among all).

    >>> values = np.array([[1], [0], [1], [0]], np.uint8)
    >>> count_by_database(values, ["AFLT"], list("aabb"))["share_of_positives"].tolist()
    [0.5, 0.5]
    """
    code, found = pd.factorize(pd.Series(databases, dtype=object), sort=True)
    n_records = np.bincount(code, minlength=len(found))
    positives = np.zeros((len(names), len(found)), dtype=np.int64)
    np.add.at(positives.T, code, values)
    of_label = positives.sum(axis=1, keepdims=True)
    share = np.where(of_label > 0, positives / np.maximum(of_label, 1), np.nan)
    return pd.DataFrame(
        {
            "label": np.repeat(np.array(names, dtype=object), len(found)),
            "database": np.tile(np.asarray(found, dtype=object), len(names)),
            "records": np.tile(n_records, len(names)),
            "positives": positives.ravel(),
            "share": (positives / n_records).ravel(),
            "share_of_positives": share.ravel(),
            "share_of_records": np.tile(n_records / n_records.sum(), len(names)),
        }
    )


def find_confounded(
    counts: pd.DataFrame,
    *,
    most: float = MOST_OF_ONE_DATABASE,
    fewest_positives: int = FEWEST_POSITIVES,
) -> pd.DataFrame:
    """Find labels of which more than `most` of the positives come from one database.

    Parameters
    ----------
    counts
        As `count_by_database` returns them.
    most
        Share of a label's positives, 0 to 1.
    fewest_positives
        Labels with fewer are passed over.

    Returns
    -------
    DataFrame
        Those rows, but for databases that hold no smaller share of all recordings: a database
        with nearly all recordings has nearly all positives of any label.
    """
    positives = counts.groupby("label")["positives"].transform("sum")
    share = counts["share_of_positives"]
    is_confounded = (share > most) & (share > counts["share_of_records"])
    return counts[is_confounded & (positives >= fewest_positives)]
