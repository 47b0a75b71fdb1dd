"""A small JSON value of an output, and whether two of them tell of the same output.

What is exact (text, whole numbers, order, dtypes) is compared exactly, by digest where it is
long. Floats are compared by figures with a tolerance: another CPU or library version differs
in the last bits and is no other output.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.io
from numpy.typing import NDArray

_FEW = 12  # so many values stand as they are
_FLOATS = "floats"  # key of a long float array's figures


def describe(value: Any) -> Any:  # noqa: PLR0911
    """Describe nested values, arrays, tables, and files as JSON."""
    if isinstance(value, Path):
        return {path.relative_to(value).as_posix(): _file(path, value) for path in _files(value)}
    if isinstance(value, pa.Table):
        columns = {name: value[name] for name in value.column_names}
        return {name: [str(c.type), describe(c.to_pylist())] for name, c in columns.items()}
    if isinstance(value, pd.DataFrame):
        return {str(name): describe(_values(value[name])) for name in value.columns}
    if isinstance(value, Mapping):
        return {str(name): describe(one) for name, one in value.items()}
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, list | tuple):
        return _sequence(list(value))
    if isinstance(value, np.generic):
        return describe(value.item())
    if isinstance(value, float):
        return _number(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def find_differences(
    stored: Any, found: Any, tolerance: float, name: str = "output"
) -> Iterator[str]:
    """Name the places where two descriptions differ, floats by more than a tolerance.

    The tolerance of a float is relative to it; that of an array's figures is relative to the
    root mean square of the array.
    """
    if isinstance(stored, dict) and isinstance(found, dict):
        if _FLOATS in stored and _FLOATS in found:
            scale = abs(stored["rms"]) or 1.0
            same = stored[_FLOATS] == found[_FLOATS] and _are_close(
                stored["figures"], found["figures"], tolerance * scale
            )
            yield from () if same else (name,)
            return
        for key in sorted({*stored, *found}):
            if key in stored and key in found:
                yield from find_differences(stored[key], found[key], tolerance, f"{name}/{key}")
            else:
                yield f"{name}/{key} ({'new' if key in found else 'missing'})"
    elif isinstance(stored, list) and isinstance(found, list) and len(stored) == len(found):
        for at, (one, other) in enumerate(zip(stored, found, strict=True)):
            yield from find_differences(one, other, tolerance, f"{name}[{at}]")
    elif _is_float(stored) and _is_float(found):
        margin = tolerance * max(abs(stored), 1e-6)
        yield from () if _are_close([stored], [found], margin) else (name,)
    elif stored != found:
        yield name


def _is_float(value: Any) -> bool:
    return isinstance(value, float)


def _are_close(stored: list[float], found: list[float], margin: float) -> bool:
    pairs = zip(stored, found, strict=True)
    return all(one == other or abs(one - other) <= margin for one, other in pairs)


def _values(column: pd.Series) -> Any:
    """Give an array of floats, or a list of whatever else; a missing value is None."""
    if pd.api.types.is_float_dtype(column.dtype):
        return column.to_numpy(dtype=float, na_value=np.nan)
    return [None if one is pd.NaT or one is pd.NA or _is_nan(one) else one for one in column]


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _sequence(values: list[Any]) -> Any:
    present = [one for one in values if one is not None]
    if present and all(isinstance(one, float) for one in present):
        return _array(np.array([np.nan if one is None else one for one in values]))
    described = [describe(one) for one in values]
    if len(described) <= _FEW or _has_floats(described):
        return described
    return _digest(json.dumps(described, sort_keys=True).encode())


def _has_floats(value: Any) -> bool:
    if isinstance(value, dict):
        return _has_floats(list(value.values()))
    return any(map(_has_floats, value)) if isinstance(value, list) else _is_float(value)


def _array(array: NDArray[Any]) -> Any:
    if array.dtype.kind != "f":
        if array.dtype.kind in "OU":
            return _sequence(array.tolist())
        stated = f"{array.dtype.kind}{array.dtype.itemsize} {array.shape}"
        little = array.astype(array.dtype.newbyteorder("<"))
        return f"{stated} {_digest(np.ascontiguousarray(little).tobytes())}"
    if array.size <= _FEW:
        return [_number(one) for one in array.ravel().tolist()]
    return _figures(array)


def _figures(array: NDArray[np.floating[Any]]) -> dict[str, Any]:
    """Figures of a float array that any change of it but a tiny one shows in.

    Its mean, root mean square, three projections on waves, and twelve of its values.
    """
    flat = np.asarray(array, np.float64).ravel()
    known = np.isfinite(flat)
    flat = np.where(known, flat, 0.0)
    place = np.arange(flat.size)
    rms = float(np.sqrt(np.mean(flat**2)))
    waves = [np.cos(step * place + step) @ flat / math.sqrt(flat.size) for step in (0.37, 1.1, 2.3)]
    some = flat[np.linspace(0, flat.size - 1, _FEW).round().astype(int)]
    stated = f"f{array.dtype.itemsize} {array.shape} unknown {_digest(known.tobytes())}"
    figures = [float(flat.mean()), rms, *map(float, waves), *map(float, some)]
    return {_FLOATS: stated, "rms": _number(rms), "figures": [_number(one) for one in figures]}


def _number(value: float) -> float | str:
    """Keep nine digits; JSON has no NaN."""
    return float(f"{value:.9g}") if math.isfinite(value) else str(value)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _file(path: Path, root: Path) -> Any:
    if path.suffix == ".npy":
        return describe(np.load(path))
    if path.suffix == ".parquet":
        return describe(pq.read_table(path))
    if path.suffix == ".mat":
        content = scipy.io.loadmat(path)
        return describe({key: one for key, one in content.items() if not key.startswith("__")})
    text = path.read_text(encoding="utf-8")
    for place in (root.resolve().parent, root.parent):
        text = text.replace(str(place), "ROOT")
    if path.suffix == ".csv":
        return describe(pd.read_csv(StringIO(text)))
    return describe(json.loads(text)) if path.suffix == ".json" else _digest(text.encode())
