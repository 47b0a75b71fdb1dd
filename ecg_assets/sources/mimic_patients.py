"""Age and sex of MIMIC's patients, where MIMIC-IV's own patients table is at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.sources.csv_table import read_csv_table
from ecg_assets.sources.unique_rows import drop_repeated_rows

_OLDEST = 120


def find_patients_table(root: Path) -> Path | None:
    """Find patients.csv.gz or patients.csv of MIMIC-IV, which MIMIC-IV-ECG comes without.

    Looked for, in this order: in the root, in its folder hosp, in a folder hosp beside the
    root, and where ``wget -r`` from PhysioNet puts it: mimiciv/<version>/hosp beside
    mimic-iv-ecg, the highest version first.
    """
    download = root.parent.parent / "mimiciv"
    folders = [root, root / "hosp", root.parent / "hosp"]
    folders += sorted((f / "hosp" for f in download.glob("*")), key=_version, reverse=True)
    places = (folder / name for folder in folders for name in ("patients.csv.gz", "patients.csv"))
    return next((place for place in places if place.is_file()), None)


def read_demographics(
    root: Path, subject_ids: pd.Series[str], times: pd.Series[pd.Timestamp]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Read age at the recording and sex of each record; null where unknown.

    Age is anchor_age + (year of the recording − anchor_year), both in the patient's shifted
    time, so it is right to one year; MIMIC-IV writes 91 for every age above 89.

    Returns
    -------
    tuple
        Columns ``age`` and ``sex`` (F, M), rows as given; and counts.

    Raises
    ------
    SchemaError
        When the table cannot be read, or two rows of one patient differ.
    """
    path = find_patients_table(root)
    if path is None:
        unknown = pd.DataFrame({"age": np.nan, "sex": None}, index=subject_ids.index)
        return unknown, {
            "patients_tables": 0,
            "records_without_age": len(unknown),
            "records_without_sex": len(unknown),
        }
    raw = read_csv_table(path, ("subject_id", "gender", "anchor_age", "anchor_year"))
    raw, _ = drop_repeated_rows(raw, "subject_id", path)
    joined = subject_ids.to_frame("subject_id").merge(
        raw.to_pandas(), on="subject_id", how="left", validate="many_to_one"
    )
    anchor_age, anchor_year = (
        pd.to_numeric(joined[name], errors="coerce").to_numpy(dtype=float)
        for name in ("anchor_age", "anchor_year")
    )
    age = anchor_age + (times.dt.year.to_numpy(dtype=float) - anchor_year)
    sex = joined["gender"].str.upper()
    result = pd.DataFrame(
        {
            "age": np.where((age >= 0) & (age <= _OLDEST), age, np.nan),
            "sex": sex.where(sex.isin(["F", "M"]), None).to_numpy(dtype=object),
        },
        index=subject_ids.index,
    )
    return result, {
        "patients_tables": 1,
        "ages_out_of_range": int(np.isfinite(age).sum() - result["age"].notna().sum()),
        "records_without_age": int(result["age"].isna().sum()),
        "records_without_sex": int(result["sex"].isna().sum()),
    }


def _version(folder: Path) -> list[int]:
    """Sort key of mimiciv/<version>/hosp.

    >>> _version(Path("mimiciv/3.1/hosp")) > _version(Path("mimiciv/2.2/hosp"))
    True
    """
    return [int(part) if part.isdecimal() else -1 for part in folder.parent.name.split(".")]
