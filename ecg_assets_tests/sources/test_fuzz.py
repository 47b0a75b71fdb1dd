"""Damaged recordings: only `BadRecord`, bounded memory, no file outside the root."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ecg_assets_tests.sources import fuzz

N_CASES = 100
MOST_MIB = 1500  # wfdb holds some copies of the 64 M samples that a gap may announce


def test_damaged_recordings_end_in_bad_record_and_harm_nothing() -> None:
    """More of them, and other ones, by ``python -m ecg_assets_tests.sources.fuzz``."""
    printed = subprocess.run(
        [sys.executable, "-m", fuzz.__name__, str(N_CASES)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = json.loads(printed)
    assert set(found["undamaged"].values()) == {"read"}
    outcomes: dict[str, int] = found["outcomes"]
    assert sum(outcomes.values()) == N_CASES
    assert [name for name in outcomes if " " in name] == []  # a reason is one word
    assert outcomes["bad_header"] > 5 and outcomes["unreadable"] > 5
    assert 5 < outcomes["read"] < 0.7 * N_CASES
    assert found["outside"] == []
    assert not found["secret"]
    if found["mib"] is None:
        pytest.skip("memory is measured on Linux alone")
    assert found["mib"] < MOST_MIB
