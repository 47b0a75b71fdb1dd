"""A share of the training patients: nested, by patient, and nothing else of the manifest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecg_assets.build import Manifest
from ecg_assets.build.fractions import UNUSED, take_train_fraction
from ecg_assets.build.manifest import positive_weights
from ecg_assets_tests.models.toy_recordings import toy_manifest


def _of_families(n_records: int, n_patients: int) -> Manifest:
    """Several recordings a patient, whose splits the patient decides."""
    manifest = toy_manifest(n_records)
    patient = np.arange(n_records) % n_patients
    split = np.array(["train", "train", "valid", "train", "test"])[patient % 5]
    subject_ids = [f"patient_{number}" for number in patient]
    return replace(manifest, index=manifest.index.assign(subject_id=subject_ids, split=split))


def _patients(manifest: Manifest, split: str = "train") -> set[str]:
    return set(manifest.index["subject_id"].iloc[manifest.rows(split)])


@given(seed=st.integers(0, 50), small=st.floats(0.01, 1), large=st.floats(0.01, 1))
def test_smaller_shares_are_in_larger_ones(seed: int, small: float, large: float) -> None:
    manifest = _of_families(300, 97)
    small, large = sorted((small, large))
    one, other = (take_train_fraction(manifest, share, seed=seed) for share in (small, large))
    assert _patients(one) <= _patients(other) <= _patients(manifest)
    assert not _patients(one) & _patients(one, UNUSED)


@pytest.mark.parametrize(("fraction", "expected"), [(0.01, 1), (0.1, 10), (0.5, 50), (1.0, 100)])
def test_share_of_patients_is_met_and_rounded_up(fraction: float, expected: int) -> None:
    manifest = toy_manifest(125)
    assert len(_patients(take_train_fraction(manifest, fraction, seed=3))) == expected


def test_nothing_else_changes() -> None:
    manifest = _of_families(300, 97)
    part = take_train_fraction(manifest, 0.1, seed=3)
    for split in ("valid", "test"):
        np.testing.assert_array_equal(part.rows(split), manifest.rows(split))
    columns = ["record_id", "shard", "row"]
    assert part.index[columns].equals(manifest.index[columns])
    train = part.rows("train")
    np.testing.assert_array_equal(part.pos_weight, positive_weights(part.targets[train]))
    assert part.made_with["train_fraction"] == 0.1
    assert take_train_fraction(manifest, 1.0, seed=3) is manifest


def test_seed_chooses_others_and_the_order_of_recordings_does_not() -> None:
    manifest = _of_families(300, 97)
    chosen = _patients(take_train_fraction(manifest, 0.3, seed=1))
    assert chosen != _patients(take_train_fraction(manifest, 0.3, seed=2))
    turned = manifest.take(np.arange(len(manifest.index))[::-1])
    assert _patients(take_train_fraction(turned, 0.3, seed=1)) == chosen


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01])
def test_share_that_cannot_be_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        take_train_fraction(toy_manifest(10), fraction, seed=0)
