"""``python -m ecg_assets.sources.synthetic.made NAME FOLDER``: write a made dataset."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from ecg_assets.errors import SettingsError
from ecg_assets.sources.synthetic.made import list_made, write_made


def main(arguments: Sequence[str]) -> str:
    """Run the command and return what it says."""
    parser = argparse.ArgumentParser(
        prog="python -m ecg_assets.sources.synthetic.made",
        description="Write a small made dataset in a real one's files. Nothing is overwritten.",
    )
    parser.add_argument("name", choices=list_made(), help="what it takes the form of")
    parser.add_argument("folder", type=Path, help="new or empty folder")
    parser.add_argument("--records", type=int, help="recordings; by default a small number")
    parser.add_argument("--seed", type=int, default=0, help="of every random choice (0)")
    chosen = parser.parse_args(arguments)
    root = chosen.folder.expanduser().resolve()
    try:
        write_made(chosen.name, root, n_records=chosen.records, seed=chosen.seed)
    except (SettingsError, OSError) as error:
        parser.error(str(error))
    settings = f"ECG_SOURCE={chosen.name} ECG_RAW_ROOT={shlex.quote(str(root))}"
    return f"Written to {root}.\nTo use it: export {settings}"


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1:]) + "\n")
