"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Folder with golden files of the reference systems and real recordings."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ECG_REFERENCE_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder}; set ECG_REFERENCE_DATA")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where processes share the tests, keep each file, and all users of `finished`, in one."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        group = "finished" if "finished" in fixtures else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))
