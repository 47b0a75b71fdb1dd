"""The manifest of one fold of a cross-validation: other patients validate, test stays test."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ecg_assets.build.manifest import Manifest, positive_weights
from ecg_assets.errors import SettingsError
from ecg_assets.known import is_known, is_positive
from ecg_assets.split import require_no_leakage
from ecg_assets.split.folds import assign_folds, count_positive_patients


def fold_manifest(
    manifest: Manifest, fold: int, *, n_folds: int, seed: int, exclusive: bool = False
) -> Manifest:
    """Let one fold of the train and valid patients validate, and the others train.

    Parameters
    ----------
    manifest
        Rows keep their places, so that the cache of its signals is the fold's, too; those of
        the test split stay in it.
    fold
        From 1 to `n_folds`.
    n_folds, seed
        As `assign_folds` takes them.
    exclusive
        Labels exclude one another: recordings with none or several do not count when patients
        are spread.

    Returns
    -------
    Manifest
        With class weights of the fold's own training recordings.

    Raises
    ------
    SettingsError
        When there is no such fold, or too few patients.
    """
    if not 1 <= fold <= n_folds:
        raise SettingsError(f"Fold {fold} is asked for; there are folds 1 to {n_folds}.")
    rows = _shared_rows(manifest)
    folds = assign_folds(
        _patients(manifest, rows),
        _counted_targets(manifest, rows, exclusive=exclusive),
        n_folds=n_folds,
        seed=seed,
    )
    split = manifest.index["split"].to_numpy(dtype=object, copy=True)
    split[rows] = np.where(folds == fold, "valid", "train")
    index = manifest.index.assign(split=split)
    require_no_leakage(index, where=f"fold {fold} of {n_folds}")
    weights = positive_weights(manifest.targets[split == "train"])
    made_with = {**manifest.made_with, "fold": f"{fold} of {n_folds}", "fold_seed": seed}
    return replace(manifest, index=index, pos_weight=weights, made_with=made_with)


def require_common_labels(manifest: Manifest, *, n_folds: int, exclusive: bool = False) -> None:
    """Refuse labels that have fewer positive patients in train and valid than there are folds.

    Raises
    ------
    SettingsError
        It names them with their numbers of patients, and says what to do.
    """
    rows = _shared_rows(manifest)
    targets = _counted_targets(manifest, rows, exclusive=exclusive)
    counts = count_positive_patients(_patients(manifest, rows), targets)
    rare = {
        name: int(count)
        for name, count in zip(manifest.vocabulary.names, counts, strict=True)
        if count < n_folds
    }
    if not rare:
        return
    fewest = min(rare.values())
    fewer = f"set ECG_FOLDS to {fewest} or less, " if fewest >= 2 else ""
    raise SettingsError(
        f"Labels with fewer positive patients in train and valid than the {n_folds} folds: "
        f"{', '.join(f'{name} ({count})' for name, count in rare.items())}. Some folds "
        f"would have none to measure: {fewer}choose labels without them (ECG_LABEL_SET), or set "
        "rare_labels to keep in the run's configuration, which leaves their metrics empty there."
    )


def _shared_rows(manifest: Manifest) -> NDArray[np.int64]:
    """Rows of train and valid, which the folds share out, ``(record,)``."""
    return np.flatnonzero(manifest.index["split"].isin(("train", "valid")).to_numpy())


def _patients(manifest: Manifest, rows: NDArray[np.int64]) -> NDArray[np.str_]:
    return manifest.index["subject_id"].to_numpy(dtype=str)[rows]


def _counted_targets(
    manifest: Manifest, rows: NDArray[np.int64], *, exclusive: bool
) -> NDArray[np.uint8]:
    """Targets of recordings to balance by: 0 in all labels where training leaves a recording out.

    What is not measured counts as 0; of numbers, what is measured as 1.
    """
    targets = manifest.targets[rows]
    if manifest.vocabulary.is_continuous:
        return is_known(targets).astype(np.uint8)
    if not exclusive:
        return is_positive(targets).astype(np.uint8)
    return np.asarray(targets * (targets.sum(axis=1, keepdims=True) == 1), np.uint8)
