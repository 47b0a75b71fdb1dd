"""AHA/ACC/HRS diagnostic statements as datasets write them, taken apart.

https://doi.org/10.1161/CIRCULATIONAHA.106.180201 numbers them: primary statements 1 to 190,
secondary ones 200 to 231, and modifiers from 301, which stand behind a statement and alone say
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

AHA = "aha"
"""The coding: a line is the number of a statement, and behind it its modifiers: ``60+310``."""

# ZZU pECG puts the statement's category before its number, or its kind.
_CODE = re.compile(r"(?:[A-N]|Suggests|Consider)?\s*(\d{1,3})")
_MODIFIER = re.compile(r"(?:Modifier)?\s*(3\d\d)")
_ONE_OF_TWO = re.compile(r"[A-N]\(\s*(\d+)\s*\+\s*(\d+)\s*\)")


class Statement(NamedTuple):
    """A statement as one of a cell's.

    Attributes
    ----------
    code
        Number of the statement; ``180+181`` for one that is either; empty for a modifier that
        stands alone; the text itself of what is no AHA statement.
    modifiers
        Their numbers.
    """

    code: str
    modifiers: tuple[str, ...] = ()

    @property
    def is_of_aha(self) -> bool:
        """Whether it has a number."""
        return self.code[:1].isdigit()


def split_statements(cell: str) -> list[Statement]:
    """Take a cell apart; text that is no statement of the AHA stays as it is.

    >>> [*map(tuple, split_statements("22;60+310"))]
    [('22', ()), ('60', ('310',))]
    >>> [one.code for one in split_statements("'L145+Modifier362';'N(180 + 181)';'Osborn wave'")]
    ['145', '180+181', 'Osborn wave']
    """
    parts = (part.strip().strip("'").strip() for part in cell.split(";"))
    return [_parse(part) for part in parts if part and part != "Null"]


def _parse(text: str) -> Statement:
    if either := _ONE_OF_TWO.fullmatch(text):
        return Statement("+".join(either.groups()))
    if alone := _MODIFIER.fullmatch(text):
        return Statement("", (alone[1],))
    first, *rest = (part.strip() for part in text.split("+"))
    code, modifiers = _CODE.fullmatch(first), [_MODIFIER.fullmatch(part) for part in rest]
    if code is None or None in modifiers:
        return Statement(text)
    return Statement(code[1], tuple(found[1] for found in modifiers if found))


def write_lines(statements: Iterable[Statement]) -> list[str]:
    """Write the lines of a report: code and modifiers, each once, in their order.

    >>> write_lines(split_statements("1;1;'F60+Modifier310'"))
    ['1', '60+310']
    """
    lines = ("+".join((one.code, *one.modifiers)) for one in statements if one.code)
    return list(dict.fromkeys(lines))


def count_statements(found: Iterable[Sequence[Statement]]) -> dict[str, int]:
    """Count statements, of each cell, and those with modifiers."""
    statements = [one for cell in found for one in cell if one.code]
    return {
        "statements": len(statements),
        "statements_with_modifiers": sum(bool(one.modifiers) for one in statements),
    }
