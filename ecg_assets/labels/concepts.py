"""What concepts there are, how they are worded, and what follows from each."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from ecg_assets.yaml_file import parse_yaml

ROOM = Path(__file__).parent
"""Folder of the tables: concepts and wording, a file a coding, and label sets."""


def read_table(name: str) -> dict[str, Any]:
    """Read ``<name>.yaml`` of this package.

    Raises
    ------
    ValueError
        When a key stands twice.
    """
    table: dict[str, Any] = parse_yaml(
        (ROOM / f"{name}.yaml").read_text(encoding="utf-8"), of_package=True
    )
    return table


DEFINITE = "definite"
"""The certainty that must have a place in `uncertainty`: nothing is said against it."""

_GROUP = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True)
class Combination:
    """Concepts that together are another one, with at most this certainty.

    Attributes
    ----------
    unless
        Concepts of which each takes away as much as it is certain.
    """

    concept: str
    parts: tuple[str, ...]
    certainty: str
    unless: tuple[str, ...] = ()


@dataclass(frozen=True)
class Knowledge:
    """The vocabulary of ``concepts.yaml``.

    Attributes
    ----------
    wordings
        Concept to its wordings, its name first, groups not yet expanded.
    parents
        Concept to its parents, each with a certainty out of `uncertainty`.
    combinations
        Concepts that make another one together.
    groups
        Group to the wordings that ``{group}`` stands for.
    uncertainty
        Certainty to probability.
    traits
        Trait to the concepts that have it, those that imply one of them included.
    """

    wordings: Mapping[str, tuple[str, ...]]
    parents: Mapping[str, Mapping[str, str]]
    combinations: tuple[Combination, ...]
    groups: Mapping[str, tuple[str, ...]]
    uncertainty: Mapping[str, float]
    traits: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = [
            *itertools.chain.from_iterable(self.parents.values()),
            *itertools.chain.from_iterable(
                (c.concept, *c.parts, *c.unless) for c in self.combinations
            ),
        ]
        _require_known("concept", named, self.wordings)
        certainties = [DEFINITE, *(c.certainty for c in self.combinations)]
        certainties += itertools.chain.from_iterable(p.values() for p in self.parents.values())
        _require_known("certainty", certainties, self.uncertainty)
        for concept in self.wordings:
            self._require_no_circle(concept, ())

    @cached_property
    def implied(self) -> dict[str, dict[str, str]]:
        """Concept to what it implies, itself included, each with its certainty.

        Along a path the lowest certainty counts, between paths the highest.
        """
        return {concept: self._follow(concept) for concept in self.wordings}

    def expand(self, wording: str) -> list[str]:
        """Replace each ``{group}`` of a wording by each of the group's wordings."""
        return _expand(wording, self.groups)

    def _follow(self, concept: str) -> dict[str, str]:
        result = {concept: DEFINITE}
        for parent, certainty in self.parents[concept].items():
            for implied, further in self._follow(parent).items():
                weaker = min(certainty, further, key=self.uncertainty.__getitem__)
                if self.uncertainty[weaker] > self.uncertainty.get(result.get(implied, ""), -1.0):
                    result[implied] = weaker
        return result

    def _require_no_circle(self, concept: str, path: tuple[str, ...]) -> None:
        if concept in path:
            raise ValueError(f"concepts.yaml: {' > '.join((*path, concept))} is a circle.")
        for parent in self.parents[concept]:
            self._require_no_circle(parent, (*path, concept))


@lru_cache(maxsize=1)
def load_knowledge() -> Knowledge:
    """Read ``concepts.yaml`` and the certainties of ``wording.yaml``."""
    table = read_table("concepts")
    concepts: dict[str, dict[str, Any]] = table["concepts"]
    for name, entry in concepts.items():
        _require_known(f"field of {name!r}", entry, ("words", "parents"))
    parents = {name: _parents(entry.get("parents", {})) for name, entry in concepts.items()}
    return Knowledge(
        wordings={name: (name, *entry.get("words", ())) for name, entry in concepts.items()},
        parents=parents,
        combinations=tuple(
            Combination(
                entry["concept"],
                tuple(entry["parts"]),
                entry.get("certainty", DEFINITE),
                tuple(entry.get("unless", ())),
            )
            for entry in table["combinations"]
        ),
        groups=_expand_groups(table["groups"]),
        uncertainty=dict(read_table("wording")["uncertainty"]),
        traits={
            trait: frozenset(_with_children(names, parents))
            for trait, names in table["traits"].items()
        },
    )


def _expand_groups(table: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    """Write out the groups that a group names; it names earlier ones alone."""
    groups: dict[str, tuple[str, ...]] = {}
    for name, wordings in table.items():
        groups[name] = tuple(text for wording in wordings for text in _expand(wording, groups))
    return groups


def _with_children(names: Iterable[str], parents: Mapping[str, Mapping[str, str]]) -> set[str]:
    found = set(names)
    _require_known("concept", found, parents)
    while True:
        children = {child for child, entry in parents.items() if found & entry.keys()} - found
        if not children:
            return found
        found |= children


def _expand(wording: str, groups: Mapping[str, tuple[str, ...]]) -> list[str]:
    parts = _GROUP.split(wording)
    _require_known("group", parts[1::2], groups)
    choices = [groups[p] if i % 2 else (p,) for i, p in enumerate(parts)]
    return ["".join(choice) for choice in itertools.product(*choices)]


def _parents(entry: list[str] | dict[str, str]) -> dict[str, str]:
    return entry if isinstance(entry, dict) else dict.fromkeys(entry, DEFINITE)


def _require_known(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(f"The label vocabulary names the {kind} {unknown}, which it lacks.")
