"""Which cells an evaluation matrix has: models and methods by sources and label sets."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from ecg_assets.errors import CheckpointError, SettingsError
from ecg_assets.labels.label_set import OWN_SET, shipped_label_sets
from ecg_assets.models.hub import HubName, is_hub_name
from ecg_assets.yaml_file import read_yaml

LOGISTIC_REGRESSION, FULL = "logistic-regression", "full"
ATTENTION_PROBE = "attention-probe"
CELL_METHODS = (LOGISTIC_REGRESSION, FULL)
"""Methods of a design that names none."""
ALL_METHODS = (*CELL_METHODS, ATTENTION_PROBE)
FORMER_METHODS = {LOGISTIC_REGRESSION: "linear-probe"}
"""What a method is called in designs and cells of earlier versions; fine-tuning has a method of
that name, which is another one."""
FIXED_FIELDS = ("method", "objective", "reports_test", "random_encoder")
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
        Path of a checkpoint folder or a published file, or hf:owner/name[:file]; empty: random
        weights.
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
    def former(self) -> Cell:
        """The same cell as an earlier version named it."""
        return replace(self, method=FORMER_METHODS.get(self.method, self.method))

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
        Out of `ALL_METHODS`.
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


# The design of a matrix as a user writes it: a small YAML file.


_KEYS = ("models", "sources", "label_sets", "methods", "changes")
_MODEL_KEYS = ("preset", "checkpoint")


def read_design(
    path: Path,
    *,
    presets: Collection[str],
    sources: Collection[str],
    recipe_fields: Collection[str],
) -> MatrixDesign:
    """Read a design; paths in it are relative to its folder.

    Parameters
    ----------
    path
        A YAML file with ``models`` (name to ``preset`` and, optionally, ``checkpoint``),
        ``sources``, ``label_sets`` (shipped names, ``own``, or files) and, optionally,
        ``methods`` and ``changes``.
    presets, sources, recipe_fields
        What the file may name.

    Raises
    ------
    SettingsError
        When there is no such file, it is no YAML, or a key holds what is not allowed; the
        message names the key and what is allowed.
    """
    try:
        table = read_yaml(path)
    except (OSError, ValueError) as error:
        raise SettingsError(f"ECG_MATRIX is {path}, which cannot be read: {error}") from error
    try:
        _require_keys("the file", table, _KEYS, ("models", "sources", "label_sets"))
        methods = _names("methods", _methods_now(table.get("methods")), ALL_METHODS)
        changes = _mapping("changes", table.get("changes") or {})
        _require_keys("changes", changes, recipe_fields)
        return MatrixDesign(
            models=_models(_mapping("models", table["models"]), presets, path.parent),
            sources=_names("sources", table["sources"], sources),
            label_sets=_label_sets(table["label_sets"], path.parent),
            methods=methods,
            changes=changes,
        )
    except SettingsError as error:
        raise SettingsError(f"ECG_MATRIX, {path}: {error}") from error


def _methods_now(given: Any) -> Any:
    """Give the methods of a design by their names of now; `CELL_METHODS` where it says none."""
    if given is None:
        return list(CELL_METHODS)
    now = {former: method for method, former in FORMER_METHODS.items()}
    return [now.get(name, name) for name in given] if isinstance(given, list) else given


def name_label_set(label_set: str) -> str:
    """Name a label set in a matrix: a shipped one's name, a file's in characters of a partition.

    >>> name_label_set("labels/my labels.yaml"), name_label_set("own")
    ('my-labels', 'own')
    """
    if label_set in (*shipped_label_sets(), OWN_SET):
        return label_set
    return re.sub(r"[^A-Za-z0-9_]+", "-", Path(label_set).stem).strip("-_") or "labels"


def _models(
    table: Mapping[str, Any], presets: Collection[str], folder: Path
) -> tuple[MatrixModel, ...]:
    models = []
    for name, value in table.items():
        entry = _mapping(f"models.{name}", value)
        _require_keys(f"models.{name}", entry, _MODEL_KEYS, ("preset",))
        preset, checkpoint = entry["preset"], entry.get("checkpoint") or ""
        if preset not in presets:
            raise SettingsError(
                f"models.{name}.preset is {preset!r}; allowed: {', '.join(presets)}."
            )
        if not isinstance(checkpoint, str):
            raise SettingsError(f"models.{name}.checkpoint is {checkpoint!r}; expected a path.")
        if is_hub_name(checkpoint):
            try:
                start = str(HubName.parse(checkpoint))
            except CheckpointError as error:
                raise SettingsError(f"models.{name}.checkpoint: {error}") from error
        else:
            start = str((folder / Path(checkpoint).expanduser()).resolve()) if checkpoint else ""
        models.append(MatrixModel(str(name), preset, start))
    return tuple(models)


def _label_sets(value: Any, folder: Path) -> dict[str, str]:
    known = (*shipped_label_sets(), OWN_SET)
    found: dict[str, str] = {}
    for name in _list("label_sets", value):
        file = folder / Path(name).expanduser()
        if name not in known and not file.is_file():
            raise SettingsError(
                f"label_sets: {name!r} is neither one of {', '.join(known)} nor a file."
            )
        shown = name_label_set(name)
        if shown in found:
            raise SettingsError(f"label_sets: {shown!r} stands twice.")
        found[shown] = name if name in known else str(file.resolve())
    return found


def _names(key: str, value: Any, allowed: Collection[str]) -> tuple[str, ...]:
    names = _list(key, value)
    unknown = [name for name in names if name not in allowed]
    if unknown:
        raise SettingsError(f"{key}: {unknown} are unknown; allowed: {', '.join(allowed)}.")
    return tuple(names)


def _list(key: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise SettingsError(f"{key} is {value!r}; expected a list of names, e.g. [a, b].")
    return value


def _mapping(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SettingsError(f"{key} is {value!r}; expected a mapping, e.g. {{name: value}}.")
    return value


def _require_keys(
    key: str, table: Any, allowed: Collection[str], needed: Collection[str] = ()
) -> None:
    found = _mapping(key, table)
    unknown = sorted(str(name) for name in found if name not in allowed)
    missing = [name for name in needed if name not in found]
    if unknown or missing:
        raise SettingsError(
            f"{key} has unknown keys {unknown} and lacks {missing}; allowed: {', '.join(allowed)}."
        )
