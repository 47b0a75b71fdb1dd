"""The notebook of the documentation runs, and shows what is stored in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

import ecg_assets
from ecg_assets_tests.notebook import NOTEBOOK, VARIES, execute, outputs

NUMBER = re.compile(r"-?\d+\.\d+|-?\d+|nan|NaN")


def _shown(output: dict[str, Any], *, numbers_vary: bool) -> dict[str, str]:
    """Give what is compared: texts, and whether there is a picture."""
    texts = output.get("data", {"text/plain": output.get("text", "")})
    found = {kind: "" if kind.startswith("image") else str(text) for kind, text in texts.items()}
    if numbers_vary:
        # A training gives other digits on another machine, and so columns of other widths.
        found = {k: re.sub(r"[\s-]+", " ", NUMBER.sub("#", text)) for k, text in found.items()}
    return found


def test_every_cell_runs_and_shows_what_is_stored(tmp_path: Path) -> None:
    stored = nbformat.read(NOTEBOOK, as_version=4)
    found = execute(NOTEBOOK, tmp_path)
    pairs = zip(stored.cells, outputs(stored), outputs(found), strict=True)
    for cell, expected, shown in pairs:
        numbers_vary = VARIES in cell.metadata.get("tags", [])
        assert [_shown(one, numbers_vary=numbers_vary) for one in shown] == [
            _shown(one, numbers_vary=numbers_vary) for one in expected
        ], cell.source


def test_the_notebook_is_small_of_this_version_and_names_no_folder_of_a_machine() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    (version,) = [
        shown["data"]["text/plain"]
        for cell, of_cell in zip(notebook.cells, outputs(notebook), strict=True)
        for shown in of_cell
        if "ecg_assets.__version__" in cell.source
    ]
    assert version == repr(ecg_assets.__version__)
    assert not re.search(r"/(tmp|home|work|root|Users)/", text)
    assert len(text) < 200_000
    pictures = [one for of_cell in outputs(notebook) for one in of_cell if "image/png" in str(one)]
    assert pictures


@pytest.mark.parametrize(
    "name", ["open_source", "open_shards", "from_pretrained", "evaluate", "compare"]
)
def test_the_notebook_calls_what_people_come_for(name: str) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert f"ecg_assets.{name}(" in code
