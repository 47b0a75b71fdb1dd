"""Executes the notebook of the documentation: ``python -m ecg_assets_tests.notebook`` stores it."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
VARIES = "numbers-vary"
"""Tag of a cell whose numbers come of a training, which another machine rounds otherwise."""


def execute(path: Path, work: Path) -> nbformat.NotebookNode:
    """Execute a notebook in a folder, in a kernel of this interpreter; raise what a cell raises."""
    notebook = copy.deepcopy(nbformat.read(path, as_version=4))
    kernel = {"argv": ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]}
    folder = work / "jupyter" / "kernels" / "python3"
    folder.mkdir(parents=True)
    described = {**kernel, "display_name": "Python 3", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(described), encoding="utf-8")
    settings = {
        "PYTHONPATH": str(ROOT),
        "JUPYTER_PATH": str(work / "jupyter"),
        "IPYTHONDIR": str(work),
        "JUPYTER_PREFER_ENV_PATH": "0",
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
    }
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        NotebookClient(
            notebook,
            timeout=300,
            kernel_name="python3",
            resources={"metadata": {"path": str(work)}},
        ).execute()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return notebook


def outputs(notebook: nbformat.NotebookNode) -> list[list[dict[str, Any]]]:
    """What is compared and stored of each cell: what it shows, not what it tells of itself."""
    return [_merge(map(_keep, cell.get("outputs", []))) for cell in notebook.cells]


def _merge(shown: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what goes to stderr, and join what a kernel sends in pieces."""
    found: list[dict[str, Any]] = []
    for one in shown:
        if one.get("name") == "stderr":
            continue
        if found and one["output_type"] == found[-1]["output_type"] == "stream":
            found[-1]["text"] += one["text"]
        else:
            found.append(one)
    return found


def _keep(output: Any) -> dict[str, Any]:
    if output.output_type == "stream":
        return {"output_type": "stream", "name": output.name, "text": output.text}
    data = dict(output.data)
    if "text/html" in data:
        data["text/html"] = re.sub(r"<style.*?</style>\n?", "", data["text/html"], flags=re.S)
    if "image/png" in data:
        data["text/plain"] = "<Figure>"
    return {"output_type": "display_data", "data": data, "metadata": {}}


def main() -> None:
    """Execute the notebook and store what it shows."""
    import tempfile

    with tempfile.TemporaryDirectory() as work:
        found = execute(NOTEBOOK, Path(work))
    for cell, shown in zip(found.cells, outputs(found), strict=True):
        if cell.cell_type == "code":
            cell.outputs = [nbformat.from_dict(one) for one in shown]
            cell.execution_count = None
            cell.metadata.pop("execution", None)
    for name in set(found.metadata) - {"kernelspec"}:
        del found.metadata[name]
    nbformat.write(found, NOTEBOOK)


if __name__ == "__main__":
    main()
