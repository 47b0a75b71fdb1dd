"""Simulated recordings as the Telehealth Network of Minas Gerais stores them: HDF5, padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_assets.sources.synthetic.plan import plan_cohort
from ecg_assets.sources.synthetic.signal import MIMIC_LEADS, simulate_recording
from ecg_assets.sources.synthetic.study import Conduction, Ectopy, Infarct, Rhythm, Study

N_PADDED = 4096
_N_SHORT = 2800
_UNITS_PER_MV = 2.0
_FIBRILLATING = (Rhythm.FIBRILLATION, Rhythm.FIBRILLATION_PACED)
_RIGHT_BLOCKED = (Conduction.RIGHT_BUNDLE_BLOCK, Conduction.BIFASCICULAR_BLOCK)


def plan_studies(n_records: int, seed: int) -> tuple[Study, ...]:
    """Plan recordings of patients with one to six of them."""
    return plan_cohort(n_records, seed=seed, n_shards=1).studies


def simulate_leads(
    studies: Sequence[Study], seed: int, leads: Sequence[str]
) -> Iterator[NDArray[np.float64]]:
    """Simulate each recording: ``(lead, sample)`` in mV, 10 s at 500 Hz, leads by name."""
    rows = [MIMIC_LEADS.index(lead) for lead in leads]
    for study in studies:
        rng = np.random.default_rng([seed, 2, study.index])
        yield simulate_recording(study, rng).signal_mv[rows]


def find_abnormalities(study: Study) -> dict[str, bool]:
    """Give CODE's columns of a recording by what was simulated, ``normal_ecg`` last.

    As in the real ones, an exam without any of the six need not be normal.
    """
    is_sinus = study.rhythm is Rhythm.SINUS
    found = {
        "1dAVb": study.rhythm is Rhythm.FIRST_DEGREE_BLOCK,
        "RBBB": study.conduction in _RIGHT_BLOCKED,
        "LBBB": study.conduction is Conduction.LEFT_BUNDLE_BLOCK,
        "SB": is_sinus and study.rate_bpm < 60,
        "AF": study.rhythm in _FIBRILLATING,
        "ST": is_sinus and study.rate_bpm > 100,
    }
    is_plain = study.infarct is Infarct.NONE and study.ectopy is Ectopy.NONE
    is_plain &= study.conduction is Conduction.NORMAL and not study.has_flat_t
    return found | {"normal_ecg": is_sinus and is_plain and not any(found.values())}


def write_tracings(
    path: Path,
    studies: Sequence[Study],
    seed: int,
    leads: Sequence[str],
    *,
    dtype: str = "<f8",
    exam_ids: Sequence[int] = (),
) -> None:
    """Write recordings as ``tracings``, ``(exam, 4096, lead)`` at 400 Hz in half millivolts.

    Every fourth has 7 s, the others 10 s, with zeros around them. With numbers of exams there is
    ``exam_id``, too, and a last row of zeros, as CODE-15% has.
    """
    import h5py
    from scipy.signal import resample_poly

    n_rows = len(studies) + bool(exam_ids)
    with h5py.File(path, "w") as file:
        tracings = file.create_dataset("tracings", (n_rows, N_PADDED, len(leads)), dtype=dtype)
        for row, signal in enumerate(simulate_leads(studies, seed, leads)):
            resampled = resample_poly(signal, 4, 5, axis=1)[:, : _N_SHORT if row % 4 == 3 else None]
            padded = np.zeros((N_PADDED, len(leads)))
            start = (N_PADDED - resampled.shape[1]) // 2
            padded[start : start + resampled.shape[1]] = resampled.T * _UNITS_PER_MV
            tracings[row] = padded
        if exam_ids:
            file["exam_id"] = np.array([*exam_ids, 0], dtype=np.int64)
