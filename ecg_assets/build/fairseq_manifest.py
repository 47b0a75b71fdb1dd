"""The manifest in fairseq-signals' form, for segments exported as .mat files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.build.class_weights import positive_weights
from ecg_assets.build.manifest import Manifest
from ecg_assets.build.manifest_folder import write_label_files
from ecg_assets.errors import SchemaError
from ecg_assets.preprocess import read_mat_files, require_same_spec
from ecg_assets.split import SPLIT_NAMES
from ecg_assets.storage import replace_folder


def write_fairseq_manifest(
    manifest: Manifest,
    records: pd.DataFrame,
    mat_folders: Mapping[str, Path],
    folder: Path,
    *,
    mat_root: Path,
) -> dict[str, int]:
    """Replace a folder by ``{train,valid,test}.tsv``, ``y.npy`` and the label files.

    A ``.tsv`` starts with the line of `mat_root`; each further line is a segment's path
    below it, a tab, and its samples. ``y.npy`` is float64 ``(record of the record list,
    label)``; the ``idx`` in a .mat is a row of it. A row that no .tsv leads to is NaN:
    zeros there would be labels that nobody gave. ``label_def.csv`` and
    ``pos_weight.txt`` count the recordings of the .tsv files.

    Parameters
    ----------
    manifest
        Which recordings to use, their split and targets.
    records
        The record list that the .mat files were exported with.
    mat_folders
        Folder of each exported shard by its name; other shards are left out.
    folder
        Where to write.
    mat_root
        Folder that holds all of `mat_folders`.

    Returns
    -------
    dict
        Segments in each split.

    Raises
    ------
    SpecMismatch
        When .mat files were exported with another spec than the manifest's.
    SchemaError
        When no .mat file belongs to the manifest, or their ``idx`` is not that of `records`.
    """
    row_of_record = pd.DataFrame(
        {"record_id": records["record_id"].to_numpy(), "y_row": np.arange(len(records))}
    )
    files = (
        _read_files(manifest, mat_folders, mat_root)
        .merge(manifest.index[["record_id", "split"]], on="record_id", validate="many_to_one")
        .merge(row_of_record, on="record_id", how="left", validate="many_to_one")
    )
    if files.empty or not files["row"].equals(files["y_row"]):
        raise SchemaError(
            f"{len(files)} .mat files belong to the manifest, and the idx of "
            f"{int((files['row'] != files['y_row']).sum())} of them is not their row in the "
            "record list. Export the .mat files again."
        )
    used = _select(manifest, files["record_id"])
    targets = np.full((len(records), len(manifest.vocabulary)), np.nan)
    y_row = pd.Index(records["record_id"]).get_indexer(pd.Index(used.index["record_id"]))
    targets[y_row] = used.targets
    with replace_folder(folder) as temporary:
        for split in SPLIT_NAMES:
            _write_tsv(files[files["split"] == split], mat_root, temporary / f"{split}.tsv")
        np.save(temporary / "y.npy", targets)
        write_label_files(used, temporary)
    return {split: int((files["split"] == split).sum()) for split in SPLIT_NAMES}


def _read_files(
    manifest: Manifest, mat_folders: Mapping[str, Path], mat_root: Path
) -> pd.DataFrame:
    """List the exported files, shard by shard, with their path below the root."""
    parts = []
    for shard, folder in sorted(mat_folders.items()):
        files, spec = read_mat_files(folder)
        require_same_spec(manifest.spec, spec, where=f"the .mat files of shard {shard}")
        below = folder.relative_to(mat_root).as_posix()
        parts.append(files.assign(path=[f"{below}/{name}" for name in files["file"]]))
    if not parts:
        raise SchemaError("No shard is exported as .mat files. Export mat_records first.")
    return pd.concat(parts, ignore_index=True)


def _select(manifest: Manifest, record_ids: pd.Series[str]) -> Manifest:
    """Keep some recordings; weights are those of what is left."""
    is_kept = manifest.index["record_id"].isin(record_ids).to_numpy()
    index, targets = manifest.index[is_kept].reset_index(drop=True), manifest.targets[is_kept]
    weights = positive_weights(targets[index["split"].to_numpy() == "train"])
    return replace(manifest, index=index, targets=targets, pos_weight=weights)


def _write_tsv(files: pd.DataFrame, mat_root: Path, path: Path) -> None:
    lines = [f"{name}\t{n}" for name, n in zip(files["path"], files["n_samples"], strict=True)]
    path.write_text("\n".join([str(mat_root), *lines]) + "\n", encoding="utf-8")
