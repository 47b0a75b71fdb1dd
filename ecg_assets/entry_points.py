"""What other installed packages bring, by Python entry points."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

Kind = TypeVar("Kind")
Made = TypeVar("Made")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EntryPoints(Generic[Made]):
    """What installed packages offer under a group, by the names that they give.

    Attributes
    ----------
    found
        What can be used.
    faults
        Why each of the others cannot: a sentence that names the package.
    """

    found: Mapping[str, Made]
    faults: Mapping[str, str]


def find_entry_points(
    group: str, kind: type[Any], make: Callable[[str, Any], Made]
) -> EntryPoints[Made]:
    """Load the objects that installed packages offer under a group.

    One that cannot be used is left out with a warning that names the package: it must not take
    the rest down.

    Parameters
    ----------
    group
        Name of the group.
    kind
        Type of the objects.
    make
        Makes of a name and its object what is wanted; raises an error if it cannot be used.
    """
    found: dict[str, Made] = {}
    faults: dict[str, str] = {}
    for entry in entry_points(group=group):
        try:
            value = entry.load()
            if isinstance(value, kind):
                found[entry.name] = make(entry.name, value)
                continue
            fault = f"it is a {type(value).__name__}, expected a {kind.__name__}."
        except Exception as error:
            fault = f"it cannot be loaded: {error!r}"
        package = entry.dist.name if entry.dist else "an unknown package"
        where = f"Entry point {entry.name!r} = {entry.value!r} ({group}) of {package}"
        faults[entry.name] = f"{where} is left out: {fault}"
        _log.warning("%s", faults[entry.name])
    return EntryPoints(found, faults)


def load_entry_points(group: str, kind: type[Kind]) -> dict[str, Kind]:
    """Load the objects that installed packages offer under a group, by the name they give.

    One that cannot be loaded or is of another kind is left out, as `find_entry_points` says.
    """

    def as_it_is(_: str, value: Kind) -> Kind:
        return value

    return dict(find_entry_points(group, kind, as_it_is).found)
