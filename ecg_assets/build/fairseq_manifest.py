"""The manifests and side files of fairseq-signals, for segments exported as .mat files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.build.cmsc_manifest import write_cmsc_manifest
from ecg_assets.build.fairseq_tables import write_fairseq_tables
from ecg_assets.build.manifest import Manifest
from ecg_assets.build.manifest_folder import write_label_files
from ecg_assets.build.mat_listing import (
    join_split,
    list_segments,
    read_mat_folders,
    select_recordings,
    targets_by_record,
    write_tsv,
)
from ecg_assets.split import SPLIT_NAMES
from ecg_assets.storage import replace_folder


def write_fairseq_manifest(
    manifest: Manifest,
    records: pd.DataFrame,
    mat_folders: Mapping[str, Path],
    folder: Path,
    *,
    mat_root: Path,
    raw_root: Path | str,
) -> dict[str, int]:
    """Replace a folder by the files that fairseq-signals' scripts leave for training.

    ``{train,valid,test}.tsv``, as `write_tsv` writes them, and ``cmsc/`` with the same names,
    as `write_cmsc_manifest` does. ``y.npy`` is float64 ``(record of the record list,
    label)``; the ``idx`` in a .mat is a row of it. A row that no .tsv leads to is NaN.
    ``label_def.csv`` and ``pos_weight.txt`` count the recordings of the .tsv files.
    ``meta.csv``, ``segmented.csv``, ``meta_split.csv`` and ``segmented_split.csv`` are
    those of `write_fairseq_tables`.

    Parameters
    ----------
    manifest
        Which recordings to use, their split and targets.
    records
        The record list that the .mat files were exported with, as `RECORD_LIST` declares.
    mat_folders
        Folder of each exported shard by its name; other shards are left out.
    folder
        Where to write.
    mat_root
        Folder that holds all of `mat_folders`.
    raw_root
        Root of the dataset, or its URL, for the paths in ``meta.csv``.

    Returns
    -------
    dict
        Segments in each split.

    Raises
    ------
    SpecMismatch
        When .mat files were exported with another spec than the manifest's.
    SchemaError
        When no .mat file belongs to the manifest, their ``idx`` is not that of `records`, or
        they have another layout.
    LeakageError
        When a patient stands in two splits.
    """
    exported = read_mat_folders(manifest, mat_folders, "fairseq")
    segments = list_segments(exported, records, mat_root)
    used = join_split(segments, manifest, segments["record_row"])
    kept = select_recordings(manifest, used["record_id"])
    with replace_folder(folder) as temporary:
        (temporary / "cmsc").mkdir()
        for split in SPLIT_NAMES:
            of_split = used[used["split"] == split]
            write_tsv(of_split, mat_root, temporary / f"{split}.tsv")
            write_cmsc_manifest(of_split, mat_root, temporary / "cmsc" / f"{split}.tsv")
        np.save(temporary / "y.npy", targets_by_record(kept, records))
        write_label_files(kept, temporary)
        meta = pd.concat([found.meta for found in exported.values()], ignore_index=True)
        write_fairseq_tables(
            records, meta, segments, kept, temporary, mat_root=mat_root, raw_root=raw_root
        )
    return {split: int((used["split"] == split).sum()) for split in SPLIT_NAMES}
