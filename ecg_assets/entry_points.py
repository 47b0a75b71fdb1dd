"""What other installed packages bring, by Python entry points."""

from __future__ import annotations

import logging
from importlib.metadata import entry_points
from typing import TypeVar

Kind = TypeVar("Kind")
_log = logging.getLogger(__name__)


def load_entry_points(group: str, kind: type[Kind]) -> dict[str, Kind]:
    """Load the objects that installed packages offer under a group, by the name they give.

    One that cannot be loaded or is of another kind is left out with a warning that names the
    package: it must not take the rest down.
    """
    found: dict[str, Kind] = {}
    for entry in entry_points(group=group):
        package = entry.dist.name if entry.dist else "an unknown package"
        where = f"Entry point {entry.name!r} = {entry.value!r} ({group}) of {package}"
        try:
            value = entry.load()
        except Exception as error:
            _log.warning("%s is left out: it cannot be loaded: %r", where, error)
            continue
        if isinstance(value, kind):
            found[entry.name] = value
        else:
            _log.warning(
                "%s is left out: it is a %s, expected a %s.",
                where,
                type(value).__name__,
                kind.__name__,
            )
    return found
