"""A made EchoNext: a table, and standardized recordings in an array for each split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecg_assets.sources.echonext import (
    COMPOSITE,
    DEVIATIONS,
    FLAGS,
    HIGHEST,
    LEADS,
    LOWEST,
    MEANS,
    METADATA_FILE,
    MV_PER_UNIT,
)
from ecg_assets.sources.synthetic.made.tracings import plan_studies, simulate_leads
from ecg_assets.sources.synthetic.study import Conduction, Ectopy, Infarct, Rhythm, Study

_ORDER = ("no_split", "train", "val", "test")
"""Blocks of the table: that a row's place in its split is not its place in the table."""

_MEASURED = {
    "lvef_value": 0.9,
    "ivs_measurement": 0.95,
    "lvpw_measurement": 0.95,
    "pasp_value": 0.57,
    "tr_max_velocity_value": 0.45,
    "pericardial_effusion_value": 0.88,
}
"""Share of the recordings of which each was measured; of the others 95 %."""

_NUMBERS = {
    "lvef_lte_45_flag": (("lvef_value",), (58.0, 35.0)),
    "lvwt_gte_13_flag": (("ivs_measurement", "lvpw_measurement"), (1.0, 1.5)),
    "pasp_gte_45_flag": (("pasp_value",), (30.0, 55.0)),
    "tr_max_gte_32_flag": (("tr_max_velocity_value",), (2.4, 3.6)),
}
"""Columns of each number, and what stands there without and with the finding."""

_GRADES = {
    "rv_systolic_dysfunction_moderate_or_greater_flag": (
        "rv_systolic_function_value",
        ("normal", "moderately_reduced"),
    ),
    "pericardial_effusion_moderate_large_flag": ("pericardial_effusion_value", ("none", "large")),
}


def write_echonext(root: Path, *, n_records: int = 60, seed: int = 0) -> None:
    """Write a made EchoNext, with what the real one has.

    That is flags that are 0 because nothing was measured, though the recording shows the finding;
    ``presumed none``; ``no_split`` for the earlier recordings of patients of val and test; clipped
    and standardized samples ``(recording, 1, sample, lead)``. The last recording of train is all
    NaN. What goes for a finding of the heart is one of the electrocardiogram: a bundle branch
    block for a low ejection fraction, and so on.

    Parameters
    ----------
    root
        Folder to write, made where it is missing.
    n_records
        Recordings of patients with one to six of them, ten or more.
    seed
        Seed of every random choice.
    """
    rng = np.random.default_rng([seed, 7])
    studies = plan_studies(n_records, seed)
    split = _assign_splits(studies, rng)
    order = np.array(sorted(range(n_records), key=lambda at: (_ORDER.index(split[at]), at)))
    keys = rng.permutation(n_records) + 1
    rows = [
        {"ecg_key": keys[at], **_describe(studies[at], rng), "split": split[at]} for at in order
    ]
    root.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(root / METADATA_FILE)
    for name in _ORDER:
        members = [studies[at] for at in order if split[at] == name]
        array = np.zeros((len(members), 1, 2500, len(LEADS)))
        for row, signal in enumerate(simulate_leads(members, seed, LEADS)):
            units = np.clip(signal[:, ::2].T / MV_PER_UNIT, LOWEST, HIGHEST)
            array[row, 0] = (units - MEANS) / DEVIATIONS
        if name == "train" and len(members) > 1:
            array[-1] = np.nan
        np.save(root / f"EchoNext_{name}_waveforms.npy", array)


def _assign_splits(studies: tuple[Study, ...], rng: np.random.Generator) -> list[str]:
    """Put each patient into a split; of val and test all but the latest recording into none."""
    patients = list(dict.fromkeys(study.patient.subject_id for study in studies))
    drawn = rng.permutation(len(patients))
    n_held = max(1, len(patients) // 6)
    names = {patients[at]: "train" for at in drawn}
    names |= {patients[at]: "val" for at in drawn[:n_held]}
    names |= {patients[at]: "test" for at in drawn[n_held : 2 * n_held]}
    latest = {s.patient.subject_id: s for s in sorted(studies, key=lambda s: s.ecg_time)}
    found = []
    for study in studies:
        name, patient = names[study.patient.subject_id], study.patient.subject_id
        found.append(name if name == "train" or latest[patient] is study else "no_split")
    return found


def _describe(study: Study, rng: np.random.Generator) -> dict[str, Any]:
    """Make a row of the table without its key and split."""
    row: dict[str, Any] = {
        "patient_key": study.patient.subject_id,
        "acquisition_year": 2008 + int(rng.integers(14)),
        "location_setting": "outpatient",
        "race_ethnicity": "unknown",
        "most_recent_ecg": 0,
        "sex": int(study.patient.sex == "M"),
        "ventricular_rate": round(study.rate_bpm),
        "age_at_ecg": min(study.patient.anchor_age, 90),
    }
    for flag, is_there in _find(study).items():
        columns = _columns_of(flag)
        is_measured = [rng.random() < _MEASURED.get(column, 0.95) for column in columns]
        row[flag] = int(is_there and all(is_measured))
        for column, known in zip(columns, is_measured, strict=True):
            row[column] = _value(flag, is_there, rng) if known else None
    row[COMPOSITE] = max(row[flag] for flag in FLAGS if flag != COMPOSITE)
    return row


def _columns_of(flag: str) -> tuple[str, ...]:
    if flag in _NUMBERS:
        return _NUMBERS[flag][0]
    if flag in _GRADES:
        return (_GRADES[flag][0],)
    return (flag.replace("moderate_or_greater_flag", "value"),)


def _value(flag: str, is_there: bool, rng: np.random.Generator) -> float | str:
    if flag in _NUMBERS:
        return round(_NUMBERS[flag][1][is_there] * float(rng.uniform(0.95, 1.05)), 2)
    if flag in _GRADES:
        return _GRADES[flag][1][is_there]
    return "severe" if is_there else ("none", "presumed none", "mild")[int(rng.integers(3))]


def _find(study: Study) -> dict[str, bool]:
    """Give each finding by what of the electrocardiogram goes for it."""
    amplitude = study.patient.heart.amplitude
    is_fibrillating = study.rhythm in (Rhythm.FIBRILLATION, Rhythm.FIBRILLATION_PACED)
    shown = (
        study.conduction is Conduction.LEFT_BUNDLE_BLOCK or study.infarct is not Infarct.NONE,
        amplitude > 1.2,
        study.has_flat_t,
        study.conduction is Conduction.PREEXCITED,
        study.rhythm is Rhythm.FLUTTER,
        is_fibrillating,
        study.ectopy is Ectopy.VENTRICULAR,
        study.conduction in (Conduction.RIGHT_BUNDLE_BLOCK, Conduction.BIFASCICULAR_BLOCK),
        amplitude < 0.8,
        study.rhythm is Rhythm.SINUS and study.rate_bpm > 100,
        is_fibrillating,
    )
    return dict(zip(FLAGS[:-1], shown, strict=True))


WRITERS = {"echonext": write_echonext}
