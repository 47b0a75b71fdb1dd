"""Label counts that were published for the whole of MIMIC-IV-ECG, to compare with."""

from __future__ import annotations

import pandas as pd

from ecg_assets.labels.label_matrix import label_prevalence
from ecg_assets.labels.yaml_tables import read_table


def n_published_studies() -> int:
    """Studies behind the published counts."""
    return int(read_table("published_counts")["studies"])


def compare_with_published(labels: pd.DataFrame) -> pd.DataFrame:
    """Compare each label's share with the published one.

    Parameters
    ----------
    labels
        Table of `LABELS` for ECG-FM's labels, of MIMIC-IV-ECG or a part of it.

    Returns
    -------
    pandas.DataFrame
        ``label, positives, share, published, published_share, low, high, is_expected``: low and
        high are the borders of the share that is expected of our labeler.
    """
    table = read_table("published_counts")
    published = pd.DataFrame.from_dict(table["labels"], orient="index").rename_axis("label")
    rows = label_prevalence(labels).merge(
        published.reset_index(), on="label", how="inner", validate="one_to_one"
    )
    share = rows["published"] / table["studies"]
    rows = rows.assign(published_share=share, low=rows["low"] * share, high=rows["high"] * share)
    rows["is_expected"] = rows["share"].between(rows["low"], rows["high"])
    columns = ["label", "positives", "share", "published", "published_share"]
    return rows[[*columns, "low", "high", "is_expected"]]
