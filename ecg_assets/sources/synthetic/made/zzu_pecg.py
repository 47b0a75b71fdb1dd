"""A made ZZU pECG: AttributesDictionary.csv, its two dictionaries, and WFDB records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ecg_assets.sources.synthetic.made.sph import (
    DESCRIPTIONS,
    MODIFIERS,
    category_of,
    change_duration,
    simulate_cohort,
    write_rows,
    write_statements,
)
from ecg_assets.sources.synthetic.signal import SAMPLE_RATE_HZ, Signal
from ecg_assets.sources.synthetic.study import Patient, Study

_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_NO_CHEST = ("V2", "V4", "V6")
"""Leads that a recording of nine lacks."""

_NINE_LEADS, _EVERY = 3, 8
"""Place of the first recording of nine leads, and how many on the next one follows."""

_SAMPLES = {1: 6000, 2: 3500}
"""Samples of the recordings that do not take 10 s, by place."""

_NO_STATEMENT = "Left ventricular high voltage"
"""A finding that the AHA has no statement for."""

_TALL = 1.2
"""Amplitude of a heart that has it."""

_BYTES_KEPT = 1000


def write_zzu_pecg(root: Path, *, n_records: int = 60, seed: int = 0) -> None:
    """Write a made ZZU pECG, with what the real one has.

    That is patients of several recordings, ages in days, findings with modifiers glued to them or
    without a code, gains of each lead's own, and recordings of nine leads: the fourth, and each
    eighth after it. The second recording takes 12 s, the third 7 s, and the last one's samples are
    cut off. The Chinese codes and the indices of signal quality are made up.

    Parameters
    ----------
    root
        Folder to write.
    n_records
        Recordings, of 10 s.
    seed
        Seed of every random choice.
    """
    exams: dict[str, int] = {}
    patients: dict[int, str] = {}
    rows: list[dict[str, object]] = []
    for study, recording, plain in simulate_cohort(n_records, seed, _LEADS):
        patient = study.patient
        number = patients.setdefault(patient.subject_id, f"P{len(patients) + 1:05}")
        exams[number] = exams.get(number, 0) + 1
        file = f"{number[:3]}/{number}/{number}_E{exams[number]:02}"
        leads = _choose_leads(study.index)
        signal = change_duration(plain, _SAMPLES.get(study.index) or plain.shape[1])
        _write_record(root / "Child_ecg" / file, signal[[_LEADS.index(x) for x in leads]], leads)
        statements = write_statements(study, recording.measurements.rate_bpm)
        if patient.heart.amplitude > _TALL:
            statements.append(_NO_STATEMENT)
        rows.append(_describe(study, file, signal.shape[1], leads, statements))
    write_rows(root / "AttributesDictionary.csv", rows)
    _write_dictionaries(root)
    samples = root / "Child_ecg" / f"{rows[-1]['Filename']}.dat"
    samples.write_bytes(samples.read_bytes()[:_BYTES_KEPT])


def _choose_leads(index: int) -> tuple[str, ...]:
    is_short = index % _EVERY == _NINE_LEADS
    return tuple(lead for lead in _LEADS if not (is_short and lead in _NO_CHEST))


def _write_record(path: Path, signal: Signal, leads: Sequence[str]) -> None:
    """Write a record; each lead has the gain and baseline that use 16 bits best, as real ones."""
    import wfdb

    path.parent.mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(
        path.name,
        fs=SAMPLE_RATE_HZ,
        units=["mV"] * len(leads),
        sig_name=[lead.upper() for lead in leads],
        p_signal=signal.T,
        fmt=["16"] * len(leads),
        write_dir=str(path.parent),
    )


def _describe(
    study: Study, file: str, n_samples: int, leads: Sequence[str], statements: Sequence[str]
) -> dict[str, object]:
    number, exam = file.split("/")[1], file.split("/")[2]
    indices = ";".join(f"'{lead.upper()}':{'0.95' if lead in leads else 'Null'}" for lead in _LEADS)
    sex = {"F": "Female", "M": "Male"}[study.patient.sex]
    return {
        "Filename": file,
        "ECG_ID": exam,
        "Patient_ID": number,
        "Age": f"{_age_in_days(study.patient)}d",
        "Gender": f"'{sex}'",
        "Acquisition_date": f"{study.ecg_time.replace(year=2018 + study.ecg_time.year % 7)}",
        "Sampling_point": n_samples,
        "Lead": len(leads),
        "AHA_code": ";".join(f"'{_name(statement)}'" for statement in statements),
        "CHN_code": ";".join(f"'{_name(statement)}'" for statement in statements),
        "ICD-10 code": "'Q21.0'" if study.index % 5 == 0 else "'J18.0'",
        **dict.fromkeys(("pSQI", "basSQI", "bSQI"), indices),
    }


def _age_in_days(patient: Patient) -> int:
    """Turn an adult's 18 to 91 years into a child's 1 to 5,474 days."""
    return 1 + (patient.anchor_age - 18) * 5473 // 73


def _name(statement: str) -> str:
    """Write a statement with its category: ``60+310`` as ``F60+Modifier310``."""
    code, *modifiers = statement.split("+")
    if not code.isdigit():
        return statement
    return "+".join([f"{category_of(code)}{code}", *(f"Modifier{one}" for one in modifiers)])


def _write_dictionaries(root: Path) -> None:
    columns = ("Description", "AHA(Category&Code)", "CHN(Category&Code)")
    named = [(description, _name(code)) for code, description in DESCRIPTIONS.items()]
    named += [(description, f"Modifier{code}") for code, description in MODIFIERS.items()]
    codes = [(*pair, "N/A") for pair in named] + [(_NO_STATEMENT, "N/A", "J106")]
    write_rows(root / "ECGCode.csv", [dict(zip(columns, row, strict=True)) for row in codes])
    defect = {
        "Disease Type": "Congenital \nheart disease",
        "Disease Category": "Ventricular septal defect",
        "ICD-10 Code": "Q21.0",
        "ICD-10 Description": "Ventricular septal defect",
    }
    write_rows(root / "DiseaseCode.csv", [defect])


WRITERS: dict[str, Callable[..., None]] = {"zzu-pecg": write_zzu_pecg}
