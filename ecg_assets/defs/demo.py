"""The main job end to end: ``python -m ecg_assets.defs.demo``, or ``make demo``.

It runs the same jobs that the UI offers, on the instance in DAGSTER_HOME, and skips
what is stored and current. The source is ECG_SOURCE: synthetic unless you set it.
"""

from __future__ import annotations

import argparse
import sys

import dagster as dg

from ecg_assets.defs.command_line import dagster_home, run_command
from ecg_assets.defs.settings import Settings


def main() -> int:
    """Run the demo on the instance in DAGSTER_HOME."""
    # Its partitions follow settings of the code location, which .env may give.
    from ecg_assets.defs.demo_run import Demo

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--change-source",
        action="store_true",
        help="let ECG_SOURCE take the place of the dataset that the instance holds",
    )
    options = parser.parse_args()
    dagster_home()
    with dg.DagsterInstance.get() as instance:
        Demo(instance, Settings(), change_source=options.change_source).run()
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
