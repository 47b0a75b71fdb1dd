"""The files of ECG-FM's Lead-I fine-tuning pipeline, by its names and formats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from ecg_assets.build.manifest import Manifest
from ecg_assets.errors import SchemaError
from ecg_assets.export.mat_layout import lead_folder
from ecg_assets.export.mat_listing import (
    join_split,
    list_segments,
    read_mat_folders,
    select_recordings,
    targets_by_record,
    write_tsv,
)
from ecg_assets.known import is_known, is_positive
from ecg_assets.labels.label_tables import label_matrix
from ecg_assets.labels.vocabulary import ECG_FM_LABELS, LabelVocabulary
from ecg_assets.split import SPLIT_NAMES
from ecg_assets.storage import replace_folder

_FAULTS_OF_SIGNALS = ("no_signal", "too_short", "flat_lead", "missing_samples")

# Its label step.


def write_reference_files(
    labels: pd.DataFrame,
    records: pd.DataFrame,
    split: pd.DataFrame,
    folder: Path,
    *,
    vocabulary: LabelVocabulary = ECG_FM_LABELS,
    weights_from: Literal["train", "all"] = "train",
) -> dict[str, int]:
    """Write what the pipeline's label step leaves in ``computed_labels``, as a whole folder.

    Rows are the labelled recordings that the split names, in the order of the records; ``idx``
    numbers them from 0 in every file. Recordings without labels are left out: the pipeline
    gives them zeros.

    ==========================  ==============================================================
    ``labels.csv``              ``idx`` and a column of 0/1 a label; empty: not measured
    ``y.npy``                   the same: float32 (n_rows, n_labels); NaN: not measured
    ``y_soft.npy``              probabilities: float32 (n_rows, n_labels)
    ``label_def_recomputed.csv``  ``name,count,pos_percent,pos_weight``; pos_percent is 0 to 1
    ``pos_weight.txt``          the weights in one line, 8 decimals, without a final newline
    ``study_id_mapping.csv``    ``idx,study_id,split``
    ==========================  ==============================================================

    Weights are negatives over positives. A label without positives gets the number of rows, as
    if it had one: its own weight would not be finite.

    Parameters
    ----------
    labels
        Table of `LABELS`.
    records
        Record list: ``record_id`` and ``study_id`` are read.
    split
        Table with ``record_id`` and ``split``.
    folder
        Replaced if it exists.
    weights_from
        Rows that the weights are of: those of the training split, or all, test rows too, as the
        pipeline has them. Counts are always of all rows.

    Returns
    -------
    dict
        Counts: ``rows``, ``records_without_labels``, ``records_without_split``.
    """
    record_ids, value, probability = label_matrix(labels, vocabulary)
    rows = _rows(records, record_ids, split)
    is_usable = rows["label_row"].notna() & rows["split"].notna()
    used = rows[is_usable]
    order = used["label_row"].to_numpy(dtype=np.int64)
    with replace_folder(folder) as target:
        weighed = value[order][(used["split"] == "train").to_numpy() | (weights_from == "all")]
        _write_arrays(target, value[order], probability[order], weighed, vocabulary)
        mapping = pd.DataFrame(
            {"idx": np.arange(len(used)), "study_id": used["study_id"], "split": used["split"]}
        )
        _write_csv(mapping, target / "study_id_mapping.csv")
    return {
        "rows": len(used),
        "records_without_labels": int(rows["label_row"].isna().sum()),
        "records_without_split": int(rows["split"].isna().sum()),
    }


def define_labels(
    value: npt.NDArray[np.uint8], weighed: npt.NDArray[np.uint8], vocabulary: LabelVocabulary
) -> pd.DataFrame:
    """Count each label's positives and weigh them, in the pipeline's ``name,count,…``.

    Parameters
    ----------
    value
        0 or 1, ``(recording, label)``: what counts are of. `NOT_MEASURED` counts as neither.
    weighed
        The same of the recordings that weights are of.
    vocabulary
        Names of the labels.

    Returns
    -------
    DataFrame
        ``name, count, pos_percent`` (0 to 1) and ``pos_weight``: negatives over positives,
        or the number of rows for a label without positives.
    """
    count, positive = (is_positive(one).sum(axis=0, dtype=np.int64) for one in (value, weighed))
    known, n_weighed = (is_known(one).sum(axis=0, dtype=np.int64) for one in (value, weighed))
    return pd.DataFrame(
        {
            "name": list(vocabulary.names),
            "count": count,
            "pos_percent": count / np.maximum(known, 1),
            "pos_weight": (n_weighed - positive) / np.maximum(positive, 1),
        }
    )


def format_reference_weights(weights: Iterable[float]) -> str:
    """Write weights in the pipeline's one line, 8 decimals, without a final newline.

    >>> format_reference_weights([2.0, 0.5])
    '2.00000000 0.50000000'
    """
    return " ".join(f"{weight:.8f}" for weight in weights)


def _rows(
    records: pd.DataFrame, record_ids: npt.NDArray[np.object_], split: pd.DataFrame
) -> pd.DataFrame:
    """Give each record its row in the label matrix and its split; empty where there is none."""
    label_row = pd.DataFrame({"record_id": record_ids, "label_row": np.arange(len(record_ids))})
    return (
        records[["record_id", "study_id"]]
        .astype({"record_id": object})
        .merge(label_row, on="record_id", how="left", validate="one_to_one")
        .merge(
            split[["record_id", "split"]].astype({"record_id": object}),
            on="record_id",
            how="left",
            validate="one_to_one",
        )
    )


def _write_arrays(
    folder: Path,
    value: npt.NDArray[np.uint8],
    probability: npt.NDArray[np.float32],
    weighed: npt.NDArray[np.uint8],
    vocabulary: LabelVocabulary,
) -> None:
    names = list(vocabulary.names)
    definition = define_labels(value, weighed, vocabulary)
    known = is_known(value)
    stated = value if known.all() else np.where(known, value, np.nan)
    table = pd.DataFrame(stated, columns=names)
    if not known.all():
        table = table.astype("Int64")  # 0, 1 or an empty cell
    table.insert(0, "idx", np.arange(len(value)))
    np.save(folder / "y.npy", stated.astype(np.float32))
    np.save(folder / "y_soft.npy", probability)
    _write_csv(table, folder / "labels.csv")
    _write_csv(definition, folder / "label_def_recomputed.csv")
    weights = format_reference_weights(definition["pos_weight"])
    (folder / "pos_weight.txt").write_text(weights, encoding="utf-8")


# Its build step, for .mat files exported in its layout.


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
            f"{error}. Materialize mat_records with layout: fairseq."
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
    stated = kept.targets[test]
    shown = np.where(is_known(stated), stated, np.nan).astype(np.float32)
    labels = pd.DataFrame(shown, columns=names)
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
