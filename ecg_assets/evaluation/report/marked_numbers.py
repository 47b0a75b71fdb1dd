"""Numbers of a page that name where in ``metrics.json`` they come from.

Each is ``<data value="0.97123" data-path="/macro/auroc" data-kind="ratio">0.971</data>``: its
full value, a JSON pointer (RFC 6901) into the document, and how it is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ecg_assets.evaluation.number_format import format_number


@dataclass(frozen=True)
class NumberMarker:
    """Writes numbers of one document; templates call it by path.

    Attributes
    ----------
    document
        JSON values; an undefined number is null.
    """

    document: Mapping[str, Any]

    def __call__(self, path: str, kind: str = "ratio") -> Markup:
        """Write the number at a pointer.

        Raises
        ------
        LookupError
            When there is nothing at the pointer.
        TypeError
            When no number stands there.
        """
        value = resolve_pointer(self.document, path)
        shown = format_number(require_number(value, path), kind)
        full = "" if value is None else json.dumps(value)
        return Markup('<data value="{}" data-path="{}" data-kind="{}">{}</data>').format(
            full, path, kind, shown
        )


@dataclass(frozen=True)
class TextMarker:
    """Writes texts of one document that may look like numbers, e.g. the group ``2019``.

    Attributes
    ----------
    document
        JSON values.
    """

    document: Mapping[str, Any]

    def __call__(self, path: str) -> Markup:
        """Write the text at a pointer."""
        value = resolve_pointer(self.document, path)
        return Markup('<span data-text="{}">{}</span>').format(path, value)


def resolve_pointer(document: Any, path: str) -> Any:
    """Find the value at a JSON pointer.

    >>> resolve_pointer({"labels": [{"a/b": 0.5}]}, "/labels/0/a~1b")
    0.5
    """
    value = document
    for part in path.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        try:
            value = value[int(key)] if isinstance(value, list) else value[key]
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise LookupError(f"Nothing stands at {path!r} in the document.") from error
    return value


def pointer_part(key: str) -> str:
    """Escape a key for a pointer.

    >>> pointer_part("a/b")
    'a~1b'
    """
    return key.replace("~", "~0").replace("/", "~1")


def require_number(value: Any, path: str) -> float | None:
    """Return a number or None; raise `TypeError` for anything else."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise TypeError(f"{path!r} holds {value!r}; expected a number or null.")
    return value
