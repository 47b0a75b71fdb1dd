"""One thread, and a small cohort of twelve-lead recordings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from ecg_assets.training.engine.data import TrainingData
from ecg_assets_tests.training.pretrain.toy_cohort import toy_cohort


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """A test machine has few cores, and tiny tensors gain nothing from more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def cohort() -> TrainingData:
    return toy_cohort(40)
