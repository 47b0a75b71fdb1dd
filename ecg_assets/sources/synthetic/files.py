"""The files of a synthetic cohort, as MIMIC-IV-ECG v1.0 has them."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_assets.sources.synthetic.faults import Fault, plant_faults
from ecg_assets.sources.synthetic.plan import CohortPlan
from ecg_assets.sources.synthetic.reports import report_lines
from ecg_assets.sources.synthetic.signal import MIMIC_LEADS, SAMPLE_RATE_HZ, simulate_recording
from ecg_assets.sources.synthetic.study import Study

# A simulated recording as a WFDB header and a signal file of format 16.


GAIN_PER_MV = 200
MISSING_SAMPLE = -32768
"""Format 16's value for a sample that is missing."""

_KEPT_FRAMES = 3000
"""Frames in a truncated signal file."""

Stored = NDArray[np.int16]


def to_stored(signal_mv: NDArray[np.float64]) -> Stored:
    """Convert mV to what MIMIC-IV-ECG stores: int16 (lead, sample), 200 a mV.

    Examples
    --------
    >>> to_stored(np.array([[0.005, -1.0, 500.0]])).tolist()
    [[1, -200, 32767]]
    """
    limit = 32767
    return np.clip(np.rint(signal_mv * GAIN_PER_MV), -limit, limit).astype(np.int16)


def write_waveform(root: Path, study: Study, stored: Stored, fault: Fault | None) -> None:
    """Write a study's ``.hea`` and ``.dat`` below the dataset's root.

    Parameters
    ----------
    root
        The dataset's root.
    study
        Gives path, ids and time.
    stored
        int16 (12, sample), leads in MIMIC's order.
    fault
        Those of the signal file are made here; the header always describes the whole recording.
    """
    path = root / study.path
    path.parent.mkdir(parents=True)
    path.with_suffix(".hea").write_text(header_text(study, stored), encoding="ascii")
    if fault is Fault.MISSING_DAT:
        return
    frames = stored.T.astype("<i2")
    if fault is Fault.TRUNCATED_DAT:
        frames = frames[:_KEPT_FRAMES]
    elif fault is Fault.CHECKSUM_MISMATCH:
        frames = frames.copy()
        frames[frames.shape[0] // 2, 0] += 37
    path.with_suffix(".dat").write_bytes(frames.tobytes())


def header_text(study: Study, stored: Stored) -> str:
    """Header of a recording in MIMIC-IV-ECG's form.

    The checksum of a lead is the sum of its samples, missing ones included, modulo 65,536.
    """
    name = study.study_id
    checksums = stored.sum(axis=1, dtype=np.int64) % 65536
    lines = [
        f"{name} {len(MIMIC_LEADS)} {SAMPLE_RATE_HZ} {stored.shape[1]} "
        f"{study.ecg_time:%H:%M:%S %d/%m/%Y}"
    ]
    lines += [
        f"{name}.dat 16 {GAIN_PER_MV}.0(0)/mV 16 0 {samples[0]} {checksum} 0 {lead}"
        for lead, samples, checksum in zip(MIMIC_LEADS, stored, checksums, strict=True)
    ]
    lines.append(f"# <subject_id>: {study.patient.subject_id}")
    return "\n".join(lines) + "\n"


_MAX_LINES = 18
_INTERVALS = (
    *("rr_interval", "p_onset", "p_end", "qrs_onset", "qrs_end", "t_end"),
    *("p_axis", "qrs_axis", "t_axis"),
)
_RECORD_COLUMNS = ("subject_id", "study_id", "file_name", "ecg_time", "path")
_REPORT_COLUMNS = (
    *("subject_id", "study_id", "cart_id", "ecg_time"),
    *(f"report_{i}" for i in range(_MAX_LINES)),
    *("bandwidth", "filtering", *_INTERVALS),
)
_PATIENT_COLUMNS = (
    *("subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod"),
)

Row = tuple[object, ...]
Progress = Callable[[int, int], None]
"""Called after each recording with how many are written, and how many there will be."""


def write_cohort_files(
    folder: Path, plan: CohortPlan, *, seed: int, progress: Progress | None = None
) -> None:
    """Simulate each study of a plan and write the whole cohort.

    Parameters
    ----------
    folder
        Existing, empty folder: the dataset's root.
    plan
        Patients and studies.
    seed
        The cohort's seed; each study draws from its own generator, seeded with this and its index.
    progress
        Told of each recording.
    """
    rng = np.random.default_rng([seed, 1])
    faults = plant_faults(len(plan.studies), rng)
    reports = []
    for n_written, study in enumerate(plan.studies, start=1):
        row = _write_study(folder, study, faults.get(study.index), seed)
        if faults.get(study.index) is not Fault.NO_REPORT:
            reports.append(row)
        if progress is not None:
            progress(n_written, len(plan.studies))
    listed: list[Row] = [(plan.studies[i].study_id, fault.value) for i, fault in faults.items()]
    if faults:
        orphan = _orphan(reports, plan, rng)
        reports.append(orphan)
        listed.append((orphan[1], Fault.REPORT_WITHOUT_RECORD.value))
    _write_csv(folder / "record_list.csv", _RECORD_COLUMNS, map(_record_row, plan.studies))
    _write_csv(folder / "machine_measurements.csv", _REPORT_COLUMNS, sorted(reports, key=_ids))
    _write_csv(folder / "planted_faults.csv", ("study_id", "fault"), sorted(listed, key=str))
    _write_patients(folder / "patients.csv.gz", plan)


def _write_study(folder: Path, study: Study, fault: Fault | None, seed: int) -> Row:
    """Write a study's recording and return its row of machine_measurements.csv."""
    rng = np.random.default_rng([seed, 2, study.index])
    recording = simulate_recording(study, rng)
    lines = report_lines(study, recording.beats, recording.measurements, rng)
    stored = to_stored(recording.signal_mv)
    if fault is Fault.NAN_RUN_LEAD_I:
        start = int(rng.integers(500, 4000))
        stored[0, start : start + int(rng.integers(50, 800))] = MISSING_SAMPLE
    elif fault is Fault.FLAT_LEAD_I:
        stored[0] = 0
    write_waveform(folder, study, stored, fault)
    intervals = recording.measurements.to_row()
    return (
        *(study.patient.subject_id, study.study_id, study.cart_id, study.ecg_time),
        *(*lines, *[""] * (_MAX_LINES - len(lines))),
        *("0.005-150 Hz", "60 Hz notch Baseline filter"),
        *(intervals[name] for name in _INTERVALS),
    )


def _orphan(reports: Sequence[Row], plan: CohortPlan, rng: np.random.Generator) -> Row:
    """Return the copy of a report under a study id that no recording has."""
    taken = {study.study_id for study in plan.studies}
    study_id = next(i for i in range(49_999_999, 40_000_000, -1) if i not in taken)
    row = reports[int(rng.integers(len(reports)))]
    return (row[0], study_id, *row[2:])


def _ids(row: Row) -> tuple[int, int]:
    return int(str(row[0])), int(str(row[1]))


def _record_row(study: Study) -> Row:
    subject_id = study.patient.subject_id
    return (subject_id, study.study_id, study.study_id, study.ecg_time, study.path)


def _write_patients(path: Path, plan: CohortPlan) -> None:
    text = io.StringIO()
    _write_rows(
        text,
        _PATIENT_COLUMNS,
        (
            (p.subject_id, p.sex, p.anchor_age, p.anchor_year, "2014 - 2016", "")
            for p in plan.patients
        ),
    )
    # No file name and no time in the gzip header: the same cohort gives the same bytes.
    path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        _write_rows(file, columns, rows)


def _write_rows(file: io.TextIOBase, columns: Sequence[str], rows: Iterable[Row]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
