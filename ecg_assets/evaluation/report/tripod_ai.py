"""The checklist of TRIPOD+AI for one report: what of each item its results state, and where.

Collins et al. 2024, https://doi.org/10.1136/bmj-2023-078378. What is not in the results is not
stated: authors say it, or nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from ecg_assets.evaluation.report.numbers import resolve_pointer
from ecg_assets.yaml_file import parse_yaml

GUIDELINE = "TRIPOD+AI (Collins et al. 2024, doi:10.1136/bmj-2023-078378)"
ITEMS_FILE = Path(__file__).with_name("tripod_ai.yaml")
UNKNOWN = "unknown"
"""A text of the results that states nothing."""
_SHORT = 8
"""So many values are written out, more are named by their place."""


class Status(StrEnum):
    """How much of an item the results state."""

    STATED = "stated"
    PARTLY = "partly stated"
    NOT_STATED = "not stated"


@dataclass(frozen=True)
class Item:
    """An item of the guideline.

    Attributes
    ----------
    item
        Its number, e.g. ``12a``.
    section, topic
        Where it stands, and its heading.
    applies
        To ``development`` or ``evaluation`` of a model, or ``both``.
    asks
        What is to be reported, in our words.
    known
        What the results may hold of it, to its places in ``metrics.json``: the first that is there.
    authors
        What only authors can say; empty where the results can say all.
    """

    item: str
    section: str
    topic: str
    applies: str
    asks: str
    known: Mapping[str, tuple[str, ...]]
    authors: str


@cache
def read_items() -> tuple[Item, ...]:
    """Read the items in the guideline's order."""
    rows = parse_yaml(ITEMS_FILE.read_text(encoding="utf-8"), of_package=True)
    return tuple(_read_item(**row) for row in rows)


def _read_item(
    *, known: Mapping[str, str | list[str]] | None = None, authors: str = "", **fields: str
) -> Item:
    places = {
        what: (places,) if isinstance(places, str) else tuple(places)
        for what, places in (known or {}).items()
    }
    return Item(**fields, known=places, authors=authors)


def fill_checklist(document: Mapping[str, Any]) -> dict[str, Any]:
    """Say of each item what a report's document states.

    Parameters
    ----------
    document
        As `ecg_assets.evaluation.report.document.build_document` gives it.

    Returns
    -------
    dict
        ``guideline``, ``counts`` (status to number of items) and ``items``, each with ``item``,
        ``section``, ``topic``, ``applies``, ``asks``, ``status``, ``evidence`` (``what``, ``at``: a
        JSON pointer into the document, ``is_short``: few enough values to write out), ``missing``
        (what the results could hold and do not) and ``authors``.
    """
    rows = [_fill(item, document) for item in read_items()]
    counts = {str(one): sum(row["status"] == one for row in rows) for one in Status}
    return {"guideline": GUIDELINE, "counts": counts, "items": rows}


def _fill(item: Item, document: Mapping[str, Any]) -> dict[str, Any]:
    evidence, missing = [], []
    for what, places in item.known.items():
        found = [place for place in places if _states(_look(document, place))]
        if found:
            is_short = _count_values(_look(document, found[0])) <= _SHORT
            evidence.append({"what": what, "at": found[0], "is_short": is_short})
        else:
            missing.append(what)
    status = Status.NOT_STATED
    if evidence:
        status = Status.PARTLY if missing or item.authors else Status.STATED
    names = ("item", "section", "topic", "applies", "asks", "authors")
    fields = {name: getattr(item, name) for name in names}
    return {**fields, "status": str(status), "evidence": evidence, "missing": missing}


def _look(document: Mapping[str, Any], place: str) -> Any:
    try:
        return resolve_pointer(document, place)
    except LookupError:
        return None


def _states(value: Any) -> bool:
    """Tell whether a value says something: numbers and truth values always do."""
    if isinstance(value, Mapping | list):
        values = value.values() if isinstance(value, Mapping) else value
        return any(_states(one) for one in values)
    return value is not None and value not in ("", UNKNOWN)


def _count_values(value: Any) -> int:
    if isinstance(value, Mapping | list):
        values = value.values() if isinstance(value, Mapping) else value
        return sum(_count_values(one) for one in values)
    return 1


def tabulate_checklist(document: Mapping[str, Any]) -> pd.DataFrame:
    """Put the checklist of a document into a table for authors, one row an item.

    Returns
    -------
    DataFrame
        Texts: item, section, topic, applies, asks, status, stated (each with its place in
        ``metrics.json``), missing, authors.
    """
    rows = []
    for row in document["tripod_ai"]["items"]:
        stated = [_write(one, document) for one in row["evidence"]]
        fields = {name: row[name] for name in ("item", "section", "topic", "applies", "asks")}
        joined = {"stated": "; ".join(stated), "missing": "; ".join(row["missing"])}
        rows.append({**fields, "status": row["status"], **joined, "authors": row["authors"]})
    return pd.DataFrame(rows)


def _write(evidence: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    place = f"metrics.json {evidence['at']}"
    if not evidence["is_short"]:
        return f"{evidence['what']}: {place}"
    return f"{evidence['what']}: {_in_words(_look(document, evidence['at']))} ({place})"


def _in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_in_words(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(_in_words(one) for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
