"""Looks at another interpreter's fairseq-signals; started by file name, imports nothing of ours.

``python fairseq_probe_worker.py`` prints one JSON object as its last line. It must run where
almost nothing is installed, so each look stands alone and a failure is part of the answer.
"""

from __future__ import annotations

import importlib
import json
import platform
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "numpy", "omegaconf", "hydra", "transformers", "sklearn", "scipy")


def main() -> None:
    """Print what is there."""
    sys.path.pop(0)  # this file's folder, whose modules must not be taken for others
    versions = {"python": platform.python_version()}
    failures: dict[str, str] = {}
    for name in PACKAGES:
        _import(name, versions, failures)
    root = _folder_of("fairseq_signals")
    extension: list[str] = []
    if root is not None:
        _look_at_clone(root, versions)
        extension = [
            path.name for path in Path(root, "fairseq_signals", "data").glob("data_utils_fast*.*")
        ]
        _import("fairseq_signals", {}, failures)
    result = {
        "root": root,
        "cli": _folder_of("fairseq_cli"),
        "has_extension": any(name.endswith((".so", ".pyd")) for name in extension),
        "versions": versions,
        "failures": failures,
        "gpus": _gpus(versions),
    }
    print(json.dumps(result))  # noqa: T201


def _import(name: str, versions: dict[str, str], failures: dict[str, str]) -> None:
    try:
        module = importlib.import_module(name)
    except Exception as error:
        failures[name] = _one_line(error)
    else:
        versions[name] = str(getattr(module, "__version__", "unknown"))


def _folder_of(package: str) -> str | None:
    """Folder that a package stands in; the package is not imported."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return str(Path(spec.origin).parents[1])


def _look_at_clone(root: str, versions: dict[str, str]) -> None:
    path = Path(root, "fairseq_signals", "version.txt")
    versions["fairseq_signals"] = path.read_text().strip() if path.is_file() else "unknown"
    command = ["git", "-C", root, "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return
    versions["fairseq_signals commit"] = found.stdout.strip()


def _gpus(versions: dict[str, str]) -> list[str]:
    torch: Any = sys.modules.get("torch")
    if torch is None or "torch" not in versions:
        return []
    versions["cuda"] = str(torch.version.cuda)
    if not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(at) for at in range(torch.cuda.device_count())]


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:300]


if __name__ == "__main__":
    main()
