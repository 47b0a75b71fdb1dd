"""The model families by name: those that are built in, and those of other packages.

A folder of this package that has a module ``family`` is one: each `ModelFamily` in it is known. A
package adds one by an entry point of the group ``ecg_assets.models`` that names its `ModelFamily`
(docs/your_own_model.md). Needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from ecg_assets.entry_points import load_entry_points
from ecg_assets.errors import CheckpointError
from ecg_assets.models.ecg_fm.family import ECG_FM
from ecg_assets.models.family import ModelFamily
from ecg_assets.preprocess.signal_spec import SIGNAL_KINDS, SignalSpec, signal_spec_of_kind

GROUP = "ecg_assets.models"
"""Group of the entry points."""

DEFAULT_FAMILY = ECG_FM.name
"""Of a recipe that names none."""


def _find_built_in() -> Iterator[ModelFamily]:
    for path in sorted(Path(__file__).parent.glob("*/family.py")):
        module = import_module(f"{__package__}.{path.parent.name}.family")
        yield from (one for one in vars(module).values() if isinstance(one, ModelFamily))


FAMILIES: dict[str, ModelFamily] = {family.name: family for family in _find_built_in()}
"""Each family by the ``model_type`` of its configuration."""

for _family in load_entry_points(GROUP, ModelFamily).values():
    FAMILIES.setdefault(_family.name, _family)  # no package replaces a built-in one


def signal_kinds() -> dict[str, Callable[..., SignalSpec]]:
    """Give each kind of signal by name with what builds its spec (`ModelFamily.signal_spec`)."""
    kinds: dict[str, Callable[..., SignalSpec]]
    kinds = {name: partial(signal_spec_of_kind, name) for name in SIGNAL_KINDS}
    for family in FAMILIES.values():
        if family.signal:
            kinds[family.signal_kind] = family.signal_spec
    return kinds


def find_family(name: object) -> ModelFamily | None:
    """Find a family by its ``model_type``; None where there is no such one."""
    return FAMILIES.get(name) if isinstance(name, str) else None


def family_of(model: Any) -> ModelFamily:
    """Give the family of a model."""
    return FAMILIES[model.config.model_type]


def family_of_file(content: object, path: Path) -> ModelFamily:
    """Find whose the content of the file at `path` is; raise `CheckpointError` when nobody's."""
    # Other packages' first; of those built in no two recognize one file.
    for family in reversed(FAMILIES.values()):
        if family.recognizes(content):
            return family
    found = sorted(map(str, content))[:8] if isinstance(content, dict) else type(content).__name__
    published = [family for family in FAMILIES.values() if family.files]
    expected = ", or ".join(family.files.content for family in published if family.files)
    raise CheckpointError(
        f"{path} is no checkpoint of {' or '.join(family.title for family in published)}, which "
        f"are known here: expected {expected}; found {found}. Give the file that its authors "
        "published, or a checkpoint folder."
    )
