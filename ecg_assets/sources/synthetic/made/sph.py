"""A made SPH: metadata.csv, code.csv, and recordings of float16 in HDF5 files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from ecg_assets.sources.synthetic.plan import plan_cohort
from ecg_assets.sources.synthetic.signal import (
    MIMIC_LEADS,
    Recording,
    Signal,
    simulate_recording,
)
from ecg_assets.sources.synthetic.study import Conduction, Ectopy, Infarct, Rhythm, Study

DESCRIPTIONS = {
    **{"1": "Normal ECG", "21": "Sinus tachycardia", "22": "Sinus bradycardia"},
    **{"23": "Sinus arrhythmia", "30": "Atrial premature complex(es)"},
    **{"50": "Atrial fibrillation", "51": "Atrial flutter", "55": "Supraventricular tachycardia"},
    **{"60": "Ventricular premature complex(es)", "70": "Ventricular tachycardia"},
    **{"82": "Prolonged PR interval", "101": "Left anterior fascicular block"},
    "83": "Second-degree AV block, Mobitz type I (Wenckebach)",
    **{"104": "Left bundle-branch block", "106": "Right bundle-branch block"},
    **{"108": "Ventricular preexcitation", "147": "T-wave abnormality"},
    **{"160": "Anterior MI", "161": "Inferior MI", "163": "Lateral MI"},
    "180": "Atrial-paced complex(es) or rhythm",
    "181": "Ventricular-paced complex(es) or rhythm",
}
"""The statements that are made."""

MODIFIERS = {
    **{"308": "Occasional", "310": "Frequent", "330": "Acute", "332": "Old"},
    **{"346": "With a rapid ventricular response", "349": "With aberrancy"},
}

_CATEGORIES = {1: "A", 20: "C", 30: "D", 50: "E", 60: "F", 70: "G", 80: "H", 100: "I", 120: "J"}
_CATEGORIES |= {140: "K", 145: "L", 160: "M", 180: "N"}
"""First number of each."""

_OF_RHYTHM = {
    Rhythm.FIRST_DEGREE_BLOCK: ("82",),
    Rhythm.WENCKEBACH: ("83",),
    Rhythm.FLUTTER: ("51",),
    Rhythm.VENTRICULAR_TACHYCARDIA: ("70",),
    Rhythm.ABERRANT_TACHYCARDIA: ("55+349",),
    Rhythm.ATRIAL_PACED: ("180",),
    Rhythm.VENTRICULAR_PACED: ("181",),
    Rhythm.DUAL_PACED: ("180", "181"),
    Rhythm.FIBRILLATION_PACED: ("50", "181"),
}
_OF_CONDUCTION = {
    Conduction.LEFT_BUNDLE_BLOCK: ("104",),
    Conduction.RIGHT_BUNDLE_BLOCK: ("106",),
    Conduction.BIFASCICULAR_BLOCK: ("101", "106"),
    Conduction.PREEXCITED: ("108",),
}
_OF_INFARCT = {
    Infarct.LATERAL_OLD: ("163+332",),
    Infarct.LATERAL_ACUTE: ("163+330",),
    Infarct.ANTEROLATERAL: ("160", "163"),
    Infarct.INFERIOR_OLD: ("161+332",),
    Infarct.INFERIOR_ACUTE: ("161+330",),
}
_OF_ECTOPY = {Ectopy.VENTRICULAR: ("60+310",), Ectopy.ATRIAL: ("30+308",)}
_SINUS_NODE = (Rhythm.SINUS, Rhythm.FIRST_DEGREE_BLOCK, Rhythm.WENCKEBACH)


def category_of(code: str) -> str:
    """Give the letter of a statement's category.

    >>> [category_of(code) for code in ("1", "22", "106", "181")]
    ['A', 'C', 'I', 'N']
    """
    return _CATEGORIES[max(first for first in _CATEGORIES if first <= int(code))]


def write_statements(study: Study, rate_bpm: float) -> list[str]:
    """Write what a recording shows as statements with their modifiers, in numerical order."""
    found = [
        *_OF_RHYTHM.get(study.rhythm, ()),
        *_OF_CONDUCTION.get(study.conduction, ()),
        *_OF_INFARCT.get(study.infarct, ()),
        *_OF_ECTOPY.get(study.ectopy, ()),
    ]
    if study.rhythm is Rhythm.FIBRILLATION:
        found.append("50+346" if rate_bpm > 100 else "50")
    elif study.rhythm in _SINUS_NODE and not 60 <= rate_bpm <= 100:
        found.append("22" if rate_bpm < 60 else "21")
    if study.has_flat_t:
        found.append("147")
    if study.is_irregular and study.rhythm is Rhythm.SINUS:
        found.append("23")
    return sorted(found, key=lambda one: int(one.partition("+")[0])) or ["1"]


def simulate_cohort(
    n_records: int, seed: int, leads: Sequence[str]
) -> Iterable[tuple[Study, Recording, Signal]]:
    """Simulate a cohort; also give the leads in an order of one's own, float64 (lead, 5000)."""
    rows = [MIMIC_LEADS.index(lead) for lead in leads]
    for study in plan_cohort(n_records, seed=seed, n_shards=1).studies:
        recording = simulate_recording(study, np.random.default_rng([seed, 2, study.index]))
        yield study, recording, recording.signal_mv[rows]


def change_duration(signal: Signal, n_samples: int) -> Signal:
    """Cut a signal ``(lead, sample)``, or go on with its beginning."""
    return np.resize(signal.T, (n_samples, len(signal))).T


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write a CSV of rows with the same columns."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_LONG = 1
"""Place of a recording of 12 s."""


def write_sph(root: Path, *, n_records: int = 60, seed: int = 0) -> None:
    """Write a made SPH, with what the real one has: patients of several recordings, modifiers.

    The second recording takes 12 s, the first normal one has its statement twice, and the last
    one's file is damaged. Codes beyond the real one's 44 occur.

    Parameters
    ----------
    root
        Folder to write.
    n_records
        Recordings, of 10 s.
    seed
        Seed of every random choice.
    """
    import h5py

    (root / "records").mkdir(parents=True, exist_ok=True)
    patients: dict[int, str] = {}
    rows: list[dict[str, object]] = []
    for study, recording, plain in simulate_cohort(n_records, seed, _LEADS):
        name = f"A{study.index + 1:05}"
        signal = change_duration(plain, 6000) if study.index == _LONG else plain
        with h5py.File(root / "records" / f"{name}.h5", "w") as file:
            file["ecg"] = signal.astype(np.float16)
        patient = study.patient
        number = patients.setdefault(patient.subject_id, f"S{len(patients) + 1:05}")
        day = date(2019, 8, 1) + timedelta(days=study.ecg_time.timetuple().tm_yday - 1)
        rows.append(
            {
                "ECG_ID": name,
                "AHA_Code": ";".join(write_statements(study, recording.measurements.rate_bpm)),
                "Patient_ID": number,
                "Age": patient.anchor_age,
                "Sex": patient.sex,
                "N": signal.shape[1],
                "Date": day.isoformat(),
            }
        )
    for row in rows:
        if row["AHA_Code"] == "1":
            row["AHA_Code"] = "1;1"
            break
    write_rows(root / "metadata.csv", rows)
    write_rows(root / "code.csv", list(_list_codes()))
    _damage(root / "records" / f"{rows[-1]['ECG_ID']}.h5")


def _list_codes() -> Iterable[dict[str, object]]:
    for code, description in {**DESCRIPTIONS, **MODIFIERS}.items():
        category = "Modifier" if code in MODIFIERS else category_of(code)
        yield {"Category": category, "Code": code, "Description": description}


def _damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


WRITERS: dict[str, Callable[..., None]] = {"sph": write_sph}
