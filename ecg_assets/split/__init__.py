"""Patients to train, valid and test.

Belongs here: assigning patients, a user's own split, a dataset's folds, the split of a published
task, finding patients that stand in two splits. Does not belong here: labels, signals. Used by
build and defs.
"""

from ecg_assets.split.folds import split_by_folds
from ecg_assets.split.leakage import find_leaking_patients, require_no_leakage
from ecg_assets.split.patients import (
    SPLIT,
    SPLIT_NAMES,
    SplitShares,
    count_splits,
    name_file_rule,
    name_fold_rule,
    name_hash_rule,
    parse_hash_rule,
    read_meta_split,
    split_by_patient,
    write_meta_split,
)
from ecg_assets.split.task_split import (
    PATIENTS_IN_TWO_SPLITS,
    TaskSplit,
    name_task_rule,
    split_task,
)

__all__ = [
    "PATIENTS_IN_TWO_SPLITS",
    "SPLIT",
    "SPLIT_NAMES",
    "SplitShares",
    "TaskSplit",
    "count_splits",
    "find_leaking_patients",
    "name_file_rule",
    "name_fold_rule",
    "name_hash_rule",
    "name_task_rule",
    "parse_hash_rule",
    "read_meta_split",
    "require_no_leakage",
    "split_by_folds",
    "split_by_patient",
    "split_task",
    "write_meta_split",
]
