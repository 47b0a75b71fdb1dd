"""The curated notes of ``crosswalk_notes.yaml``: where a code and a label differ in meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files

from ecg_assets.labels.yaml_tables import parse_table
from ecg_assets.lineage import fingerprint_bytes


@dataclass(frozen=True)
class CrosswalkNotes:
    """Notes on one coding.

    Attributes
    ----------
    withheld
        Concept to why the absence of its codes does not say that the finding is absent.
    concepts, codes
        Concept or code to how it is not like for like.
    """

    withheld: Mapping[str, str] = field(default_factory=dict)
    concepts: Mapping[str, str] = field(default_factory=dict)
    codes: Mapping[str, str] = field(default_factory=dict)

    def caveats(self, codes: Sequence[str], concept: str) -> list[str]:
        """Give the notes on a concept and on codes that lead to it, each once."""
        found = [self.concepts.get(concept), *(self.codes.get(code) for code in codes)]
        return list(dict.fromkeys(note for note in found if note))


@lru_cache(maxsize=8)
def load_notes(coding: str) -> CrosswalkNotes:
    """Read the notes on a coding; a coding without any has empty ones."""
    return CrosswalkNotes(**parse_table(_read_text()).get(coding, {}))


def notes_fingerprint() -> str:
    """Fingerprint of all notes."""
    return fingerprint_bytes(_read_text().encode())


def _read_text() -> str:
    path = files("ecg_assets.evaluation.external").joinpath("crosswalk_notes.yaml")
    return path.read_text(encoding="utf-8")
