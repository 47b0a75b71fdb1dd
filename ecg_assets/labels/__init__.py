"""Report text and diagnosis codes to labels, each with the words and the rule behind it.

Belongs here: the vocabulary of concepts, reading of report lines, labels and their
evidence, the label files of the reference pipeline. Does not belong here: reading of
datasets, splits, signals. Used by build and every later package.
"""

from ecg_assets.labels.audit import (
    PublishedCounts,
    compare_with_published,
    read_published_counts,
)
from ecg_assets.labels.codings import vocabulary_fingerprint
from ecg_assets.labels.label_differences import (
    DIFFERENCES,
    find_label_differences,
    lines_of_differing_records,
)
from ecg_assets.labels.label_reports import explain_report, label_reports
from ecg_assets.labels.label_set import (
    ECG_FM_LABEL_SET,
    LabelRule,
    LabelSet,
    load_label_set,
    resolve_label_set,
    shipped_label_sets,
)
from ecg_assets.labels.label_tables import (
    EVIDENCE,
    LABELS,
    UNMATCHED,
    LabelTables,
    label_matrix,
    label_prevalence,
)
from ecg_assets.labels.labeler import label_records
from ecg_assets.labels.reading import read_line
from ecg_assets.labels.upstream import UpstreamLabeler, label_records_upstream
from ecg_assets.labels.vocabulary import ECG_FM_LABELS, LabelVocabulary, require_same_labels

__all__ = [
    "DIFFERENCES",
    "ECG_FM_LABELS",
    "ECG_FM_LABEL_SET",
    "EVIDENCE",
    "LABELS",
    "UNMATCHED",
    "LabelRule",
    "LabelSet",
    "LabelTables",
    "LabelVocabulary",
    "PublishedCounts",
    "UpstreamLabeler",
    "compare_with_published",
    "explain_report",
    "find_label_differences",
    "label_matrix",
    "label_prevalence",
    "label_records",
    "label_records_upstream",
    "label_reports",
    "lines_of_differing_records",
    "load_label_set",
    "read_line",
    "read_published_counts",
    "require_same_labels",
    "resolve_label_set",
    "shipped_label_sets",
    "vocabulary_fingerprint",
]
