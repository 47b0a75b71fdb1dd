"""A small cohort of twelve-lead recordings."""

from __future__ import annotations

import pytest

from ecg_assets.training.engine.data import TrainingData
from ecg_assets_tests.training.pretrain.toy_cohort import toy_cohort


@pytest.fixture(scope="session")
def cohort() -> TrainingData:
    return toy_cohort(40)
