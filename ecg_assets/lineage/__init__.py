"""Content fingerprints, and what a result required against what is stored now.

Belongs here: hashing of tables, files and settings; comparing the two sides of a
lineage record; commit and versions of the code. Does not belong here: Dagster, file
formats of a stage. Every other room may use it; it uses none of them.
"""

from ecg_assets.lineage.code_state import git_commit, package_versions
from ecg_assets.lineage.fingerprint import (
    fingerprint_bytes,
    fingerprint_file,
    fingerprint_folder,
    fingerprint_json,
    fingerprint_table,
)
from ecg_assets.lineage.provenance import Mismatch, find_mismatches

__all__ = [
    "Mismatch",
    "find_mismatches",
    "fingerprint_bytes",
    "fingerprint_file",
    "fingerprint_folder",
    "fingerprint_json",
    "fingerprint_table",
    "git_commit",
    "package_versions",
]
