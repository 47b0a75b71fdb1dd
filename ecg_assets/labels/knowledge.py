"""What concepts there are, how they are worded, and what follows from each."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from ecg_assets.labels.yaml_tables import read_table

DEFINITE = "definite"
"""The certainty that must have a place in `uncertainty`: nothing is said against it."""

_GROUP = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True)
class Combination:
    """Concepts that together are another one, with at most this certainty."""

    concept: str
    parts: tuple[str, ...]
    certainty: str


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
    """

    wordings: Mapping[str, tuple[str, ...]]
    parents: Mapping[str, Mapping[str, str]]
    combinations: tuple[Combination, ...]
    groups: Mapping[str, tuple[str, ...]]
    uncertainty: Mapping[str, float]

    def __post_init__(self) -> None:
        named = [
            *itertools.chain.from_iterable(self.parents.values()),
            *itertools.chain.from_iterable((c.concept, *c.parts) for c in self.combinations),
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
        parts = _GROUP.split(wording)
        _require_known("group", parts[1::2], self.groups)
        choices = [self.groups[p] if i % 2 else (p,) for i, p in enumerate(parts)]
        return ["".join(choice) for choice in itertools.product(*choices)]

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
    return Knowledge(
        wordings={name: (name, *entry.get("words", ())) for name, entry in concepts.items()},
        parents={name: _parents(entry.get("parents", {})) for name, entry in concepts.items()},
        combinations=tuple(
            Combination(entry["concept"], tuple(entry["parts"]), entry.get("certainty", DEFINITE))
            for entry in table["combinations"]
        ),
        groups={name: tuple(words) for name, words in table["groups"].items()},
        uncertainty=dict(read_table("wording")["uncertainty"]),
    )


def _parents(entry: list[str] | dict[str, str]) -> dict[str, str]:
    return entry if isinstance(entry, dict) else dict.fromkeys(entry, DEFINITE)


def _require_known(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(f"The label vocabulary names the {kind} {unknown}, which it lacks.")
