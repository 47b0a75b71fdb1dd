"""Labels that users give their own recordings: each is its own concept, by its name alone.

Written ``own:<name>`` among concepts, so that none is taken for one of ``concepts.yaml``.
"""

from __future__ import annotations

from ecg_assets.labels.reading import LineReading, Mention
from ecg_assets.sources.schema import NO_LABEL

OWN = "own:"
OWN_RULE = "own label"


def own_concept(name: str) -> str:
    """Name the concept of a label of the user's own."""
    return f"{OWN}{name}"


def is_own(concept: str) -> bool:
    """Say whether a concept is a label of the user's own."""
    return concept.startswith(OWN)


def read_own_label(line: str) -> LineReading:
    """Read a line that holds the name of a label, or says that there is none.

    >>> read_own_label("AF").mentions[0].concept
    'own:AF'
    >>> read_own_label("(none)").mentions[0].concept
    'own:'
    """
    name = "" if line == NO_LABEL else line
    return LineReading((Mention(own_concept(name), line, OWN_RULE, 1.0),), ())
