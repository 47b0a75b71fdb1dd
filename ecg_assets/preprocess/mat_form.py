"""Which .mat files an export writes: the choices that are not about the signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

MatLayout = Literal["fairseq", "reference"]
"""``fairseq``: fairseq-signals' own segments; ``reference``: the Lead-I pipeline's files."""


@dataclass(frozen=True)
class MatForm:
    """How .mat files are named, filled and packed.

    Attributes
    ----------
    layout
        Names, keys and the meaning of ``idx``: see `MatLayout` and `mat_layout`.
    compress
        Whether a file is deflated, as version 5 allows; the reference systems' are not.
    keep_missing
        Leave missing samples NaN, as the Lead-I pipeline does, rather than 0. Only for its
        layout: fairseq-signals drops such recordings.
    """

    layout: MatLayout = "fairseq"
    compress: bool = True
    keep_missing: bool = False

    def __post_init__(self) -> None:
        if self.layout not in get_args(MatLayout):
            raise ValueError(f"layout is {self.layout!r}; allowed: {get_args(MatLayout)}.")
        if self.keep_missing and self.layout != "reference":
            raise ValueError(
                f"keep_missing is True for layout {self.layout!r}; only 'reference' keeps NaN."
            )
