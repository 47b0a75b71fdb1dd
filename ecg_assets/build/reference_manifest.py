"""The files of the Lead-I pipeline's build step, for .mat files exported in its layout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from ecg_assets.build.manifest import Manifest
from ecg_assets.build.mat_listing import (
    join_split,
    list_segments,
    read_mat_folders,
    select_recordings,
    targets_by_record,
    write_tsv,
)
from ecg_assets.errors import SchemaError
from ecg_assets.labels.reference_files import define_labels, format_reference_weights
from ecg_assets.preprocess import lead_folder
from ecg_assets.split import SPLIT_NAMES
from ecg_assets.storage import replace_folder

_FAULTS_OF_SIGNALS = ("no_signal", "too_short", "flat_lead", "missing_samples")


def write_reference_manifest(
    manifest: Manifest,
    records: pd.DataFrame,
    mat_folders: Mapping[str, Path],
    folder: Path,
    *,
    mat_root: Path,
    weights_from: Literal["train", "all"] = "train",
) -> dict[str, int]:
    """Replace a folder by what the pipeline's build step leaves, in ``lead_1/`` for Lead I.

    =========================  ===============================================================
    ``manifests/*.tsv``        train, valid, test, as `write_tsv` writes them
    ``manifests/y.npy``        float32 (segment, label): ``idx`` in a segment is a row of it
    ``…/original_idx_order.npy``  study_id of each row of ``y.npy``, int64 (segment,)
    ``manifests/label_def.csv``   ``name,count,pos_percent,pos_weight`` of recordings
    ``manifests/pos_weight.txt``  the weights in one line, 8 decimals
    ``test_labels.csv``        ``idx`` = study_id and a column of 0.0/1.0 a label, by study_id
    ``test_file_list.csv``     ``idx,study_id,save_file`` of the test recordings
    ``study_id_mapping.csv``   ``study_id,save_file`` of all recordings, by study_id
    ``skipped_bad_mat.txt``    ``save_file: reason`` of recordings left out for their signal;
                               only where there are any
    =========================  ===============================================================

    ``y.npy`` has a row for every segment that the record list could give, in its order, so
    that no .mat changes with the split; the pipeline has those of its .tsv files, split by
    split. A row that no .tsv leads to is NaN.

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
    weights_from
        Recordings that the weights are of: those of the training split, or all, test too, as
        the pipeline has them.

    Returns
    -------
    dict
        Segments in each split.

    Raises
    ------
    SpecMismatch
        When .mat files were exported with another spec than the manifest's.
    SchemaError
        When no .mat file belongs to the manifest, their ``idx`` is not that of `records`,
        they have another layout, or a study_id is no whole number.
    """
    exported = read_mat_folders(manifest, mat_folders, "reference")
    segments = list_segments(exported, records, mat_root)
    n_segments = manifest.spec.record_samples // manifest.spec.segment_samples
    expected = segments["record_row"] * n_segments + segments["segment"]  # see reference_row
    used = join_split(segments, manifest, expected)
    kept = select_recordings(manifest, used["record_id"])
    studies = _study_ids(records)
    with replace_folder(folder) as temporary:
        target = temporary / lead_folder(manifest.spec)
        (target / "manifests").mkdir(parents=True)
        for split in SPLIT_NAMES:
            of_split = used[used["split"] == split]
            write_tsv(of_split, mat_root, target / "manifests" / f"{split}.tsv")
        targets = np.repeat(targets_by_record(kept, records).astype(np.float32), n_segments, 0)
        np.save(target / "manifests" / "y.npy", targets)
        order = np.repeat(studies.to_numpy(), n_segments)
        np.save(target / "manifests" / "original_idx_order.npy", order)
        _write_label_files(kept, target / "manifests", weights_from)
        _write_study_files(kept, studies, target)
        skipped = _skipped(manifest, kept, records, mat_folders)
        if skipped:
            (target / "skipped_bad_mat.txt").write_text("\n".join(skipped), encoding="utf-8")
    return {split: int((used["split"] == split).sum()) for split in SPLIT_NAMES}


def _study_ids(records: pd.DataFrame) -> pd.Series[int]:
    """Give study_id of each recording of the list as int64, by ``record_id``."""
    try:
        numbers = records["study_id"].astype(np.int64)
    except ValueError as error:
        raise SchemaError(
            "study_id must be a whole number for every recording in the layout 'reference': "
            f"{error}. Set ECG_MAT_LAYOUT=fairseq for this dataset."
        ) from error
    return pd.Series(numbers.to_numpy(), index=records["record_id"])


def _write_label_files(kept: Manifest, folder: Path, weights_from: Literal["train", "all"]) -> None:
    weighed = kept.targets if weights_from == "all" else kept.targets[kept.rows("train")]
    definition = define_labels(kept.targets, weighed, kept.vocabulary)
    _write_csv(definition, folder / "label_def.csv")
    weights = format_reference_weights(definition["pos_weight"])
    (folder / "pos_weight.txt").write_text(weights, encoding="utf-8")


def _write_study_files(kept: Manifest, studies: pd.Series[int], folder: Path) -> None:
    """Write the three tables that name studies."""
    record_ids = kept.index["record_id"]
    study = studies.loc[record_ids].to_numpy()
    named = pd.DataFrame({"study_id": study, "save_file": record_ids + ".mat"})
    _write_csv(named.sort_values("study_id"), folder / "study_id_mapping.csv")
    test = kept.rows("test")
    listed = named.iloc[test]
    _write_csv(listed.assign(idx=range(len(test)))[["idx", *named]], folder / "test_file_list.csv")
    names = list(kept.vocabulary.names)
    labels = pd.DataFrame(kept.targets[test].astype(np.float32), columns=names)
    labels.insert(0, "idx", study[test])
    _write_csv(labels.sort_values("idx"), folder / "test_labels.csv")


def _skipped(
    manifest: Manifest, kept: Manifest, records: pd.DataFrame, mat_folders: Mapping[str, Path]
) -> list[str]:
    """Name the exported shards' recordings that were left out for their signal, with the reason."""
    excluded = manifest.excluded[manifest.excluded["reason"].isin(_FAULTS_OF_SIGNALS)]
    shard = records.set_index("record_id")["shard"]
    is_exported = shard.loc[excluded["record_id"]].isin(list(mat_folders)).to_numpy()
    named = excluded[is_exported]
    reasons = dict(zip(named["record_id"], named["reason"], strict=True))
    lost = manifest.index[manifest.index["shard"].isin(list(mat_folders))]["record_id"]
    shorter = f"shorter than {manifest.spec.record_s:g} s"
    reasons |= dict.fromkeys(lost[~lost.isin(kept.index["record_id"])], shorter)
    return [f"{record_id}.mat: {reason}" for record_id, reason in sorted(reasons.items())]


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False, lineterminator="\n")
