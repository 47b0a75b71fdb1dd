"""Which code made a result: the commit of the checkout, and versions of packages."""

from __future__ import annotations

import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import ecg_assets

_PACKAGES = (
    "ecg-assets",
    "torch",
    "transformers",
    "accelerate",
    "peft",
    "safetensors",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "scikit-learn",
)


def git_commit() -> str | None:
    """Commit of the checkout that this package is run from, ``-dirty`` with local changes.

    None when the package is not in a git checkout, or git is not there.
    """
    folder = Path(ecg_assets.__file__).parent
    describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    # An installed copy may stand inside an unrelated checkout, which does not track it.
    if _git(folder, ["ls-files", "--error-unmatch", "__init__.py"]) is None:
        return None
    return _git(folder, describe)


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages behind a result, those that are installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):  # an optional one
            found[name] = version(name)
    return found


def _git(folder: Path, command: list[str]) -> str | None:
    """Output of a git command, or None where it fails."""
    try:
        found = subprocess.run(
            ["git", *command], cwd=folder, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip() or None
