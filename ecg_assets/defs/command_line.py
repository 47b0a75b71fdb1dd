"""What our commands share: settings in .env, the instance's folder, an error's sentence last."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from dotenv import dotenv_values, load_dotenv

from ecg_assets.errors import EcgAssetsError

ENV_FILE = Path(".env")
"""In the current folder, where Dagster's own commands look for it, too."""


def run_command(command: Callable[[], int]) -> int:
    """Run a command with the settings of .env; an error of ours ends it with its sentence.

    Returns
    -------
    int
        Status of the process.
    """
    read_env_file()
    try:
        return command()
    except EcgAssetsError as error:
        sentence = str(error)
    except KeyboardInterrupt:
        sentence = "Cancelled. What is finished is kept: the same command goes on from there."
    sys.stderr.write(f"\n{sentence}\n")
    return 1


def read_env_file() -> None:
    """Set what .env says, which counts before the shell, as in Dagster's own commands."""
    said = {name: value for name, value in dotenv_values(ENV_FILE).items() if value is not None}
    other = [name for name in said if os.environ.get(name, said[name]) != said[name]]
    if found := [name for name in other if name.startswith("ECG_")]:
        sys.stderr.write(f".env counts, not the shell: {', '.join(found)}\n")
    load_dotenv(ENV_FILE, override=True)


def dagster_home() -> Path:
    """Make the instance's folder: DAGSTER_HOME, or dagster_home in the current folder."""
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(Path("dagster_home").resolve())))
    home.mkdir(parents=True, exist_ok=True)
    return home
