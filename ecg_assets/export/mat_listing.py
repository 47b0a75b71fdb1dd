"""Which exported .mat files belong to a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.build.manifest import Manifest, positive_weights
from ecg_assets.errors import SchemaError
from ecg_assets.export.mat import MatFolder, MatForm, MatLayout, read_mat_folder
from ecg_assets.known import is_known
from ecg_assets.preprocess import require_same_spec
from ecg_assets.split import require_no_leakage

_NONE_EXPORTED = "No shard is exported as .mat files. Export mat_records first."


def read_mat_folders(
    manifest: Manifest, mat_folders: Mapping[str, Path], layout: MatLayout
) -> dict[Path, MatFolder]:
    """Read what each exported shard holds, by its folder, in the order of the shards' names.

    Raises
    ------
    SpecMismatch
        When a shard was exported with another spec than the manifest's.
    SchemaError
        When no shard is exported, or one in another layout.
    """
    if not mat_folders:
        raise SchemaError(_NONE_EXPORTED)
    found = {}
    for shard, folder in sorted(mat_folders.items()):
        found[folder] = read_mat_folder(folder)
        require_same_spec(
            manifest.spec, found[folder].spec, where=f"the .mat files of shard {shard}"
        )
        if found[folder].form.layout != layout:
            raise SchemaError(
                f"The .mat files of shard {shard} have the layout "
                f"{found[folder].form.layout!r}, not {layout!r}. Materialize mat_records with one "
                "layout for all shards again."
            )
    return found


def find_form(mat_folders: Mapping[str, Path]) -> MatForm:
    """Read the form of the first exported shard; `read_mat_folders` tells of other layouts.

    Raises
    ------
    SchemaError
        When no shard is exported, or the first by an older version.
    """
    if not mat_folders:
        raise SchemaError(_NONE_EXPORTED)
    return read_mat_folder(mat_folders[min(mat_folders)]).form


def number_records(records: pd.DataFrame, rows: pd.Series[int] | None = None) -> pd.DataFrame:
    """Give each record its ``row``: as `rows` says by ``record_id``, else its own or its place.

    Raises
    ------
    SchemaError
        When `rows` lacks a record.
    """
    if rows is None:
        return records if "row" in records else records.assign(row=np.arange(len(records)))
    found = records["record_id"].map(rows)
    if found.isna().any():
        raise SchemaError(
            f"{int(found.isna().sum())} of {len(records)} recordings of the record list are not in "
            f"the dataset's own, first {records['record_id'][found.isna()].iloc[0]}. Materialize "
            "record_list again."
        )
    return records.assign(row=found.astype(np.int64))


def list_segments(
    folders: Mapping[Path, MatFolder], records: pd.DataFrame, mat_root: Path
) -> pd.DataFrame:
    """List all exported segments, shard by shard.

    Parameters
    ----------
    folders
        As `read_mat_folders` gives them.
    records
        The record list that the .mat files were exported with.
    mat_root
        Folder that holds all of `folders`.

    Returns
    -------
    DataFrame
        ``record_id``, ``segment``, ``path`` below `mat_root`, ``n_samples``, ``row`` (the
        file's ``idx``) and ``record_row`` (the recording's ``row`` of `records`, else its place).

    Raises
    ------
    SchemaError
        When a recording is not in `records`.
    """
    parts = []
    for folder, found in folders.items():
        below = folder.relative_to(mat_root).as_posix()
        parts.append(found.files.assign(path=[f"{below}/{name}" for name in found.files["file"]]))
    segments = pd.concat(parts, ignore_index=True).drop(columns="file")
    numbered = number_records(records)
    record_row = segments["record_id"].map(numbered.set_index("record_id")["row"])
    unknown = segments["record_id"][record_row.isna()].unique()
    if len(unknown):
        raise SchemaError(
            f"{len(unknown)} recordings of the .mat files are not in the record list, first "
            f"{unknown[0]}. Export the .mat files again."
        )
    return segments.assign(record_row=record_row.astype(np.int64))


def join_split(
    segments: pd.DataFrame, manifest: Manifest, expected_row: pd.Series[int]
) -> pd.DataFrame:
    """Keep the manifest's segments and give each its ``split``.

    Parameters
    ----------
    segments
        As `list_segments` gives them.
    manifest
        Which recordings to use.
    expected_row
        What ``idx`` each segment must have.

    Raises
    ------
    SchemaError
        When none is left, or the ``idx`` of one is another: the record list has changed.
    LeakageError
        When a patient stands in two splits.
    """
    require_no_leakage(manifest.index, where="the manifest")
    is_stale = segments["row"] != expected_row
    used = segments_of(manifest.index, segments)
    if used.empty or is_stale.any():
        raise SchemaError(
            f"{len(used)} .mat files belong to the manifest, and the idx of "
            f"{int(is_stale.sum())} of all {len(segments)} is not their row in the "
            "record list. Export the .mat files again."
        )
    return used


def segments_of(index: pd.DataFrame, segments: pd.DataFrame) -> pd.DataFrame:
    """Keep the segments of an index's recordings and give each its ``split``."""
    return segments.merge(index[["record_id", "split"]], on="record_id", validate="many_to_one")


def select_recordings(manifest: Manifest, record_ids: pd.Series[str]) -> Manifest:
    """Keep some recordings; weights are those of what is left."""
    is_kept = manifest.index["record_id"].isin(record_ids).to_numpy()
    index, targets = manifest.index[is_kept].reset_index(drop=True), manifest.targets[is_kept]
    weights = positive_weights(targets[index["split"].to_numpy() == "train"])
    return replace(manifest, index=index, targets=targets, pos_weight=weights)


def targets_by_record(manifest: Manifest, records: pd.DataFrame) -> NDArray[np.float64]:
    """Targets by the records' ``row``, else in their order; NaN for one that is not used or known.

    Zeros there would be labels that nobody gave.
    """
    numbered = number_records(records)
    targets = np.full((int(numbered["row"].max()) + 1, len(manifest.vocabulary)), np.nan)
    row = numbered.set_index("record_id")["row"].loc[manifest.index["record_id"]]
    targets[row] = np.where(is_known(manifest.targets), manifest.targets, np.nan)
    return targets


def write_tsv(segments: pd.DataFrame, mat_root: Path, path: Path) -> None:
    """Write the root folder, then each file's path below it, a tab, and its samples."""
    rows = zip(segments["path"], segments["n_samples"], strict=True)
    lines = [f"{name}\t{n_samples}" for name, n_samples in rows]
    path.write_text("\n".join([str(mat_root), *lines]) + "\n", encoding="utf-8")
