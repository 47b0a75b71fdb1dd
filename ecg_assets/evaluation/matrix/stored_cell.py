"""An evaluated cell at rest: its result, its predictions, and what it was made from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ecg_assets.errors import SchemaError
from ecg_assets.evaluation.matrix.design import Cell
from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.models.predictions import Predictions
from ecg_assets.storage import replace_folder

RESULT, PREDICTIONS, FACTS = "result.json", "predictions.parquet", "cell.json"


@dataclass(frozen=True)
class CellFacts:
    """What a cell's numbers are of.

    Attributes
    ----------
    cell
        The combination.
    identity
        Fingerprint of all that the design and the settings ask of it: another one is another
        cell of the same name.
    weights
        What the model started from, in words.
    fingerprint
        Of the weights that scored: the frozen encoder's or the fine-tuned checkpoint's.
    seen_before
        What earlier training saw of the test patients, in words; empty for random weights.
    details
        More about the training, as JSON values.
    """

    cell: Cell
    identity: str
    weights: str
    fingerprint: str
    seen_before: str
    details: dict[str, Any]


@dataclass(frozen=True)
class StoredCell:
    """An evaluated cell.

    Attributes
    ----------
    facts
        What its numbers are of.
    result
        Metrics with intervals of all labels of the label set.
    predictions
        Scores of the test split, of the labels that were trained.
    """

    facts: CellFacts
    result: EvaluationResult
    predictions: Predictions


@dataclass(frozen=True)
class MissingCell:
    """A cell without numbers.

    Attributes
    ----------
    reason
        Why there are none.
    weights
        What the model would start from, in words.
    """

    reason: str
    weights: str


def cell_folder(root: Path, cell: Cell) -> Path:
    """Folder of a cell below that of all cells."""
    return root / cell.source / cell.label_set / cell.model / cell.method


def write_cell(root: Path, stored: StoredCell) -> Path:
    """Write a cell's files and give their folder; it is replaced as a whole."""
    folder = cell_folder(root, stored.facts.cell)
    with replace_folder(folder) as temporary:
        _write_json(temporary / RESULT, stored.result.to_json())
        _write_json(temporary / FACTS, asdict(stored.facts))
        table = stored.predictions.to_table()
        pq.write_table(table, temporary / PREDICTIONS, compression="zstd")
    return folder


def read_cell(root: Path, cell: Cell) -> StoredCell | None:
    """Read a cell; None where it was not evaluated.

    Raises
    ------
    SchemaError
        When its files are of another version.
    """
    folder = cell_folder(root, cell)
    if not (folder / FACTS).is_file():
        return None
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    try:
        read = CellFacts(**{**facts, "cell": Cell(**facts["cell"])})
    except TypeError as error:
        raise SchemaError(
            f"{folder / FACTS} was written by another version ({error}). Materialize this "
            "partition of matrix_cell again."
        ) from error
    predictions = Predictions.from_table(pq.read_table(folder / PREDICTIONS))
    return StoredCell(read, EvaluationResult.from_json(result), predictions)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
