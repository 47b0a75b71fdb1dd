"""The lines of all reports as one flat table of codes: each distinct line is read only once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ecg_assets.errors import SchemaError

Ints = npt.NDArray[np.int64]


class DistinctLine(NamedTuple):
    """A line as it stands in at least one report."""

    coding: str
    text: str


@dataclass(frozen=True)
class ReportLines:
    """Lines of reports, in the order of reports and lines.

    Attributes
    ----------
    n_reports
        Number of reports, with and without lines.
    report, line_index, code : int64 (n_lines,)
        Row of the report; the line's position in it, from 0; its position in `distinct`.
    distinct
        The distinct lines.
    """

    n_reports: int
    report: Ints
    line_index: Ints
    code: Ints
    distinct: list[DistinctLine]

    def of_reports(self, is_kept: npt.NDArray[np.bool_]) -> ReportLines:
        """Keep the lines of some reports, bool (n_reports,); the others are left without lines."""
        kept = is_kept[self.report]
        return replace(
            self,
            report=self.report[kept],
            line_index=self.line_index[kept],
            code=self.code[kept],
        )

    @property
    def occurrences(self) -> Ints:
        """How often each distinct line occurs: int64 (n_distinct,)."""
        return np.bincount(self.code, minlength=len(self.distinct))


def flatten_reports(reports: pd.DataFrame) -> ReportLines:
    """Flatten the ``lines`` of a table of reports; empty reports leave no line.

    Raises
    ------
    SchemaError
        When ``lines`` holds anything but lists of text.
    """
    try:
        lines = reports["lines"].to_numpy(dtype=object)
        lists = pa.array(lines, type=pa.list_(pa.string()), from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise SchemaError(f"machine_reports: lines must hold lists of text: {error}") from error
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    report = np.repeat(np.arange(len(reports)), lengths)
    first_line = np.cumsum(lengths) - lengths
    encoded = pc.fill_null(lists.flatten(), "").dictionary_encode()
    codings, coding_names = pd.factorize(reports["coding"], use_na_sentinel=True)
    # The same text can be a line of one coding and a code of another.
    both = encoded.indices.to_numpy().astype(np.int64) * len(coding_names) + codings[report]
    distinct, code = np.unique(both, return_inverse=True)
    texts = encoded.dictionary.to_pylist()
    return ReportLines(
        n_reports=len(reports),
        report=report,
        line_index=np.arange(len(report)) - first_line[report],
        code=code.astype(np.int64),
        distinct=[
            DistinctLine(
                str(coding_names[key % len(coding_names)]), texts[key // len(coding_names)]
            )
            for key in distinct.tolist()
        ],
    )
