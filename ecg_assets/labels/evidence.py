"""Reasons of distinct lines spread over all recordings, as columns of codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import pandas as pd

from ecg_assets.labels.codings import Reason
from ecg_assets.labels.report_lines import ReportLines
from ecg_assets.labels.vocabulary import LabelVocabulary

Objects = npt.NDArray[np.object_]


@dataclass(frozen=True)
class EvidenceRows:
    """Columns of evidence, all of one length.

    Attributes
    ----------
    line
        Position of the line in `ReportLines`.
    label
        Position of the concept or label among those asked for.
    matched, rule, probability, cue
        As in `EVIDENCE`.
    """

    line: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]
    matched: Objects
    rule: Objects
    probability: npt.NDArray[np.float32]
    cue: Objects

    @classmethod
    def of(cls, rows: Sequence[tuple[int, int, str, str, float, str]]) -> EvidenceRows:
        """Build the columns from rows."""
        columns = list(zip(*rows, strict=True)) if rows else [()] * 6
        return cls(
            line=np.array(columns[0], dtype=np.int64),
            label=np.array(columns[1], dtype=np.int64),
            matched=np.array(columns[2], dtype=object),
            rule=np.array(columns[3], dtype=object),
            probability=np.array(columns[4], dtype=np.float32),
            cue=np.array(columns[5], dtype=object),
        )

    @classmethod
    def join(cls, *parts: EvidenceRows) -> EvidenceRows:
        """Put rows together, lines in their order."""
        columns = {
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(cls)
        }
        order = np.argsort(columns["line"], kind="stable")
        return cls(**{name: column[order] for name, column in columns.items()})


def line_evidence(
    lines: ReportLines, reasons: Sequence[list[Reason]], names: Sequence[str]
) -> EvidenceRows:
    """Repeat the reasons of each distinct line wherever it stands.

    Parameters
    ----------
    reasons
        Reasons of each distinct line.
    names
        Concepts whose reasons count; ``label`` becomes the position in them.
    """
    position = {name: i for i, name in enumerate(names)}
    rows = [
        (code, position[reason.concept], *reason[1:])
        for code, found in enumerate(reasons)
        for reason in found
        if reason.concept in position
    ]
    distinct = EvidenceRows.of(rows)
    n_rows = np.bincount(distinct.line, minlength=len(lines.distinct))
    first_row = np.cumsum(n_rows) - n_rows
    repeats = n_rows[lines.code]
    line = np.repeat(np.arange(len(lines.code)), repeats)
    within = np.arange(len(line)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    row = first_row[lines.code[line]] + within
    return EvidenceRows(
        line=line,
        label=distinct.label[row],
        matched=distinct.matched[row],
        rule=distinct.rule[row],
        probability=distinct.probability[row],
        cue=distinct.cue[row],
    )


def evidence_frame(
    rows: EvidenceRows, record_ids: pd.Series, lines: ReportLines, vocabulary: LabelVocabulary
) -> pd.DataFrame:
    """Give evidence the columns of `EVIDENCE`, texts as categories."""
    reports, record_code = np.unique(lines.report[rows.line], return_inverse=True)
    texts, text_code = np.unique(lines.code[rows.line], return_inverse=True)
    # One text may be a report line and a code; categories must be distinct.
    line_text = pd.Series([lines.distinct[i].text for i in texts], dtype="str")
    return pd.DataFrame(
        {
            "record_id": pd.Categorical.from_codes(
                record_code, pd.Index(record_ids.to_numpy()[reports])
            ),
            "label": pd.Categorical.from_codes(rows.label, pd.Index(vocabulary.names)),
            "line_index": lines.line_index[rows.line].astype(np.int32),
            "line": pd.Categorical(line_text).take(text_code),
            "matched": pd.Categorical(rows.matched),
            "cue": pd.Categorical(rows.cue),
            "rule": pd.Categorical(rows.rule),
            "probability": rows.probability,
        }
    )
