"""Whether the search for garbage waits while much is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

BEFORE = """
import gc, dagster
searches = []
gc.callbacks.append(lambda phase, info: searches.append(info["generation"]))
"""
AFTER = """
assert gc.isenabled()
assert 2 not in searches, searches
assert len(gc.get_objects()) < gc.get_freeze_count() / 10, gc.get_freeze_count()
"""


@pytest.mark.parametrize(
    "loads",
    [
        "import ecg_assets.definitions",
        "from ecg_assets.defs.child import load_training; load_training('finetune')",
    ],
)
def test_what_is_loaded_is_not_looked_through_for_garbage(loads: str) -> None:
    subprocess.run([sys.executable, "-c", BEFORE + loads + AFTER], check=True)


def test_the_search_stays_off_where_it_was_off() -> None:
    program = (
        "import gc\nfrom ecg_assets.defs.loading import loading\n"
        "gc.disable()\nwith loading(): pass\nassert not gc.isenabled()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
