"""Label and explain report texts without tables: for a notebook, a script, a question."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ecg_assets.labels.label_set import ECG_FM_LABEL_SET, LabelSet
from ecg_assets.labels.label_tables import label_matrix
from ecg_assets.labels.labeler import label_records
from ecg_assets.sources.schema import REPORT_TEXT


def label_reports(
    reports: Sequence[Sequence[str]],
    *,
    label_set: LabelSet = ECG_FM_LABEL_SET,
    threshold: float = 0.5,
    probabilities: bool = False,
) -> pd.DataFrame:
    """Label reports given as lists of lines.

    Parameters
    ----------
    reports
        Lines of each report.
    label_set
        Labels to give.
    threshold
        Lowest probability that counts as positive, 0 to 1, inclusive.
    probabilities
        Give probabilities instead of 0 and 1.

    Returns
    -------
    pandas.DataFrame
        A row a report, in their order, and a column a label: Int8 values, or Float32
        probabilities. Empty (NA) in the row of a report of which nothing could be read, or
        that is in another language.

    >>> label_reports([["Sinus bradycardia"], ["No evidence of infarct"]])["Bradycardia"].tolist()
    [1, 0]
    """
    table = _as_table(reports)
    labels = label_records(table, label_set=label_set, threshold=threshold).labels
    names = list(label_set.vocabulary.names)
    ids, value, probability = label_matrix(labels, label_set.vocabulary)
    found = pd.DataFrame(
        probability if probabilities else value, index=ids.astype(int), columns=names
    )
    kind = pd.Float32Dtype() if probabilities else pd.Int8Dtype()
    return found.astype(kind).reindex(range(len(table)))


def explain_report(
    lines: Sequence[str], *, label_set: LabelSet = ECG_FM_LABEL_SET, threshold: float = 0.5
) -> pd.DataFrame:
    """Tell why a report has its labels.

    Returns
    -------
    pandas.DataFrame
        ``label, line, matched, cue, rule, probability``: a row a reason, in the order of the
        lines; what is denied, remembered or excluded has probability 0, and `cue` has the
        words that say so.

    >>> print(*explain_report(["No atrial fibrillation"]).iloc[0], sep=" | ")
    Atrial fibrillation | No atrial fibrillation | atrial fibrillation | no | negated | 0.0
    """
    evidence = label_records(_as_table([lines]), label_set=label_set, threshold=threshold).evidence
    columns = ["label", "line", "matched", "cue", "rule", "probability"]
    return evidence[columns].astype(dict.fromkeys(columns[:-1], object))


def _as_table(reports: Sequence[Sequence[str]]) -> pd.DataFrame:
    if isinstance(reports, str) or any(isinstance(lines, str) for lines in reports):
        raise TypeError("Each report is a list of lines, not one text; give [['line', …], …].")
    return pd.DataFrame(
        {
            "record_id": [str(i) for i in range(len(reports))],
            "coding": REPORT_TEXT,
            "lines": pd.Series([list(lines) for lines in reports], dtype=object),
        }
    )
