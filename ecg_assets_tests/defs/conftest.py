"""One finished run of the whole job for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from ecg_assets_tests.defs.small_job import SmallJob


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallJob]:
    """Materialize the whole job on a small cohort; tests only look at it."""
    folder = tmp_path_factory.mktemp("finished")
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        job = SmallJob.at(folder, instance)
        job.run_to_manifests()
        job.train()
        job.evaluate(job.checkpoints[0])
        yield job
