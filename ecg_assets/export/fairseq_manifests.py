"""The manifests and side files of fairseq-signals, for segments exported as .mat files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.build.manifest import Manifest, write_label_files
from ecg_assets.export.mat_listing import (
    join_split,
    list_segments,
    number_records,
    read_mat_folders,
    segments_of,
    select_recordings,
    targets_by_record,
    write_tsv,
)
from ecg_assets.split import SPLIT_NAMES, require_no_leakage
from ecg_assets.storage import replace_folder

# Pairs of adjacent segments, which fairseq-signals' CMSC pre-training reads.


def write_cmsc_manifest(segments: pd.DataFrame, mat_root: Path, path: Path) -> None:
    """Write the root folder, the extension, then each pair of segments of one recording.

    A line is the common start of both paths, the samples of a segment, 0, and the numbers of
    the two: ``p1000/r_0.mat`` and ``p1000/r_1.mat`` are ``p1000/r<TAB>2500<TAB>0<TAB>0,1``.
    Segments pair up from the first on; one that is left over has no line. The reader takes
    two segments for the same patient's where their files' ``idx`` agree (fairseq-signals,
    ``data/ecg/cmsc_ecg_dataset.py``).

    Parameters
    ----------
    segments
        ``record_id``, ``segment`` (from 0, without gaps), ``path`` and ``n_samples``.
    mat_root
        Folder that the paths start from.
    path
        File to write.
    """
    n_segments = segments.groupby("record_id")["segment"].transform("size")
    number = segments["segment"]
    first = segments[(number % 2 == 0) & (number + 1 < n_segments)]
    rows = zip(first["path"], first["n_samples"], first["segment"], strict=True)
    lines = [
        f"{name.removesuffix(f'_{at}.mat')}\t{n_samples}\t0\t{at},{at + 1}"
        for name, n_samples, at in rows
    ]
    path.write_text("\n".join([str(mat_root), "mat", *lines]) + "\n", encoding="utf-8")


# The tables that fairseq-signals' scripts keep of recordings and their segments.


_SEX = {"F": 1, "M": 0}  # FEMALE_VALUE and MALE_VALUE of scripts/preprocess/ecg/preprocess.py


def write_fairseq_tables(
    records: pd.DataFrame,
    reports: pd.DataFrame,
    meta: pd.DataFrame,
    segments: pd.DataFrame,
    manifest: Manifest,
    *,
    folder: Path,
    mat_root: Path,
    raw_root: Path | str,
) -> None:
    """Write ``meta.csv``, ``segmented.csv``, ``meta_split.csv`` and ``segmented_split.csv``.

    The first two list all exported recordings and segments, the others those of the
    manifest. Rows are sorted by ``idx``, the recording's row in the record list, and by
    segment. ``save_file`` is ``<record_id>.mat``; ``path`` is absolute: in ``meta.csv`` of the
    raw recording, else of the segment's file.

    Parameters
    ----------
    records
        As `RECORD_LIST` declares.
    reports
        As `MACHINE_REPORTS` declares; a record that it lacks has no report.
    meta
        The exported recordings, as `MAT_META` declares, and ``save_path``: their .mat file, or
        what the names of its segments' begin with.
    segments
        The exported segments, as `list_segments` gives them.
    manifest
        Which recordings have a split.
    folder
        Where to write.
    mat_root, raw_root
        Where the paths of `segments` and `records` start; `raw_root` may be a URL.
    """
    ordered = segments.sort_values(["record_row", "segment"])
    segmented = pd.DataFrame(
        {
            "idx": ordered["record_row"],
            "save_file": ordered["record_id"] + ".mat",
            "path": str(mat_root) + "/" + ordered["path"],
            "sample_size": ordered["n_samples"],
        }
    )
    described = _meta(records, _machine_reports(reports), meta, manifest.spec.leads, raw_root)
    meta_split = described[["idx", "save_file"]].merge(
        pd.DataFrame(
            {
                "save_file": manifest.index["record_id"] + ".mat",
                "split": manifest.index["split"],
            }
        ),
        on="save_file",
        validate="one_to_one",
    )
    segmented_split = segmented.merge(meta_split, on=["idx", "save_file"], validate="many_to_one")
    for name, table in {
        "meta": described,
        "segmented": segmented[["path", "save_file", "sample_size"]],
        "meta_split": meta_split,
        "segmented_split": segmented_split[["idx", "save_file", "split", "path", "sample_size"]],
    }.items():
        table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")


def _machine_reports(reports: pd.DataFrame) -> pd.Series[str]:
    """Join each record's lines as fairseq-signals' script does, by ``record_id``."""
    texts = ["; ".join(lines) for lines in reports["lines"]]
    return pd.Series(texts, index=reports["record_id"], dtype=object)


def _meta(
    records: pd.DataFrame,
    reports: pd.Series[str],
    meta: pd.DataFrame,
    leads: tuple[str, ...],
    raw_root: Path | str,
) -> pd.DataFrame:
    """Give fairseq-signals' columns of the exported recordings, sorted by idx."""
    joined = records.merge(meta, on="record_id", validate="one_to_one").sort_values("row")
    rate = joined["sample_rate_hz"]
    source = joined["source"].str.replace("-", "_")  # as its scripts spell it
    mean, deviation = (
        np.array(joined[name].tolist(), np.float64).reshape(len(joined), len(leads))
        for name in ("mean_mv", "deviation_mv")
    )
    return pd.DataFrame(
        {
            "idx": joined["row"],
            "subject_id": joined["subject_id"],
            "study_id": joined["study_id"],
            "file_name": joined["path"].str.rsplit("/", n=1).str[-1],
            "ecg_time": joined["ecg_time"],
            "path": str(raw_root).rstrip("/") + "/" + joined["path"],
            "age": joined["age"],
            "sex": joined["sex"].map(_SEX).astype("Int64"),
            "machine_report": joined["record_id"].map(reports),
            "save_file": joined["record_id"] + ".mat",
            "source": source,
            "dataset": source,
            "save_path": joined["save_path"],
            "lead_order": str(list(leads)),
            "sample_rate": rate.astype(np.int64) if (rate % 1 == 0).all() else rate,
            "sample_size": joined["n_samples"],
            "units": "mv",
            "avail_leads": str(list(leads)),
            "nan_any": joined["missing_leads"].str.len() > 0,
            "nan_leads_any": joined["absent_leads"].str.len() > 0,
            "nan_leads": joined["absent_leads"].map(lambda names: str(list(names))),
            "constant_leads_any": joined["constant_leads"].str.len() > 0,
            "constant_leads": joined["constant_leads"].map(lambda names: str(list(names))),
            **{f"mean_{at}": mean[:, at] for at in range(len(leads))},
            **{f"std_{at}": deviation[:, at] for at in range(len(leads))},
        }
    )


def write_fairseq_manifest(
    manifest: Manifest,
    records: pd.DataFrame,
    reports: pd.DataFrame,
    mat_folders: Mapping[str, Path],
    folder: Path,
    *,
    mat_root: Path,
    raw_root: Path | str,
) -> dict[str, int]:
    """Replace a folder by the files that fairseq-signals' scripts leave for training.

    ``{train,valid,test}.tsv``, as `write_tsv` writes them, and ``cmsc/`` with the same names,
    as `write_cmsc_manifest` does: of the recordings without labels, too, which pre-training
    does not need. ``y.npy`` is float64 ``(record of the record list,
    label)``; the ``idx`` in a .mat is a row of it. A row that no .tsv leads to is NaN.
    ``label_def.csv`` and ``pos_weight.txt`` count the recordings of the .tsv files.
    ``meta.csv``, ``segmented.csv``, ``meta_split.csv`` and ``segmented_split.csv`` are
    those of `write_fairseq_tables`.

    Parameters
    ----------
    manifest
        Which recordings to use, their split and targets.
    records
        The record list that the .mat files were exported with, as `RECORD_LIST` declares; with
        ``row`` where their idx is not the place in it, as `number_records` gives it.
    reports
        As `MACHINE_REPORTS` declares, for ``meta.csv``.
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
    records = number_records(records)
    exported = read_mat_folders(manifest, mat_folders, "fairseq")
    segments = list_segments(exported, records, mat_root)
    used = join_split(segments, manifest, segments["record_row"])
    kept = select_recordings(manifest, used["record_id"])
    every = pd.concat([manifest.index, manifest.unlabelled], ignore_index=True)
    require_no_leakage(every, where="the manifest with its recordings without labels")
    readable = segments_of(every, segments)
    with replace_folder(folder) as temporary:
        (temporary / "cmsc").mkdir()
        for split in SPLIT_NAMES:
            write_tsv(used[used["split"] == split], mat_root, temporary / f"{split}.tsv")
            write_cmsc_manifest(
                readable[readable["split"] == split], mat_root, temporary / "cmsc" / f"{split}.tsv"
            )
        np.save(temporary / "y.npy", targets_by_record(kept, records))
        write_label_files(kept, temporary)
        parts = [
            found.meta.assign(save_path=f"{of_shard}/" + found.meta["record_id"] + ".mat")
            for of_shard, found in exported.items()
        ]
        write_fairseq_tables(
            records,
            reports,
            pd.concat(parts, ignore_index=True),
            segments,
            kept,
            folder=temporary,
            mat_root=mat_root,
            raw_root=raw_root,
        )
    return {split: int((used["split"] == split).sum()) for split in SPLIT_NAMES}
