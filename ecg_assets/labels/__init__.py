"""Report text and diagnosis codes to labels, each with the words and the rule behind it.

Belongs here: the vocabulary of concepts, reading of report lines, labels and their
evidence, the label files of the reference pipeline. Does not belong here: reading of
datasets, splits, signals. Used by build and every later room.
"""

from ecg_assets.labels.label_matrix import label_matrix, label_prevalence
from ecg_assets.labels.label_reports import explain_report, label_reports
from ecg_assets.labels.label_set import (
    ECG_FM_LABEL_SET,
    LabelRule,
    LabelSet,
    load_label_set,
    shipped_label_sets,
)
from ecg_assets.labels.label_tables import EVIDENCE, LABELS, UNMATCHED, LabelTables
from ecg_assets.labels.label_vocabulary import (
    ECG_FM_LABELS,
    LabelVocabulary,
    require_same_labels,
)
from ecg_assets.labels.labeler import label_records
from ecg_assets.labels.reading import read_line
from ecg_assets.labels.reference_files import write_reference_files

__all__ = [
    "ECG_FM_LABELS",
    "ECG_FM_LABEL_SET",
    "EVIDENCE",
    "LABELS",
    "UNMATCHED",
    "LabelRule",
    "LabelSet",
    "LabelTables",
    "LabelVocabulary",
    "explain_report",
    "label_matrix",
    "label_prevalence",
    "label_records",
    "label_reports",
    "load_label_set",
    "read_line",
    "require_same_labels",
    "shipped_label_sets",
    "write_reference_files",
]
