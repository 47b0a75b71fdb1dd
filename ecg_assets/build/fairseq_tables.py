"""The tables that fairseq-signals' scripts keep of recordings and their segments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.build.manifest import Manifest

_SEX = {"F": 1, "M": 0}  # FEMALE_VALUE and MALE_VALUE of scripts/preprocess/ecg/preprocess.py


def write_fairseq_tables(
    records: pd.DataFrame,
    meta: pd.DataFrame,
    segments: pd.DataFrame,
    manifest: Manifest,
    folder: Path,
    *,
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
    meta
        The exported recordings, as `MAT_META` declares.
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
    described = _meta(records, meta, manifest.spec.leads, raw_root)
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


def _meta(
    records: pd.DataFrame, meta: pd.DataFrame, leads: tuple[str, ...], raw_root: Path | str
) -> pd.DataFrame:
    """Give fairseq-signals' columns of the exported recordings, sorted by idx."""
    known = records.assign(idx=np.arange(len(records)))
    joined = known.merge(meta, on="record_id", validate="one_to_one")
    rate = joined["sample_rate_hz"]
    mean, deviation = (
        np.array(joined[name].tolist(), np.float64).reshape(len(joined), len(leads))
        for name in ("mean_mv", "deviation_mv")
    )
    return pd.DataFrame(
        {
            "idx": joined["idx"],
            "subject_id": joined["subject_id"],
            "study_id": joined["study_id"],
            "ecg_time": joined["ecg_time"],
            "age": joined["age"],
            "sex": joined["sex"].map(_SEX).astype("Int64"),
            "path": str(raw_root).rstrip("/") + "/" + joined["path"],
            "save_file": joined["record_id"] + ".mat",
            "source": joined["source"],
            "dataset": joined["source"],
            "lead_order": str(list(leads)),
            "sample_rate": rate.astype(np.int64) if (rate % 1 == 0).all() else rate,
            "sample_size": joined["n_samples"],
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
