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
OWN_LABELS = "own-labels"
"""Codings without a table of codes: text of a report, and labels that the data itself brings."""

NO_LABEL = "(none)"
"""The line of a recording that was labelled and has no label; one without lines is unlabelled."""

_MEASURED = "\t"
NOT_LOOKED_FOR = "not measured"
"""Stands for the value where nobody looked: neither present nor absent."""


def measured_line(name: str, value: float | None) -> str:
    r"""Write the line of an own column that is no finding: a number, or that there is none.

    >>> measured_line("LVEF [%]", 55.0).split(), measured_line("AF", None).split("\t")
    (['LVEF', '[%]', '55'], ['AF', 'not measured'])
    """
    return f"{name}{_MEASURED}{NOT_LOOKED_FOR if value is None else f'{value:.9g}'}"


def split_measured(line: str) -> tuple[str, str] | None:
    """Take the line of `measured_line` apart; None for the line of a finding."""
    name, separator, value = line.partition(_MEASURED)
    return (name, value) if separator else None


def unit_of(column: str) -> str | None:
    """Read the unit of an own column of numbers, in brackets behind its name; None of a label.

    >>> unit_of("LVEF [%]"), unit_of("AF")
    ('%', None)
    """
    name, bracket, unit = column.strip().removesuffix("]").rpartition(" [")
    return unit if bracket and name and unit and column.strip().endswith("]") else None


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

RR_INTERVALS_MS = (200.0, 3000.0)
"""Shortest and longest mean RR interval of a recording: 300 and 20 beats a minute.

An audit of 8.75 million charted heart rates of MIMIC-IV found 99.95 % of them from 20 to 250
(https://github.com/MIT-LCP/mimic-code/issues/2168); atrial flutter conducted 1:1 goes up to 300.
Beyond lie what carts write for "not measured" (29999, 32767, 65535) and damaged values.
"""

MEASUREMENT_BOUNDS = {
    "rr_interval": RR_INTERVALS_MS,
    # Within a recording of 10 s, and within a full turn to either side.
    **dict.fromkeys(MEASUREMENTS[1:6], (-10_000.0, 10_000.0)),
    **dict.fromkeys(MEASUREMENTS[6:], (-360.0, 360.0)),
}
"""Smallest and largest value of each measurement that can be one; others are not measured."""

MACHINE_REPORTS = TableSchema(
    "machine_reports",
    (
        Column("record_id", pa.string(), "the recording, as in record_list"),
        Column(
            "coding",
            pa.string(),
            # A meaning is part of the table's fingerprint: other codings do not change it.
            "what the lines are: report-text, snomed-ct, scp-ecg, code-15, own-labels, "
            "condition-folder",
        ),
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
