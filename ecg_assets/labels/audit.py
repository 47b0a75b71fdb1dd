"""Counts of labels beside those that were published, and from one database to the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ecg_assets.known import is_known, is_positive
from ecg_assets.labels.label_tables import label_prevalence
from ecg_assets.sources.datasets import look_up_dataset
from ecg_assets.yaml_file import parse_yaml


@dataclass(frozen=True)
class PublishedCounts:
    """Label counts that were published for the whole of a dataset.

    Attributes
    ----------
    label_set
        The labels that were counted.
    studies
        Recordings that they were counted in.
    labels
        A row a label: ``published`` count, and ``low`` and ``high``, the range in which our own
        count is expected, as multiples of it.
    """

    label_set: str
    studies: int
    labels: pd.DataFrame


def read_published_counts(source: str) -> PublishedCounts | None:
    """Read what was published of a dataset; None where there is nothing."""
    dataset = look_up_dataset(source)
    if dataset is None or dataset.published_counts is None:
        return None
    table = parse_yaml(dataset.published_counts.read_text(encoding="utf-8"))
    labels = pd.DataFrame.from_dict(table["labels"], orient="index").rename_axis("label")
    return PublishedCounts(table["label_set"], int(table["studies"]), labels)


def compare_with_published(labels: pd.DataFrame, published: PublishedCounts) -> pd.DataFrame:
    """Compare each label's share with the published one.

    Parameters
    ----------
    labels
        Table of `LABELS` for the label set that was counted, of the dataset or a part of it.
    published
        The counts.

    Returns
    -------
    pandas.DataFrame
        ``label, positives, share, published, published_share, low, high, is_expected``: low and
        high are the borders of the share that is expected of our labeler.
    """
    rows = label_prevalence(labels).merge(
        published.labels.reset_index(), on="label", how="inner", validate="one_to_one"
    )
    share = rows["published"] / published.studies
    rows = rows.assign(published_share=share, low=rows["low"] * share, high=rows["high"] * share)
    rows["is_expected"] = rows["share"].between(rows["low"], rows["high"])
    columns = ["label", "positives", "share", "published", "published_share"]
    return rows[[*columns, "low", "high", "is_expected"]]


# Where a label's positives come from: a label of one database alone can be told by its
# hospital.


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
        0 or 1 or `NOT_MEASURED`, ``(record, label)``.
    names
        Labels, in the order of the columns.
    databases
        Database of each recording.

    Returns
    -------
    DataFrame
        A row a label and database, labels in their order, databases by name: ``label``,
        ``database``, ``records``, ``positives``, ``share`` (positives among the database's
        recordings of which it is known), ``share_of_positives`` (among the label's positives, NaN
        where it has none), ``share_of_records`` (the database's among all).

    >>> values = np.array([[1], [0], [1], [0]], np.uint8)
    >>> count_by_database(values, ["AFLT"], list("aabb"))["share_of_positives"].tolist()
    [0.5, 0.5]
    """
    code, found = pd.factorize(pd.Series(databases, dtype=object), sort=True)
    n_records = np.bincount(code, minlength=len(found))
    positives = np.zeros((len(names), len(found)), dtype=np.int64)
    np.add.at(positives.T, code, is_positive(values).astype(np.int64))
    known = np.zeros_like(positives)
    np.add.at(known.T, code, is_known(values).astype(np.int64))
    unknown = np.full(positives.shape, np.nan)
    of_label = positives.sum(axis=1, keepdims=True)
    share = np.where(of_label > 0, positives / np.maximum(of_label, 1), np.nan)
    return pd.DataFrame(
        {
            "label": np.repeat(np.array(names, dtype=object), len(found)),
            "database": np.tile(np.asarray(found, dtype=object), len(names)),
            "records": np.tile(n_records, len(names)),
            "positives": positives.ravel(),
            "share": np.divide(positives, known, out=unknown, where=known > 0).ravel(),
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
