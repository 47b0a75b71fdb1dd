"""Numbers of a page that name where in ``metrics.json`` they come from.

Each is ``<data value="0.97123" data-path="/macro/auroc" data-kind="ratio">0.971</data>``: its
full value, a JSON pointer (RFC 6901) into the document, and how it is written.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from markupsafe import Markup

# How a number is written for a reader: one rule for pages, pictures and text.

UNDEFINED = "–"
"""What stands where a number is undefined."""


def format_number(value: float | None, kind: str = "ratio") -> str:
    """Write a number, or a dash where it is undefined.

    Parameters
    ----------
    value
        The number; None or not finite is undefined.
    kind
        ``ratio`` (three decimals), ``signed`` (three, with its sign), ``percent`` (of a share,
        one decimal), ``count`` (whole, in groups of three digits), ``plain`` (as short as it is),
        ``figures`` (four of them, of a number with a unit).

    Examples
    --------
    >>> format_number(0.98765), format_number(float("nan")), format_number(-0.0123, "signed")
    ('0.988', '–', '−0.012')
    >>> format_number(0.1234, "percent"), format_number(80023, "count")
    ('12.3 %', '80,023')
    >>> format_number(1e-8, "plain")
    '1e-08'
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; allowed: {sorted(KINDS)}.")
    if value is None or not math.isfinite(value):
        return UNDEFINED
    return KINDS[kind](value)


def _decimals(value: float, form: str = ".3f") -> str:
    """Three decimals with a typographic minus; what rounds to zero has no sign."""
    text = format(value, form)
    return text.replace("-", "−") if float(text) else "0.000"


KINDS: dict[str, Callable[[float], str]] = {
    "ratio": _decimals,
    "signed": lambda value: _decimals(value, "+.3f"),
    "percent": lambda value: f"{100 * value:.1f} %",
    "count": lambda value: f"{value:,.0f}",
    "plain": lambda value: f"{value:.6g}",
    "figures": lambda value: f"{value:,.4g}".replace("-", "−"),
}
"""How each kind of number is written."""


# Numbers that name their place.


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


# Find numbers on a page that do not stand in its ``metrics.json``.


ALLOWED_PHRASES = ("95 %", "F1", "F1-score", "SHA-256", "RFC 6901", "0 to 1", "PhysioNet 2021")
"""Words with digits that templates may write; every other digit must be a marked number."""

_VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
_NUMBER = re.compile(r"[-+−]?\d[\d,]*(\.\d+)?( ?%)?")
"""A text of the document that is a number would excuse that number everywhere."""
_READ_ATTRIBUTES = ("alt", "title", "aria-label")


@dataclass
class _Page(HTMLParser):
    """Marked numbers and all other text of a page."""

    numbers: list[tuple[dict[str, str | None], str]] = field(default_factory=list)
    marked_texts: list[tuple[str, str]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    open_elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.texts += [found[name] or "" for name in _READ_ATTRIBUTES if name in found]
        if tag not in _VOID:
            self.open_elements.append((tag, found))

    def handle_endtag(self, tag: str) -> None:
        while self.open_elements and self.open_elements.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        tag, attributes = self.open_elements[-1] if self.open_elements else ("", {})
        if tag == "data":
            self.numbers.append((attributes, data))
        elif "data-text" in attributes:
            self.marked_texts.append((attributes["data-text"] or "", data))
        elif tag != "style":
            self.texts.append(data)


def find_wrong_numbers(html: str, metrics: Mapping[str, Any]) -> list[str]:
    """List what a page shows that its document does not say.

    Each marked number is looked up by its pointer and written again, and so is each marked text
    (``data-text``). Digits elsewhere must be part of a text of the document (a label, a
    fingerprint, a version) that is no number itself, or of `ALLOWED_PHRASES`.

    Parameters
    ----------
    html
        The page.
    metrics
        Content of its ``metrics.json``.

    Returns
    -------
    list of str
        A sentence for each fault; none when the page holds no number of its own.
    """
    page = _Page()
    page.feed(html)
    page.close()
    faults = [fault for number in page.numbers if (fault := _check_number(*number, metrics))]
    faults += [fault for text in page.marked_texts if (fault := _check_text(*text, metrics))]
    return faults + _find_bare_digits(page.texts, metrics)


def _check_number(
    attributes: Mapping[str, str | None], shown: str, metrics: Mapping[str, Any]
) -> str | None:
    path = attributes.get("data-path") or ""
    try:
        value = require_number(resolve_pointer(metrics, path), path)
        expected = format_number(value, attributes.get("data-kind") or "ratio")
    except (LookupError, TypeError, ValueError) as error:
        return f"{shown!r} cannot be looked up: {error}"
    full = "" if value is None else json.dumps(value)
    if not path or shown != expected or attributes.get("value") != full:
        return (
            f"{shown!r} (value {attributes.get('value')!r}) is shown for {path!r}, where the "
            f"document has {value!r}, written {expected!r}."
        )
    return None


def _check_text(path: str, shown: str, metrics: Mapping[str, Any]) -> str | None:
    try:
        value = resolve_pointer(metrics, path)
    except LookupError as error:
        return f"{shown!r} cannot be looked up: {error}"
    if value != shown:
        return f"{shown!r} is shown for {path!r}, where the document has {value!r}."
    return None


def _find_bare_digits(texts: Iterable[str], metrics: Mapping[str, Any]) -> list[str]:
    known = {" ".join(text.split()) for text in _strings(metrics)}
    known = {text for text in known if re.search(r"\d", text) and not _NUMBER.fullmatch(text)}
    known |= set(ALLOWED_PHRASES)
    longest_first = sorted(known, key=lambda text: (-len(text), text))
    within = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
    faults = []
    for text in (" ".join(text.split()) for text in texts):
        if text in known or not re.search(r"\d", text):  # as nearly all are
            continue
        rest = within.sub(" ", text)
        if re.search(r"\d", rest):
            faults.append(f"{rest.strip()[:80]!r} holds digits that are not marked as a number.")
    return faults


def _strings(value: Any) -> Iterator[str]:
    """All texts of a JSON value; keys too, also in words."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from value
        yield from (key.replace("_", " ") for key in value)
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
