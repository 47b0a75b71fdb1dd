"""The page, the CSV files and the LaTeX table of a protocol."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from ecg_assets.errors import ReportError
from ecg_assets.models.predictions import Predictions
from ecg_assets.protocols.cells import StoredCell
from ecg_assets.protocols.page import (
    COMPARISONS,
    DOCUMENT,
    LATEX,
    PAGE,
    TABLE,
    build_document,
    render,
    to_latex,
    write_page,
)
from ecg_assets.protocols.protocol import Protocol, Rules
from ecg_assets.protocols.table import Cells, ComparedModels, compare, tabulate
from ecg_assets_tests.protocols.made_cells import make_cells, make_protocol

Made = tuple[Protocol, Cells, pd.DataFrame, list[ComparedModels]]


@pytest.fixture(scope="module")
def made() -> Made:
    protocol = make_protocol(about="50 % of this is made: a_b & c, µV ≥ 1.")
    cells = make_cells(protocol, {"good": 3.0, "fair": 1.5, "poor": 0.5})
    table = tabulate(protocol, cells, n_resamples=50, seed=1)
    return (
        protocol,
        cells,
        table,
        compare(protocol, cells, n_resamples=50, n_permutations=50, seed=1),
    )


def test_every_number_of_the_page_stands_in_its_document(made: Made, tmp_path: Path) -> None:
    """Render it for all cells, for none, and see a number changed be refused."""
    files = write_page(tmp_path, *made)
    html = files.page.read_text()
    document = json.loads((tmp_path / DOCUMENT).read_text())
    for row in document["rows"]:
        assert f'value="{json.dumps(row["value"])}"' in html
    assert html.count("In its pre-training.") == 2
    assert "outside our interval" in html
    none = make_cells(made[0], {})
    empty = tabulate(made[0], none, n_resamples=0, seed=1)
    page = render(build_document(made[0], none, empty, []), {})
    assert "24 cells are missing" in re.sub(r"<[^>]+>", "", page)
    wrong = json.loads(json.dumps(document))
    wrong["tasks"][0]["note"] = ""
    wrong["protocol"]["modes"]["full"]["method"] = 0.5
    with pytest.raises(ReportError, match="numbers that its"):
        render(wrong, {"A picture of 3 things": b""})


def test_a_cell_that_one_of_the_rules_lacks_is_on_the_page(tmp_path: Path) -> None:
    protocol = make_protocol(seeds=[1, 2])
    cells = make_cells(protocol, {"good": 3.0, "fair": 1.5, "poor": 0.5})
    lacking = next(iter(cells))
    cells[lacking] = make_cells(protocol, {})[lacking]
    table = tabulate(protocol, cells, n_resamples=20, seed=1)
    files = write_page(tmp_path, protocol, cells, table, [])
    assert "Seed 1 is missing: nobody trained it." in files.page.read_text()


def test_the_csv_files_hold_both_tables(made: Made, tmp_path: Path) -> None:
    write_page(tmp_path, *made)
    table = pd.read_csv(tmp_path / TABLE)
    assert len(table) == len(made[2]) == 24
    assert table["value"].tolist() == pytest.approx(made[2]["value"].tolist())
    assert len(pd.read_csv(tmp_path / COMPARISONS)) == 12
    assert {path.name for path in tmp_path.iterdir()} == {PAGE, TABLE, COMPARISONS, LATEX, DOCUMENT}


def test_other_numbers_of_recordings_by_the_papers_rules_are_said(tmp_path: Path) -> None:
    """Recordings without a label are dropped as published, and negatives corrected."""
    protocol = make_protocol(models={"good": {"preset": "tiny", "from_scratch": True}})
    cells = make_cells(protocol, {"good": 3.0})
    for key, stored in cells.items():
        if key[1] is Rules.AS_PUBLISHED and isinstance(stored, StoredCell):
            p = stored.predictions
            first = Predictions(
                p.record_ids[:80], p.subject_ids[:80], p.vocabulary, p.target[:80], p.score[:80]
            )
            cells[key] = replace(stored, predictions=first)
    table = tabulate(protocol, cells, n_resamples=0, seed=1)
    files = write_page(tmp_path, protocol, cells, table, [])
    text = re.sub(r"<[^>]+>", "", files.page.read_text())
    assert text.count("As published 80 recordings are tested.") == 4


def test_latex_has_each_cell_and_no_sign_of_its_own(made: Made) -> None:
    latex = to_latex(made[0], made[2])
    assert latex.count(r"\begin{table}") == 2
    rows = [line for line in latex.splitlines() if line.endswith(r"\\") and line[0] != "M"]
    assert len(rows) == 12
    assert all(line.count("&") == 4 for line in rows)
    assert "0.900" in next(line for line in rows if line.startswith("good & full"))


def test_latex_says_whose_intervals_are_of_what() -> None:
    interval = {"unit": "recording", "percent": 90, "n_resamples": 10}
    protocol = make_protocol(reference="two\nlines", as_published={"interval": interval})
    table = tabulate(protocol, make_cells(protocol, {"good": 3.0}), n_resamples=20, seed=1)
    latex = to_latex(protocol, table)
    assert "as published with 90 \\% intervals over recordings" in latex
    assert "corrected with 95 \\% intervals over patients" in latex
    assert "% small: two lines\n" in latex


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_latex_compiles(tmp_path: Path) -> None:
    models = {"a_b & 50% #1 {x} ~^\\": 3.0}
    entry = {"preset": "tiny", "from_scratch": True}
    protocol = make_protocol(
        title="a_b & 50% #1 {x} ~^\\",
        models={"plain": entry},
        published=[],
    )
    protocol = protocol.changed(
        tasks={
            name: task.changed(title=next(iter(models)) + " – ≥ µ −")
            for name, task in protocol.tasks.items()
        }
    )
    table = tabulate(protocol, make_cells(protocol, {"plain": 1.0}), n_resamples=20, seed=1)
    body = to_latex(protocol, table)
    (tmp_path / "table.tex").write_text(
        "\\documentclass{article}\n\\usepackage{booktabs,textcomp}\n\\begin{document}\n"
        f"{body}\n\\end{{document}}\n"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "table.pdf").stat().st_size > 1000
