"""The one record schema of every source, and the schema of reports."""

from __future__ import annotations

import pyarrow as pa

from ecg_assets.tables import Column, TableSchema

RECORD_LIST = TableSchema(
    "record_list",
    (
        Column("record_id", pa.string(), "unique name of the recording; stem of its .mat file"),
        Column("source", pa.string(), "dataset, e.g. mimic-iv-ecg"),
        Column("shard", pa.string(), "partition key: a run of neighbouring folders"),
        Column("subject_id", pa.string(), "patient; the recording's own id where none is known"),
        Column("study_id", pa.string(), "the dataset's own id of the recording"),
        Column("ecg_time", pa.timestamp("us"), "time of the recording", nullable=True),
        Column(
            "path", pa.string(), "path below the dataset's root; a WFDB record's without extension"
        ),
        Column("age", pa.float32(), "age in years at the recording", nullable=True),
        Column("sex", pa.string(), "F or M", nullable=True),
    ),
)

REPORT_TEXT = "report-text"
SNOMED_CT = "snomed-ct"
SCP_ECG = "scp-ecg"
CODE_15 = "code-15"
OWN_LABELS = "own-labels"
CONDITION_FOLDER = "condition-folder"
CODINGS = (REPORT_TEXT, SNOMED_CT, SCP_ECG, CODE_15, OWN_LABELS, CONDITION_FOLDER)
"""What a line can be: text of a report, a code, a label that is true, a condition's folder."""

NO_LABEL = "(none)"
"""The line of a recording that was labelled and has no label; one without lines is unlabelled."""

MEASUREMENTS = (
    "rr_interval",
    "p_onset",
    "p_end",
    "qrs_onset",
    "qrs_end",
    "t_end",
    "p_axis",
    "qrs_axis",
    "t_axis",
)
"""The cart's own measurements: times in ms, axes in degrees."""

MACHINE_REPORTS = TableSchema(
    "machine_reports",
    (
        Column("record_id", pa.string(), "the recording, as in record_list"),
        Column("coding", pa.string(), f"what the lines are: {', '.join(CODINGS)}"),
        Column(
            "lines", pa.list_(pa.string()), "report lines, codes or names of labels, in their order"
        ),
        *(
            Column(
                name, pa.float32(), "cart's measurement; empty where not measured", nullable=True
            )
            for name in MEASUREMENTS
        ),
    ),
)
