"""All cells in one table and one picture, the missing ones by name."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ecg_assets.evaluation import compare_predictions, evaluate_checkpoint
from ecg_assets.evaluation.matrix.design import CELL_METHODS, Cell
from ecg_assets.evaluation.matrix.stored import (
    CellFacts,
    MissingCell,
    StoredCell,
    read_cell,
    write_cell,
)
from ecg_assets.evaluation.matrix.table import EVALUATION_MATRIX, draw_matrix, tabulate_matrix
from ecg_assets.evaluation.sets import EvaluationSet, Part
from ecg_assets.models.predictions import Predictions
from ecg_assets_tests.evaluation.simulation import (
    as_validation,
    blur,
    simulate_predictions,
)

GOOD = Cell("good", "full", "ptb-xl", "some")
NOISY = Cell("noisy", "logistic-regression", "ptb-xl", "some")
ABSENT = Cell("good", "logistic-regression", "ptb-xl", "some")
LEFT_OUT = "No code names it."


def _stored(cell: Cell, predictions: Predictions) -> StoredCell:
    result = evaluate_checkpoint(
        as_validation(predictions),
        predictions,
        checkpoint=cell.row,
        evaluation_set=EvaluationSet(cell.source, Part.TEST),
        signal_spec={},
        lineage={},
        n_resamples=40,
        unmapped={"label 2": LEFT_OUT},
    )
    facts = CellFacts(cell, "identity", "random weights, seed 1", "f" * 64, "", {"n": 1})
    return StoredCell(facts, result, predictions)


@pytest.fixture(scope="module")
def cells() -> dict[Cell, StoredCell | MissingCell]:
    """Evaluate the same recordings twice, once with noise, and leave one cell out."""
    predictions = simulate_predictions(300, seed=4)
    return {
        ABSENT: MissingCell("not evaluated yet", "random weights, seed 1"),
        NOISY: _stored(NOISY, blur(predictions, noise=0.4)),
        GOOD: _stored(GOOD, predictions),
    }


@pytest.fixture(scope="module")
def table(cells: dict[Cell, StoredCell | MissingCell]) -> pd.DataFrame:
    """Tabulate them."""
    return tabulate_matrix(cells, n_resamples=40, seed=0)


def _row(table: pd.DataFrame, cell: Cell, label: str, metric: str) -> pd.Series:
    is_row = (table["label"] == label) & (table["metric"] == metric)
    for name in ("model", "method", "source", "label_set"):
        is_row &= table[name] == getattr(cell, name)
    (row,) = [row for _, row in table[is_row].iterrows()]
    return row


def test_table_is_as_declared_and_each_number_that_of_its_cell(
    table: pd.DataFrame, cells: dict[Cell, StoredCell | MissingCell]
) -> None:
    assert EVALUATION_MATRIX.from_pandas(table).num_rows == 2 + 2 * 2 * 4
    for cell in (GOOD, NOISY):
        stored = cells[cell]
        assert isinstance(stored, StoredCell)
        macro = _row(table, cell, "macro", "auprc")
        assert [macro[name] for name in ("value", "low", "high")] == [
            stored.result.macro[f"auprc{end}"] for end in ("", "_low", "_high")
        ]
        assert _row(table, cell, "label 2", "auroc")["undefined"] == LEFT_OUT


def test_a_missing_cell_has_a_row_with_its_reason_and_no_number(table: pd.DataFrame) -> None:
    for metric in ("auroc", "auprc"):
        row = _row(table, ABSENT, "macro", metric)
        assert (row["verdict"], row["undefined"]) == ("missing", "not evaluated yet")
        assert np.isnan(row["value"])


def test_differences_are_the_paired_ones_from_the_best_of_the_column(
    table: pd.DataFrame, cells: dict[Cell, StoredCell | MissingCell]
) -> None:
    noisy, good = cells[NOISY], cells[GOOD]
    assert isinstance(noisy, StoredCell)
    assert isinstance(good, StoredCell)
    pair = compare_predictions(
        noisy.predictions,
        good.predictions,
        n_resamples=40,
        seed=0,
        labels=["label 0", "label 1"],
    )
    expected = pair[(pair["label"] == "macro") & (pair["metric"] == "auroc")].iloc[0]
    found = _row(table, NOISY, "macro", "auroc")
    assert found["difference"] == expected["difference"]
    assert found["difference_low"] == expected["low"]
    assert found["verdict"] == "worse"
    assert set(table.loc[table["method"] == "full", "verdict"]) == {"best"}
    assert _row(table, NOISY, "label 2", "auroc")["verdict"] == "not compared"


def test_cells_of_few_patients_have_no_verdict_and_none_is_best() -> None:
    predictions = simulate_predictions(120, seed=4)
    predictions.subject_ids[:] = (np.arange(120) % 2).astype(str)
    cells = {
        NOISY: _stored(NOISY, blur(predictions, noise=0.4)),
        GOOD: _stored(GOOD, predictions),
    }
    table = tabulate_matrix(cells, n_resamples=40, seed=0)
    assert set(table["verdict"]) == {"fewer than 30 patients"}
    assert table[["low", "high", "difference"]].isna().all(axis=None)
    row = _row(table, GOOD, "macro", "auroc")
    assert row["undefined"].endswith("no interval: 2 patients, fewer than 30")


def test_cells_of_other_labels_are_not_compared(
    cells: dict[Cell, StoredCell | MissingCell],
) -> None:
    good = cells[GOOD]
    assert isinstance(good, StoredCell)
    flipped = replace(good.predictions, target=(1 - good.predictions.target).astype(np.uint8))
    other = replace(good, predictions=flipped)
    table = tabulate_matrix({GOOD: good, NOISY: other}, n_resamples=10, seed=0)
    assert set(table.loc[table["method"] == "logistic-regression", "verdict"]) <= {
        "not compared",
        "best",
    }


def test_a_cell_is_read_as_it_was_written(
    tmp_path: Path, cells: dict[Cell, StoredCell | MissingCell]
) -> None:
    good = cells[GOOD]
    assert isinstance(good, StoredCell)
    write_cell(tmp_path, good)
    read = read_cell(tmp_path, GOOD)
    assert read is not None
    assert read.facts == good.facts
    assert read.result.to_json() == good.result.to_json()
    np.testing.assert_array_equal(read.predictions.score, good.predictions.score)
    assert read_cell(tmp_path, NOISY) is None


def test_a_cell_of_an_earlier_version_is_found_by_its_name_of_now(
    tmp_path: Path, cells: dict[Cell, StoredCell | MissingCell]
) -> None:
    noisy = cells[NOISY]
    assert isinstance(noisy, StoredCell)
    assert NOISY.former.method == "linear-probe"
    write_cell(tmp_path, replace(noisy, facts=replace(noisy.facts, cell=NOISY.former)))
    read = read_cell(tmp_path, NOISY)
    assert read is not None
    assert read.facts == noisy.facts
    write_cell(tmp_path, replace(noisy, facts=replace(noisy.facts, weights="newer")))
    newer = read_cell(tmp_path, NOISY)
    assert newer is not None
    assert newer.facts.weights == "newer"


def test_picture_has_a_panel_a_column_and_is_the_same_for_the_same_numbers(
    table: pd.DataFrame,
) -> None:
    wide = [table.assign(source=name) for name in ("ptb-xl", "code-15", "mimic", "folder")]
    one, four = draw_matrix(table), draw_matrix(pd.concat(wide, ignore_index=True))
    assert draw_matrix(table) == one
    sizes = [Image.open(io.BytesIO(png)).size for png in (one, four)]
    assert sizes[1][0] > 1.5 * sizes[0][0]
    assert sizes[1][1] > 1.5 * sizes[0][1]


def test_picture_of_missing_cells_alone_can_be_drawn() -> None:
    absent = {
        Cell("small", method, "ptb-xl", "some"): MissingCell("not evaluated yet", "random")
        for method in CELL_METHODS
    }
    assert draw_matrix(tabulate_matrix(absent, n_resamples=10, seed=0))
