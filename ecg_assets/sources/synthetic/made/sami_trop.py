"""A made SaMi-Trop and CODE-15%, and with a made PTB-XL the Challenge 2025."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.sources.challenge_2025 import CODE_15_LABELS_FILE
from ecg_assets.sources.code_15 import EXAMS_FILE
from ecg_assets.sources.code_15 import LABEL_COLUMNS as CODE_15_COLUMNS
from ecg_assets.sources.sami_trop import CHAGAS, TRACINGS_FILE
from ecg_assets.sources.synthetic.made.ptb_xl import write_ptb_xl
from ecg_assets.sources.synthetic.made.tracings import (
    find_abnormalities,
    plan_studies,
    write_tracings,
)
from ecg_assets.sources.synthetic.study import Conduction, Rhythm, Study
from ecg_assets.sources.tracings import LEADS

_CONDUCTED = (Rhythm.SINUS, Rhythm.FIRST_DEGREE_BLOCK, Rhythm.FIBRILLATION)
_PART_FILE = "exams_part0.hdf5"


def write_sami_trop(root: Path, *, n_records: int = 60, seed: int = 0) -> None:
    """Write a made SaMi-Trop: each row of exams.csv is of the tracing at its place.

    The exams' numbers are in no order, as in the real one. Most hearts have a right bundle branch
    block with a fascicular one, which is what Chagas disease does.

    Parameters
    ----------
    root
        Folder to write, made where it is missing.
    n_records
        Recordings, of as many patients.
    seed
        Seed of every random choice.
    """
    rng = np.random.default_rng([seed, 5])
    studies = [_with_block(study, rng.random() < 0.7) for study in plan_studies(n_records, seed)]
    root.mkdir(parents=True, exist_ok=True)
    write_tracings(root / TRACINGS_FILE, studies, seed, LEADS)
    table = _describe(studies, _draw_exam_ids(n_records, rng), rng)
    columns = ("exam_id", "age", "is_male", "normal_ecg", "death", "timey", "nn_predicted_age")
    table[list(columns)].to_csv(root / EXAMS_FILE, index=False)


def write_code_15(root: Path, *, n_records: int = 60, seed: int = 0) -> None:
    """Write a made CODE-15% with the challenge's table of Chagas disease.

    exams.csv is in another order than the tracings, which have a last row of zeros; the table of
    Chagas disease lacks every tenth exam.

    Parameters
    ----------
    root
        Folder to write, made where it is missing.
    n_records
        Recordings of patients with one to six of them.
    seed
        Seed of every random choice.
    """
    rng = np.random.default_rng([seed, 6])
    studies = plan_studies(n_records, seed)
    root.mkdir(parents=True, exist_ok=True)
    exam_ids = _draw_exam_ids(n_records, rng)
    write_tracings(root / _PART_FILE, studies, seed, LEADS, dtype="<f4", exam_ids=exam_ids)
    table = _describe(studies, exam_ids, rng).assign(trace_file=_PART_FILE)
    table["patient_id"] = [study.patient.subject_id for study in studies]
    columns = ["exam_id", "age", "is_male", "nn_predicted_age", *CODE_15_COLUMNS[:-1]]
    columns += ["patient_id", "death", "timey", "normal_ecg", "trace_file"]
    shuffled = table.iloc[rng.permutation(n_records)]
    shuffled[columns].to_csv(root / EXAMS_FILE, index=False)
    blocked = [study.conduction is Conduction.BIFASCICULAR_BLOCK for study in studies]
    told = table[["exam_id", "patient_id"]].assign(**{CHAGAS: blocked})
    told[np.arange(n_records) % 10 != 9].to_csv(root / CODE_15_LABELS_FILE, index=False)


def write_challenge_2025(root: Path, *, n_records: int = 60, seed: int = 0) -> None:
    """Write the folders code-15, of half of the recordings, sami-trop and ptb-xl.

    Parameters
    ----------
    root
        Folder to write, made where it is missing.
    n_records
        Recordings, four or more.
    seed
        Seed of every random choice.
    """
    n_each = max(1, n_records // 4)
    write_code_15(root / "code-15", n_records=n_records - 2 * n_each, seed=seed)
    write_sami_trop(root / "sami-trop", n_records=n_each, seed=seed + 1)
    write_ptb_xl(root / "ptb-xl", n_records=n_each, seed=seed + 2)


def _with_block(study: Study, is_blocked: bool) -> Study:
    can_be = study.rhythm in _CONDUCTED and study.conduction is not Conduction.LEFT_BUNDLE_BLOCK
    return (
        replace(study, conduction=Conduction.BIFASCICULAR_BLOCK) if is_blocked & can_be else study
    )


def _draw_exam_ids(n_records: int, rng: np.random.Generator) -> list[int]:
    return [int(number) for number in 1000 + rng.choice(4_000_000, n_records, replace=False)]


def _describe(
    studies: list[Study] | tuple[Study, ...], exam_ids: list[int], rng: np.random.Generator
) -> pd.DataFrame:
    found = pd.DataFrame([find_abnormalities(study) for study in studies])
    ages = np.array([study.patient.anchor_age for study in studies])
    return found.assign(
        exam_id=exam_ids,
        age=ages,
        is_male=[study.patient.sex == "M" for study in studies],
        death=rng.random(len(studies)) < 0.2,
        timey=np.round(rng.uniform(0.1, 3.4, len(studies)), 2),
        nn_predicted_age=np.round(ages + rng.normal(0, 8, len(studies)), 2),
    )


WRITERS = {
    "sami-trop": write_sami_trop,
    "code-15": write_code_15,
    "challenge-2025": write_challenge_2025,
}
