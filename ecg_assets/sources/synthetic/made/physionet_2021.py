"""The tree of the PhysioNet/CinC Challenge 2021, of simulated recordings.

Folders, names, rates and the lines of headers are the release's (https://doi.org/10.13026/34va-7q14),
shorter where a database's recordings last minutes. Traps: in each database a recording shorter than
10 s, a code that one recording has, and a code that the challenge's tables lack; two codes of the
left bundle branch in ningbo, and an age that is none.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecg_assets.sources.synthetic.plan import plan_cohort
from ecg_assets.sources.synthetic.signal import MIMIC_LEADS, SAMPLE_RATE_HZ, simulate_recording
from ecg_assets.sources.synthetic.study import Conduction, Ectopy, Infarct, Rhythm, Study

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
RARE_CODE = "164896001"
UNKNOWN_CODE = "251147008"
"""Low QRS voltages in the limb leads, which dx_mapping_scored.csv and …_unscored.csv lack."""


class Database(NamedTuple):
    """How one database names and records: first number, digits, rate, seconds."""

    letters: str
    first: int
    digits: int
    sample_rate_hz: int = 500
    duration_s: int = 10


DATABASES = {
    "cpsc_2018": Database("A", 1, 4, duration_s=15),
    "cpsc_2018_extra": Database("Q", 1, 4, duration_s=15),
    "st_petersburg_incart": Database("I", 1, 4, 257, 30),
    "ptb": Database("S", 1, 4, 1000, 20),
    "ptb-xl": Database("HR", 1, 5),
    "georgia": Database("E", 1, 5),
    "chapman_shaoxing": Database("JS", 1, 5),
    "ningbo": Database("JS", 10647, 5),
}
SHORT_S = 6
"""Seconds of the second recording of each database."""

_GAIN_PER_MV, _OFFSET = 1000, 24
_OF_RHYTHM = {
    Rhythm.FIRST_DEGREE_BLOCK: "270492004",
    Rhythm.WENCKEBACH: "195042002",
    Rhythm.FIBRILLATION: "164889003",
    Rhythm.FLUTTER: "164890007",
    Rhythm.ABERRANT_TACHYCARDIA: "426761007",
    Rhythm.VENTRICULAR_TACHYCARDIA: "164895002",
}
_OF_CONDUCTION = {
    Conduction.LEFT_BUNDLE_BLOCK: "164909002",
    Conduction.RIGHT_BUNDLE_BLOCK: "59118001",
    Conduction.PREEXCITED: "74390002",
    Conduction.PACED: "10370003",
}
_OF_ECTOPY = {Ectopy.VENTRICULAR: "427172004", Ectopy.ATRIAL: "284470004"}
_CLBBB = "733534002"


def write_physionet_2021(root: Path, *, n_records: int = 160, seed: int = 0) -> None:
    """Write the folder of each database, with as many recordings in each.

    Parameters
    ----------
    root
        Folder, new or empty; it holds ``training/<database>/g1``.
    n_records
        Recordings in all, at least 16.
    seed
        Seed of every random choice.
    """
    n_of_each = max(n_records // len(DATABASES), 2)
    studies = iter(plan_cohort(n_of_each * len(DATABASES), seed=seed, n_shards=1).studies)
    for name, database in DATABASES.items():
        folder = root / "training" / name / "g1"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(n_of_each):
            study = next(studies)
            record = f"{database.letters}{database.first + number:0{database.digits}d}"
            seconds = SHORT_S if number == 1 else database.duration_s
            signal = _simulate(study, seed, database.sample_rate_hz, seconds)
            comments = {
                "Age": "NaN" if number == 2 else str(study.patient.anchor_age),
                "Sex": "Female" if study.patient.sex == "F" else "Male",
                "Dx": ",".join(_list_codes(study, name, number)),
                **dict.fromkeys(("Rx", "Hx", "Sx"), "Unknown"),
            }
            _write_record(folder / record, signal, database.sample_rate_hz, comments)


def _list_codes(study: Study, database: str, number: int) -> list[str]:
    """Codes of what a recording shows, and the database's planted ones."""
    found = [
        _OF_RHYTHM.get(study.rhythm, ""),
        _OF_CONDUCTION.get(study.conduction, ""),
        _OF_ECTOPY.get(study.ectopy, ""),
    ]
    if database == "ningbo" and number % 2:
        found = [_CLBBB if code == "164909002" else code for code in found]
    if study.rhythm is Rhythm.SINUS:
        slow, fast = study.rate_bpm < 60, study.rate_bpm > 100
        found.append("426177001" if slow else "427084000" if fast else "426783006")
    if study.infarct is not Infarct.NONE:
        found.append("164865005")
    found += [RARE_CODE] * (number == 0) + [UNKNOWN_CODE] * (number == 0)
    return [code for code in found if code] or ["426783006"]


def _simulate(study: Study, seed: int, rate_hz: int, seconds: int) -> NDArray[np.int16]:
    """Simulate 10 s, repeated or cut to a length, at a rate: int16 (lead, sample)."""
    rng = np.random.default_rng([seed, 2, study.index])
    signal = simulate_recording(study, rng).signal_mv[[MIMIC_LEADS.index(lead) for lead in LEADS]]
    times = np.arange(seconds * rate_hz) / rate_hz * SAMPLE_RATE_HZ
    at = times % (signal.shape[1] - 1)
    grid = np.arange(signal.shape[1])
    resampled = np.stack([np.interp(at, grid, lead) for lead in signal])
    stored = np.clip(np.rint(resampled * _GAIN_PER_MV), -32767, 32767)
    return np.asarray(stored, dtype=np.int16)


def _write_record(
    path: Path, signal: NDArray[np.int16], rate_hz: int, comments: Mapping[str, str]
) -> None:
    """Write a header, and the samples as a MATLAB 4 file that WFDB reads behind its 24 bytes."""
    n_leads, n_samples = signal.shape
    lines = [f"{path.name} {n_leads} {rate_hz} {n_samples} 01-Jan-2020 12:00:00"]
    form = f"{path.name}.mat 16+{_OFFSET} {_GAIN_PER_MV}/mV 16 0"
    lines += [
        f"{form} {samples[0]} {_checksum(samples)} 0 {lead}"
        for lead, samples in zip(LEADS, signal, strict=True)
    ]
    lines += [f"# {name}: {value}" for name, value in comments.items()]
    path.with_suffix(".hea").write_text("\n".join(lines) + "\n", encoding="ascii")
    head = struct.pack("<5i", 30, n_leads, n_samples, 0, 4) + b"val\0"  # 30: int16, little-endian
    path.with_suffix(".mat").write_bytes(head + signal.T.astype("<i2").tobytes())


def _checksum(samples: NDArray[np.int16]) -> int:
    """Sum of a lead's samples as WFDB writes it, a signed number of 16 bits."""
    return int(np.int64(samples.sum(dtype=np.int64)).astype(np.int16))


WRITERS = {"physionet-2021": write_physionet_2021}
