"""A limit of training recordings a label: who stays, and that valid and test are left alone."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_assets.build import Manifest, TrainLimit, build_manifest, fingerprint_manifest
from ecg_assets_tests.build.cohort import FAULTS, GOOD, SPEC, VOCABULARY, Cohort


def _names(n: int) -> list[str]:
    return [f"r{number}" for number in range(n)]


def _manifest(cohort: Cohort, limit: TrainLimit | None) -> Manifest:
    return build_manifest(
        cohort.records,
        cohort.labels,
        cohort.split,
        cohort.shards,
        spec=SPEC,
        vocabulary=VOCABULARY,
        train_limit=limit,
    )


def test_exclusive_labels_have_the_limit_or_all_they_have() -> None:
    targets = np.repeat(np.eye(3, dtype=np.uint8), [40, 7, 2], axis=0)
    targets = np.concatenate([targets, np.zeros((9, 3), np.uint8)])
    kept = targets[~TrainLimit(5).find_surplus(_names(58), targets)]
    assert kept.sum(axis=0).tolist() == [5, 5, 2]
    assert (kept.sum(axis=1) == 0).sum() == 5


def test_smallest_balances_the_labels_that_are_there() -> None:
    targets = np.repeat(np.eye(4, dtype=np.uint8)[[0, 1, 3]], [40, 7, 3], axis=0)
    kept = targets[~TrainLimit("smallest").find_surplus(_names(50), targets)]
    assert kept.sum(axis=0).tolist() == [3, 3, 0, 3]


def test_common_label_never_takes_away_a_rare_ones_recordings() -> None:
    targets = np.zeros((30, 2), np.uint8)
    targets[:, 0] = 1
    targets[[3, 8, 21], 1] = 1
    for seed in range(5):
        kept = targets[~TrainLimit(4, seed).find_surplus(_names(30), targets)]
        assert kept[:, 1].sum() == 3
        assert 4 <= kept[:, 0].sum() <= 7


def test_choice_depends_on_names_and_seed_alone() -> None:
    names, targets = _names(40), np.ones((40, 1), np.uint8)
    chosen = ~TrainLimit(10, 1).find_surplus(names, targets)
    assert np.array_equal(chosen[::-1], ~TrainLimit(10, 1).find_surplus(names[::-1], targets))
    assert not np.array_equal(chosen, ~TrainLimit(10, 2).find_surplus(names, targets))
    fewer = ~TrainLimit(10, 1).find_surplus(names[:30], targets[:30])
    assert not (chosen[:30] & ~fewer).any()


def test_manifest_lists_who_is_over_the_limit_and_keeps_valid_and_test(cohort: Cohort) -> None:
    manifest = _manifest(cohort, TrainLimit(2))
    reasons = manifest.excluded.set_index("record_id")["reason"].to_dict()
    over = {name for name, reason in reasons.items() if reason == "over_limit"}
    # Of a0, a1 and b0 (sinus rhythm) two stay; b1 has no label; a2 and b2 are valid and test.
    assert len(over) == 1
    assert over < {"a0", "a1", "b0"}
    assert {name: why for name, why in reasons.items() if name not in over} == FAULTS
    assert set(manifest.index["record_id"]) == set(GOOD) - over
    assert manifest.pos_weight.tolist() == [1 / 2, 1.0]
    assert fingerprint_manifest(manifest) != fingerprint_manifest(cohort.manifest())


def test_limit_that_nobody_reaches_changes_nothing(cohort: Cohort) -> None:
    plain = fingerprint_manifest(cohort.manifest())
    assert fingerprint_manifest(_manifest(cohort, TrainLimit(3))) == plain


def test_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        TrainLimit(0)
