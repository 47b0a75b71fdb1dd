"""A small asset that computes by ECG_LAUNCH; ``python -m ecg_assets_tests.defs.launched FOLDER N``.

It imports little, so that tests of how children are started and ended need no second for it.
"""

import sys
import time
from pathlib import Path

import dagster as dg
from dagster import AssetExecutionContext

from ecg_assets.defs.computing import Report
from ecg_assets.defs.resources import Trainer
from ecg_assets.defs.settings import Settings
from ecg_assets.errors import EcgAssetsError


def double(report: Report, number: int) -> int:
    """Stand for what computes; of 0 it takes ten minutes."""
    report("doubling")
    if number < 0:
        raise EcgAssetsError("No negative numbers here.")
    if number == 0:
        time.sleep(600)
    return 2 * number


@dg.asset
def doubled(
    context: AssetExecutionContext, settings: Settings, trainer: Trainer
) -> dg.MaterializeResult[int]:
    """Double the number that the run's tag names."""
    number = trainer.computing(context, settings)(double, int(context.run.tags["number"]))
    return dg.MaterializeResult(value=number)


def run_double(folder: Path, trainer: Trainer, number: int = 4) -> int:
    """Materialize it with results below a folder."""
    result = dg.materialize(
        [doubled],
        resources={"settings": Settings(data_dir=str(folder)), "trainer": trainer},
        tags={"number": str(number)},
    )
    value: int = result.output_for_node("doubled")
    return value


if __name__ == "__main__":
    run_double(Path(sys.argv[1]), Trainer(), int(sys.argv[2]))
