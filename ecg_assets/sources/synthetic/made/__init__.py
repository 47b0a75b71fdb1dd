"""Small made datasets in exactly a real one's files, for tests and demonstrations.

Belongs here: one module a dataset, which is found by itself: its ``WRITERS`` names each function
``(root, *, n_records, seed)`` by its dataset's ECG_SOURCE. No patient is in what they write; each
has traps that the real files have too, which its docstring names. Tests and protocols use it.
``python -m ecg_assets.sources.synthetic.made ptb-xl FOLDER --records 600`` writes one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from ecg_assets.errors import SettingsError
from ecg_assets.storage import replace_folder

Writer = Callable[..., None]
"""``(root, *, n_records, seed)``: writes into a folder that it makes where it is missing."""


@cache
def _writers() -> Mapping[str, Writer]:
    modules = sorted(one.name for one in iter_modules(__path__) if one.name != "__main__")
    tables = [getattr(import_module(f"{__name__}.{name}"), "WRITERS", {}) for name in modules]
    return {name: writer for table in tables for name, writer in table.items()}


def list_made() -> tuple[str, ...]:
    """Names of the datasets that can be made, as ECG_SOURCE has them."""
    return tuple(sorted(_writers()))


def write_made(
    name: str, root: Path, *, n_records: int | None = None, seed: int = 0, **traps: Any
) -> None:
    """Write a made dataset; it appears all at once, and the same arguments give the same bytes.

    Parameters
    ----------
    name
        One of `list_made`.
    root
        Folder to write: new or empty.
    n_records
        Recordings; by default as many as its writer makes without being told.
    seed
        Seed of every random choice, 0 or above.
    **traps
        Further arguments of its writer.

    Raises
    ------
    SettingsError
        When there is none of that name, a number is out of range, or anything stands at `root`.
        Nothing is overwritten.
    """
    if name not in _writers():
        raise SettingsError(f"No made dataset is called {name!r}; there are: {list_made()}.")
    if (n_records is not None and n_records < 1) or seed < 0:
        raise SettingsError(
            f"n_records is {n_records} and seed {seed}; they must be 1 or above, and 0 or above."
        )
    if root.exists() and not (root.is_dir() and not any(root.iterdir())):
        raise SettingsError(
            f"Expected a new or empty folder for the made {name} at {root}, where something "
            "stands. Choose another folder, or remove this one yourself."
        )
    chosen = {} if n_records is None else {"n_records": n_records}
    with replace_folder(root) as folder:
        _writers()[name](folder, seed=seed, **chosen, **traps)
