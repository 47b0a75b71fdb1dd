"""Fixtures of the tests of build."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ecg_assets_tests.build.cohort import Cohort, make_cohort


@pytest.fixture(scope="session")
def untouched_cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """The cohort as it was written; tests take a copy."""
    return make_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture
def cohort(untouched_cohort: Cohort, tmp_path: Path) -> Cohort:
    """A copy of the cohort that the test may change."""
    folder = tmp_path / "cohort"
    shutil.copytree(untouched_cohort.folder, folder)
    return replace(untouched_cohort, folder=folder)
