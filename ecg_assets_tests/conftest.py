"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# No test asserts a time; hypothesis does unless it is told not to.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Folder with golden files of the reference systems and real recordings."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ECG_REFERENCE_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder}; set ECG_REFERENCE_DATA")
    return folder


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Where processes share the tests: each file, and all users of `finished`, stay in one.

    Those users come first. They are few and slow: taken last, as the smallest groups are by
    default, they would keep one process busy long after the other has ended.
    """
    config.option.loadscopereorder = False
    return _ByFixture(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the users of `finished` first, then what else stands in `defs`."""
    items.sort(
        key=lambda item: (
            "finished" not in getattr(item, "fixturenames", ()),
            item.path.parent.name != "defs",
        )
    )


class _ByFixture(LoadScopeScheduling):  # type: ignore[misc]
    def _split_scope(self, nodeid: str) -> str:
        path, _, test = nodeid.partition("::")
        file = Path(__file__).resolve().parents[1] / path
        is_of_defs = test and file.parent.name == "defs"
        uses_the_job = is_of_defs and "finished: SmallJob" in file.read_text("utf-8")
        return "finished" if uses_the_job else path
