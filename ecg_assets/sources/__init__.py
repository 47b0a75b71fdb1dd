"""Datasets on disk: which recordings there are, and what their files hold.

Belongs here: readers of each dataset's tables, the WFDB reader, the synthetic cohort,
the one record schema. Does not belong here: what a report means (labels), what a model
needs (preprocess). All rooms but lineage may use it.
"""

from ecg_assets.sources.open_source import SOURCE_NAMES, open_source
from ecg_assets.sources.record import MISSING, Record
from ecg_assets.sources.schema import MACHINE_REPORTS, RECORD_LIST
from ecg_assets.sources.source import Source, SourceTable
from ecg_assets.sources.wfdb_header import read_header
from ecg_assets.sources.wfdb_reader import read_record

__all__ = [
    "MACHINE_REPORTS",
    "MISSING",
    "RECORD_LIST",
    "SOURCE_NAMES",
    "Record",
    "Source",
    "SourceTable",
    "open_source",
    "read_header",
    "read_record",
]
