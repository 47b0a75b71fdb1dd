"""Take the split from folds that a dataset suggests, as PTB-XL's ten."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from ecg_assets.errors import SchemaError
from ecg_assets.split.leakage import require_no_leakage


def split_by_folds(
    records: pd.DataFrame,
    folds: pd.Series[int],
    *,
    train: Collection[int] = range(1, 9),
    valid: Collection[int] = (9,),
    test: Collection[int] = (10,),
) -> pd.DataFrame:
    """Split recordings by their folds.

    Parameters
    ----------
    records
        Table with ``record_id`` and ``subject_id``.
    folds
        Fold of each recording, by record_id.
    train, valid, test
        Folds of each split; the defaults are what PTB-XL suggests
        (https://doi.org/10.1038/s41597-020-0495-6).

    Returns
    -------
    DataFrame
        One row a record, in the records' order, as `SPLIT` declares. Records whose fold is in
        no split are left out.

    Raises
    ------
    SchemaError
        When a record has no fold.
    LeakageError
        When a patient stands in two splits.
    """
    names = {
        fold: name
        for name, members in (("train", train), ("valid", valid), ("test", test))
        for fold in members
    }
    fold = records["record_id"].map(folds)
    if fold.isna().any():
        raise SchemaError(
            f"{int(fold.isna().sum())} of {len(records)} records have no fold, first "
            f"{records['record_id'][fold.isna()].iloc[0]!r}."
        )
    split = records[["record_id", "subject_id"]].assign(split=fold.map(names))
    split = split.dropna(subset="split").reset_index(drop=True)
    require_no_leakage(split, where="the dataset's folds")
    return split
