"""Which configurations of leads a model can be given, and what it then reads."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ecg_assets.evaluation.leads import LEAD_SETS, LeadSet, all_leads, find_obstacle, model_channels
from ecg_assets.preprocess import STANDARD_LEADS, SignalSpec, project_channels

ALL = STANDARD_LEADS
TWELVE = SignalSpec(leads=ALL)
LEAD_I = SignalSpec()


@pytest.mark.parametrize(
    ("spec", "n_channels", "stored", "runnable"),
    [
        (TWELVE, 12, ALL, [True, True, True, True]),
        (LEAD_I, 12, ALL, [True, True, True, True]),
        (LEAD_I, 12, ("I",), [False, False, False, True]),
        (LEAD_I, 12, ("I", "II"), [False, False, True, True]),
        (LEAD_I, 1, ALL, [False, False, False, True]),
        (SignalSpec(leads=("II",)), 1, ALL, [False, False, False, False]),
        (SignalSpec(leads=("I", "II"), n_channels=2), 2, ALL, [False, False, True, False]),
    ],
)
def test_what_can_be_run(
    spec: SignalSpec, n_channels: int, stored: tuple[str, ...], runnable: list[bool]
) -> None:
    found = [find_obstacle(lead_set, spec, n_channels, stored) for lead_set in LEAD_SETS]
    assert [not obstacle for obstacle in found] == runnable


def test_obstacle_says_what_is_lacking() -> None:
    folded = find_obstacle(LEAD_SETS[2], LEAD_I, 1, ALL)
    assert folded == "the model reads 1 channel (I), not lead II"
    not_stored = find_obstacle(LEAD_SETS[1], TWELVE, 12, ("I", "II", "III", "aVR"))
    assert not_stored.startswith("the shards lack leads aVL, aVF; preprocess again with")


def test_absent_leads_are_zero_and_the_others_in_their_channels() -> None:
    segments = np.random.default_rng(0).random((3, 2, 5), dtype=np.float32)
    laid_out = LEAD_SETS[2].lay_out(segments, ALL)
    assert laid_out.shape == (3, 12, 5)
    assert np.array_equal(laid_out[:, :2], segments)
    assert not laid_out[:, 2:].any()


def test_channels_keep_the_models_own_order() -> None:
    order = tuple(reversed(ALL))
    segments = np.random.default_rng(0).random((1, 2, 4), dtype=np.float32)
    laid_out = LEAD_SETS[2].lay_out(segments, model_channels(SignalSpec(leads=order), 12))
    assert np.array_equal(laid_out[:, 11], segments[:, 0])
    assert np.array_equal(laid_out[:, 10], segments[:, 1])


@pytest.mark.parametrize("n_channels", [1, 12])
def test_repeated_lead_is_what_the_model_is_fed_otherwise(n_channels: int) -> None:
    segments = np.random.default_rng(0).random((2, 1, 4), dtype=np.float32)
    channels = model_channels(LEAD_I, n_channels)
    expected = project_channels(segments, n_channels)
    assert np.array_equal(LEAD_SETS[3].lay_out(segments, channels), expected)


def test_sets_are_nested_and_the_most_leads_come_first() -> None:
    for more, fewer in itertools.pairwise(LEAD_SETS):
        assert set(fewer.leads) < set(more.leads)
    assert all_leads(LEAD_SETS[1:]).leads == LEAD_SETS[1].leads
    assert all_leads([LeadSet("x", ("V2", "I"))]).leads == ("I", "V2")
