"""A package of somebody else's, as a page of the documentation has it."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

from ecg_assets_tests.test_readme import ROOT

FILE = re.compile(r"^`([\w/.]+)`[^\n]*:\n\n```\w+\n(.*?)```", re.MULTILINE | re.DOTALL)


def install_package(page: Path, site: Path) -> dict[str, str]:
    """Write a page's files, and what an installer would write of their entry points.

    Returns the environment of a process that has the package.
    """
    files = dict(FILE.findall(page.read_text(encoding="utf-8")))
    for name, text in files.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    project = tomllib.loads(files["pyproject.toml"])["project"]
    name, version = project["name"], project["version"]
    described = site / f"{name.replace('-', '_')}-{version}.dist-info"
    described.mkdir()
    metadata = f"Name: {name}\nVersion: {version}\n"
    (described / "METADATA").write_text(metadata, encoding="utf-8")
    lines = [
        "\n".join([f"[{group}]", *(f"{key} = {value}" for key, value in entries.items()), ""])
        for group, entries in project["entry-points"].items()
    ]
    (described / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}
