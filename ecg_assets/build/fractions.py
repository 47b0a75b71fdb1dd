"""A part of the training patients, nested: those of a smaller part are in each larger one."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import numpy as np

from ecg_assets.build.manifest import Manifest, positive_weights

UNUSED = "unused"
"""Split of the training recordings that are left out, in memory alone."""


def take_train_fraction(manifest: Manifest, fraction: float, *, seed: int) -> Manifest:
    """Keep a share of the training patients with all their recordings.

    Patients stand in an order that a hash of their name and the seed gives, and the first of them
    stay: what 1 % trains on is in what 10 % trains on, with the same seed.

    Parameters
    ----------
    manifest
        Rows keep their places, so that the cache of its signals serves every part; valid and test
        are left alone.
    fraction
        Share of the patients, above 0 to 1, rounded up; 1 gives the manifest itself.
    seed
        Another one gives another choice.

    Returns
    -------
    Manifest
        With class weights of the training recordings that stay.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction is {fraction}; it must be above 0 and at most 1.")
    if fraction == 1:
        return manifest
    rows = manifest.rows("train")
    patients = manifest.index["subject_id"].to_numpy(dtype=str)[rows]
    in_order = sorted(set(patients), key=lambda patient: _position(seed, patient))
    n_kept = math.ceil(round(fraction * len(in_order), 6))
    is_kept = np.isin(patients, in_order[:n_kept])
    split = manifest.index["split"].to_numpy(dtype=object, copy=True)
    split[rows[~is_kept]] = UNUSED
    return replace(
        manifest,
        index=manifest.index.assign(split=split),
        pos_weight=positive_weights(manifest.targets[rows[is_kept]]),
        made_with={**manifest.made_with, "train_fraction": fraction, "train_fraction_seed": seed},
    )


def _position(seed: int, patient: str) -> bytes:
    # Another text than the split's and the limit's hashes have, which chose before.
    return hashlib.sha256(f"fraction:{seed}:{patient}".encode()).digest()
