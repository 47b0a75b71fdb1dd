"""Datasets on disk: which recordings there are, and what their files hold.

Belongs here: readers of each dataset's tables and files, the synthetic cohort, the one
record schema. Does not belong here: what a report means (labels), what a model
needs (preprocess). All packages but lineage may use it.
"""

from ecg_assets.sources.dataset import (
    Dataset,
    Folds,
    Remote,
    Source,
    SourceTable,
    record_table,
    report_table,
)
from ecg_assets.sources.datasets import datasets, find_dataset, open_source
from ecg_assets.sources.folder.dataset import Folder
from ecg_assets.sources.mirror import (
    MIRROR_STATUS,
    complete_shards,
    count_bytes,
    find_damaged_files,
    mirror_status,
)
from ecg_assets.sources.ptb_xl import PtbXl
from ecg_assets.sources.record import MISSING, Record
from ecg_assets.sources.recording import read_recording
from ecg_assets.sources.remote_root import RemoteRoot, is_remote
from ecg_assets.sources.schema import MACHINE_REPORTS, RECORD_LIST
from ecg_assets.sources.wfdb.header import read_header
from ecg_assets.sources.wfdb.reader import read_record

__all__ = [
    "MACHINE_REPORTS",
    "MIRROR_STATUS",
    "MISSING",
    "RECORD_LIST",
    "Dataset",
    "Folder",
    "Folds",
    "PtbXl",
    "Record",
    "Remote",
    "RemoteRoot",
    "Source",
    "SourceTable",
    "complete_shards",
    "count_bytes",
    "datasets",
    "find_damaged_files",
    "find_dataset",
    "is_remote",
    "mirror_status",
    "open_source",
    "read_header",
    "read_record",
    "read_recording",
    "record_table",
    "report_table",
]
