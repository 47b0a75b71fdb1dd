"""Which codes of a dataset make which labels of a model, each row with its reason.

A label that a coding cannot express is unmapped: its absence among the codes says nothing of
the recording, so that such recordings are neither its positives nor its negatives.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

from ecg_assets.evaluation.external.crosswalk_codes import SOURCE_CODINGS, Codes
from ecg_assets.evaluation.external.crosswalk_notes import load_notes
from ecg_assets.evaluation.external.crosswalk_paths import find_combined, find_single
from ecg_assets.labels import LabelRule, LabelSet
from ecg_assets.tables import Column, TableSchema

CROSSWALK_ROWS = ("label", "coding", "code", "concept", "is_mapped", "reason")

LABEL_CROSSWALK = TableSchema(
    "label_crosswalk",
    (
        Column("evaluation_source", pa.string(), "dataset whose recordings bear the codes"),
        Column("label", pa.string(), "label of the current label set"),
        Column("coding", pa.string(), "what a line of the dataset's reports is, e.g. scp-ecg"),
        Column(
            "code",
            pa.string(),
            "code, or codes that do it together; empty where none does",
            nullable=True,
        ),
        Column("concept", pa.string(), "concept that the code names, or that the label is made of"),
        Column("is_mapped", pa.bool_(), "whether recordings with the code are positives"),
        Column("reason", pa.string(), "why, or why not, and how it is not like for like"),
    ),
)


def crosswalk(
    label_set: LabelSet, coding: str, *, own_labels: Sequence[str] = (), threshold: float = 0.5
) -> pd.DataFrame:
    """Say for each label which codes make it, through which concept.

    Parameters
    ----------
    label_set
        Labels of the model, with their rules.
    coding
        One of `ecg_assets.sources.schema.CODINGS`. The codes of ``report-text`` are the names
        of concepts, which stand for all of their wordings.
    own_labels
        Names of the data's own labels, the codes of ``own-labels``.
    threshold
        Lowest probability that makes a label true.

    Returns
    -------
    pandas.DataFrame
        `CROSSWALK_ROWS`. A row a label and code that leads to it, be it that the code alone is
        too uncertain or the label is withheld (``is_mapped`` False); one row without a code for
        a label that none leads to.

    Raises
    ------
    ValueError
        When the coding is unknown.

    >>> from ecg_assets.labels import ECG_FM_LABEL_SET
    >>> table = crosswalk(ECG_FM_LABEL_SET, "code-15").set_index("label")
    >>> print(table.loc["Atrial fibrillation", "reason"])
    CODE-15 column AF names the concept Atrial fibrillation.
    """
    codes = Codes.of_coding(coding, own_labels)
    rows = [
        (name, coding, *row)
        for name, rule in zip(label_set.vocabulary.names, label_set.rules, strict=True)
        for row in _rows_of_label(rule, codes, threshold)
    ]
    return pd.DataFrame(rows, columns=list(CROSSWALK_ROWS))


def crosswalk_sources(
    label_set: LabelSet, *, own_labels: Sequence[str] = (), threshold: float = 0.5
) -> pd.DataFrame:
    """Put the crosswalks to all datasets into one table, as `LABEL_CROSSWALK` declares."""
    tables = []
    for source, coding in SOURCE_CODINGS.items():
        table = crosswalk(label_set, coding, own_labels=own_labels, threshold=threshold)
        table.insert(0, "evaluation_source", source)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def count_mapped(table: pd.DataFrame) -> pd.DataFrame:
    """Count the labels that each dataset of a `crosswalk_sources` expresses, and name the rest."""
    rows = []
    for source, part in table.groupby("evaluation_source", sort=False):
        unmapped = unmapped_labels(part)
        rows.append(
            {
                "evaluation_source": source,
                "coding": part["coding"].iloc[0],
                "labels": part["label"].nunique(),
                "mapped": part["label"].nunique() - len(unmapped),
                "unmapped": ", ".join(unmapped),
            }
        )
    return pd.DataFrame(rows)


def unmapped_labels(table: pd.DataFrame) -> dict[str, str]:
    """Labels of a `crosswalk` without a mapped code, each with the reason."""
    is_mapped = table.groupby("label", sort=False)["is_mapped"].any()
    first = table.drop_duplicates("label").set_index("label")["reason"]
    return {str(label): str(first[label]) for label in is_mapped.index[~is_mapped]}


def _rows_of_label(
    rule: LabelRule, codes: Codes, threshold: float
) -> list[tuple[str | None, str, bool, str]]:
    """Rows of one label: code, concept, is_mapped, reason."""
    notes = load_notes(codes.coding)
    found = find_single(rule, codes) or []
    found += find_combined(rule, codes, {path.code for path in found})
    if not found:
        wanted = " or ".join(rule.includes)
        lacking = f"No {codes.kind}{codes.of} names {wanted}, or a finding that implies it."
        return [(None, wanted, False, codes.advice(lacking))]
    rows: list[tuple[str | None, str, bool, str]] = []
    for path in found:
        is_mapped, reason = path.judge(rule, codes, threshold)
        withheld = notes.withheld.get(path.included)
        if is_mapped and withheld:
            is_mapped, reason = False, f"{reason} The label is withheld: {withheld}"
        caveats = notes.caveats(path.codes, path.included)
        rows.append((path.code, path.concept, is_mapped, " ".join([reason, *caveats])))
    return rows
