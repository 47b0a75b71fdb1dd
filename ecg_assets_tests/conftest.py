"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# No test asserts a time; hypothesis does unless it is told not to.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Here and in all that tests start: a test machine has few cores, two processes share them, and tiny
# tensors gain nothing from more threads. torch and NumPy read it when they are loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Folder with golden files of the reference systems and real recordings."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ECG_REFERENCE_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder}; set ECG_REFERENCE_DATA")
    return folder


@pytest.fixture
def quick_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory where there is room for it, and gone after the test; else one on the disk.

    What a run of Dagster stores in SQLite waits for the disk thousands of times.
    """
    if not _has_room(_MEMORY):
        yield tmp_path_factory.mktemp("quick")
        return
    with tempfile.TemporaryDirectory(
        dir=_MEMORY, prefix="ecg-assets-", ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


_MEMORY = Path("/dev/shm")


def _has_room(folder: Path) -> bool:
    """Tell whether a folder takes 2 GiB, and programs that tests write and start."""
    if not os.access(folder, os.W_OK):
        return False
    system = os.statvfs(folder)
    return system.f_bavail * system.f_frsize > 2 << 30 and not system.f_flag & os.ST_NOEXEC


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


def pytest_collection_finish() -> None:
    """Spare thousands of collected tests the search for garbage: they stay to the end."""
    gc.collect()
    gc.freeze()


class _ByFixture(LoadScopeScheduling):  # type: ignore[misc]
    def _split_scope(self, nodeid: str) -> str:
        path, _, test = nodeid.partition("::")
        file = Path(__file__).resolve().parents[1] / path
        is_of_defs = test and file.parent.name == "defs"
        uses_the_job = is_of_defs and "finished: SmallJob" in file.read_text("utf-8")
        return "finished" if uses_the_job else path
