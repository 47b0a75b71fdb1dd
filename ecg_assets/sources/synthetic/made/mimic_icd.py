"""MIMIC-IV-ECG's files with the table of MIMIC-IV-ECG-Ext-ICD, of simulated recordings.

Columns are the release's (https://doi.org/10.13026/hdyc-1h77). Traps: rows that are not in the
order of time, so that the first recording of a stay is told by ``ecg_no_within_stay`` alone; stays
of several recordings; recordings in no stay, and stays without a diagnosis; codes with an X that
holds a place, of seven characters, and that one recording has; and with `leaky` a patient in two
folds.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from ecg_assets.sources.synthetic.files import write_cohort_files
from ecg_assets.sources.synthetic.plan import plan_cohort
from ecg_assets.sources.synthetic.study import Conduction, Infarct, Rhythm, Study

COLUMNS = (
    *("file_name", "study_id", "subject_id", "ecg_time", "ed_diag_ed", "ed_diag_hosp"),
    *("hosp_diag_hosp", "all_diag_hosp", "all_diag_all", "gender", "age", "anchor_year"),
    *("anchor_age", "dod", "ecg_no_within_stay", "ecg_taken_in_ed", "ecg_taken_in_hosp"),
    *("ecg_taken_in_ed_or_hosp", "fold", "strat_fold"),
)
RARE_CODE = "T63481A"

_N_FOLDS = 20
_RELEASE = "mimic-iv-ecg-diagnostic-electrocardiogram-matched-subset-1.0"
_OF_RHYTHM = {
    Rhythm.FIRST_DEGREE_BLOCK: "I440",
    Rhythm.WENCKEBACH: "I441",
    Rhythm.FIBRILLATION: "I4891",
    Rhythm.FIBRILLATION_PACED: "I4820",
    Rhythm.FLUTTER: "I4892",
    Rhythm.VENTRICULAR_TACHYCARDIA: "I472",
    Rhythm.ABERRANT_TACHYCARDIA: "I471",
}
_OF_CONDUCTION = {
    Conduction.LEFT_BUNDLE_BLOCK: "I447",
    Conduction.RIGHT_BUNDLE_BLOCK: "I4510",
    Conduction.BIFASCICULAR_BLOCK: "I452",
    Conduction.PREEXCITED: "I456",
    Conduction.PACED: "Z950",
}
_OF_INFARCT = {
    Infarct.LATERAL_OLD: "I252",
    Infarct.INFERIOR_OLD: "I252",
    Infarct.LATERAL_ACUTE: "I214",
    Infarct.ANTEROLATERAL: "I2109",
    Infarct.INFERIOR_ACUTE: "I2119",
}
_OTHER = {"I10": 0.5, "E119": 0.3, "Z87891": 0.2, "W19XXXA": 0.2, "S72001A": 0.1}
"""Diagnoses that no signal shows, with their share of stays."""


def write_mimic_icd(
    root: Path, *, n_records: int = 200, seed: int = 0, leaky: bool = False
) -> None:
    """Write the files of MIMIC-IV-ECG, and records_w_diag_icd10.csv beside them.

    Parameters
    ----------
    root
        Folder, new or empty.
    n_records
        Recordings of 10 s.
    seed
        Seed of every random choice.
    leaky
        Whether a patient with several recordings is in two folds.
    """
    root.mkdir(parents=True, exist_ok=True)
    plan = plan_cohort(n_records, seed=seed, n_shards=1)
    write_cohort_files(root, plan, seed=seed)
    rng = np.random.default_rng([seed, 3])
    ids = [patient.subject_id for patient in plan.patients]
    # The last two folds have the patients that come first in these orders, so that they have some.
    orders = [rng.permutation(len(ids)) for _ in ("fold", "strat_fold")]
    folds = [dict(zip(ids, (-1 - order) % _N_FOLDS, strict=True)) for order in orders]
    rows: list[dict[str, Any]] = []
    for subject_id, group in groupby(plan.studies, lambda study: study.patient.subject_id):
        studies = sorted(group, key=lambda study: study.ecg_time)
        found = _describe_patient(studies, rng)
        for row in found:
            row |= {"fold": int(folds[0][subject_id]), "strat_fold": int(folds[1][subject_id])}
        if leaky and len(found) > 1:
            found[-1]["fold"], leaky = (found[-1]["fold"] + 1) % _N_FOLDS, False
        rows += found
    in_ed = next(row for row in rows if row["ecg_taken_in_ed"] and row["all_diag_all"])
    in_ed["all_diag_all"] = [*in_ed["all_diag_all"], RARE_CODE]
    with (root / "records_w_diag_icd10.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[i] for i in rng.permutation(len(rows)))


def _describe_patient(studies: Sequence[Study], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Rows of a patient's recordings in their order of time: one to three recordings a stay."""
    rows: list[dict[str, Any]] = []
    while len(rows) < len(studies):
        stay = studies[len(rows) : len(rows) + int(rng.integers(1, 4))]
        place = rng.choice(["ed", "ed and hosp", "hosp", "none"], p=[0.4, 0.3, 0.15, 0.15])
        diagnoses = _diagnose(stay, rng) if rng.random() < 0.9 else []
        rows += [_row(study, place, diagnoses, number) for number, study in enumerate(stay)]
    return rows


def _diagnose(stay: Sequence[Study], rng: np.random.Generator) -> list[str]:
    """Codes of a stay: of what its recordings show, and of what they do not."""
    found = [
        code
        for study in stay
        for code in (
            _OF_RHYTHM.get(study.rhythm),
            _OF_CONDUCTION.get(study.conduction),
            _OF_INFARCT.get(study.infarct),
        )
        if code
    ]
    found += [code for code, share in _OTHER.items() if rng.random() < share]
    return list(dict.fromkeys(found)) or ["R0789"]


def _row(study: Study, place: str, diagnoses: list[str], number: int) -> dict[str, Any]:
    in_ed, in_hosp = place.startswith("ed"), place.endswith("hosp")
    of_hosp = diagnoses if in_hosp else []
    patient = study.patient
    return {
        "file_name": f"{_RELEASE}/{study.path}",
        "study_id": study.study_id,
        "subject_id": patient.subject_id,
        "ecg_time": study.ecg_time,
        "ed_diag_ed": diagnoses[:2] if in_ed else [],
        "ed_diag_hosp": of_hosp if in_ed else [],
        "hosp_diag_hosp": of_hosp,
        "all_diag_hosp": of_hosp,
        "all_diag_all": of_hosp or (diagnoses[:2] if in_ed else []),
        "gender": patient.sex,
        "age": float(patient.anchor_age + study.ecg_time.year - patient.anchor_year),
        "anchor_year": float(patient.anchor_year),
        "anchor_age": float(patient.anchor_age),
        "dod": "",
        "ecg_no_within_stay": number if in_ed or in_hosp else -1,
        "ecg_taken_in_ed": in_ed,
        "ecg_taken_in_hosp": in_hosp,
        "ecg_taken_in_ed_or_hosp": in_ed or in_hosp,
    }


WRITERS = {"mimic-iv-ecg-ext-icd": write_mimic_icd}
