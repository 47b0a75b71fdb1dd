"""Which cells an evaluation matrix has: models and methods by sources and label sets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from ecg_assets.errors import SettingsError

LINEAR_PROBE, FULL = "linear-probe", "full"
CELL_METHODS = (LINEAR_PROBE, FULL)
FIXED_FIELDS = ("method", "objective", "reports_test")
"""Fields of a recipe that are the matrix's own: otherwise its cells would not compare."""

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.))*")


@dataclass(frozen=True)
class MatrixModel:
    """One model of a matrix.

    Attributes
    ----------
    name
        What the matrix calls it.
    preset
        Name of its recipe, which also names its family.
    checkpoint
        Path of a checkpoint folder or a published file; empty: random weights.
    """

    name: str
    preset: str
    checkpoint: str = ""


@dataclass(frozen=True)
class Cell:
    """One combination that is trained and evaluated.

    >>> cell = Cell("small", "full", "ptb-xl", "ecg-fm-17")
    >>> cell.row, cell.column
    ('small/full', 'ptb-xl/ecg-fm-17')
    """

    model: str
    method: str
    source: str
    label_set: str

    @property
    def row(self) -> str:
        """Name of its model and method."""
        return f"{self.model}/{self.method}"

    @property
    def column(self) -> str:
        """Name of its source and label set."""
        return f"{self.source}/{self.label_set}"


@dataclass(frozen=True)
class MatrixDesign:
    """All models, methods, sources and label sets; each combination of them is a cell.

    Attributes
    ----------
    models
        With distinct names.
    sources
        Names of datasets whose results are stored.
    label_sets
        By the name that the matrix shows: what `load_label_set` takes.
    methods
        Out of `CELL_METHODS`.
    changes
        Fields of every recipe that differ from its preset's.
    """

    models: tuple[MatrixModel, ...]
    sources: tuple[str, ...]
    label_sets: Mapping[str, str]
    methods: tuple[str, ...] = CELL_METHODS
    changes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [model.name for model in self.models]
        _require_distinct("models", names)
        _require_distinct("sources", self.sources)
        _require_distinct("methods", self.methods)
        for key, found in (("models", names), ("label_sets", self.label_sets)):
            wrong = sorted(name for name in found if not is_name(name))
            if wrong:
                raise SettingsError(
                    f"{key}: {wrong} cannot name partitions and files; allowed: letters, digits, "
                    "'.', '_' and '-', a letter or digit first, no two dots in a row."
                )
        fixed = sorted(set(self.changes) & set(FIXED_FIELDS))
        if fixed:
            raise SettingsError(f"changes: {fixed} are the same in all cells; leave them out.")

    @property
    def rows(self) -> list[str]:
        """Each model with each method, ``model/method``."""
        return [f"{model.name}/{method}" for model, method in product(self.models, self.methods)]

    @property
    def columns(self) -> list[str]:
        """Each source with each label set, ``source/label set``."""
        return [f"{source}/{name}" for source, name in product(self.sources, self.label_sets)]

    @property
    def cells(self) -> list[Cell]:
        """All cells, column by column."""
        columns = product(self.sources, self.label_sets)
        return [
            Cell(model.name, method, source, name)
            for source, name in columns
            for model, method in product(self.models, self.methods)
        ]

    def find_model(self, name: str) -> MatrixModel:
        """Give the model of a name; raise `SettingsError` where the matrix has none."""
        for model in self.models:
            if model.name == name:
                return model
        known = ", ".join(model.name for model in self.models)
        raise SettingsError(f"The matrix has no model {name!r}; it has {known}. See ECG_MATRIX.")

    def find_cell(self, row: str, column: str) -> Cell:
        """Give the cell of a row and a column; raise `SettingsError` where there is none."""
        for cell in self.cells:
            if (cell.row, cell.column) == (row, column):
                return cell
        raise SettingsError(
            f"The matrix has no cell {row} by {column}; its rows are {self.rows}, its columns "
            f"{self.columns}. See ECG_MATRIX."
        )


def is_name(text: str) -> bool:
    """Tell whether a text can name a model or a label set, its partitions and its files.

    >>> is_name("ecg-fm"), is_name("a/b"), is_name("..")
    (True, False, False)
    """
    return _NAME.fullmatch(text) is not None


def _require_distinct(key: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        raise SettingsError(f"{key}: {f'{twice} stand twice' if twice else 'there is none'}.")
