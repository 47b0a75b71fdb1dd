"""The main job end to end: ``python -m ecg_assets.defs.demo``, or ``make demo``.

It runs the same jobs that the UI offers, on the instance in DAGSTER_HOME, and skips
what is stored and current. The source is ECG_SOURCE: synthetic unless you set it.
"""

from __future__ import annotations

import argparse
import os
import sys

from ecg_assets.defs.command_line import dagster_home, run_command
from ecg_assets.defs.instance import open_instance
from ecg_assets.defs.settings import Settings
from ecg_assets.sources.synthetic.made import list_made, write_made
from ecg_assets.storage import replace_folder

N_MADE = 500
"""Recordings of a made dataset."""


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
    use_made_dataset()
    with open_instance() as instance:
        Demo(instance, Settings(), change_source=options.change_source).run()
    return 0


def use_made_dataset() -> None:
    """Make the dataset of a protocol where none is given, and say that it is made."""
    settings = Settings()
    if not settings.protocol or settings.raw_root or settings.dataset.is_made_here:
        return
    if settings.source not in list_made():
        return
    root = settings.store.raw / "made" / settings.source
    if not root.is_dir():
        with replace_folder(root) as temporary:
            write_made(settings.source, temporary, n_records=N_MADE)
    sys.stdout.write(
        f"ECG_RAW_ROOT is not set: a made {settings.dataset.title} in {root} stands for it. Its "
        "recordings are synthetic, and numbers of it say nothing of ECGs.\n"
    )
    sys.stdout.flush()
    os.environ["ECG_RAW_ROOT"] = str(root)


if __name__ == "__main__":
    sys.exit(run_command(main))
