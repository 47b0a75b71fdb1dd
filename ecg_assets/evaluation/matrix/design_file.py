"""The design of a matrix as a user writes it: a small YAML file."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ecg_assets.errors import SettingsError
from ecg_assets.evaluation.matrix.design import CELL_METHODS, MatrixDesign, MatrixModel
from ecg_assets.labels.label_set import OWN_SET, shipped_label_sets
from ecg_assets.labels.yaml_tables import parse_table

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
        table = parse_table(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"ECG_MATRIX is {path}, which cannot be read: {error}") from error
    try:
        _require_keys("the file", table, _KEYS, ("models", "sources", "label_sets"))
        methods = _names("methods", table.get("methods", list(CELL_METHODS)), CELL_METHODS)
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
