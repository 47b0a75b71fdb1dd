"""What a simulated patient and one of its studies are, before any waveform is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Rhythm(StrEnum):
    """What drives the ventricles."""

    SINUS = "sinus"
    FIRST_DEGREE_BLOCK = "first-degree-block"
    WENCKEBACH = "wenckebach"
    FIBRILLATION = "fibrillation"
    FLUTTER = "flutter"
    VENTRICULAR_TACHYCARDIA = "ventricular-tachycardia"
    ABERRANT_TACHYCARDIA = "aberrant-tachycardia"
    ATRIAL_PACED = "atrial-paced"
    VENTRICULAR_PACED = "ventricular-paced"
    DUAL_PACED = "dual-paced"
    FIBRILLATION_PACED = "fibrillation-paced"


class Conduction(StrEnum):
    """How an impulse spreads over the ventricles."""

    NORMAL = "normal"
    LEFT_BUNDLE_BLOCK = "left-bundle-block"
    RIGHT_BUNDLE_BLOCK = "right-bundle-block"
    BIFASCICULAR_BLOCK = "bifascicular-block"
    PREEXCITED = "preexcited"
    VENTRICULAR = "ventricular"
    PACED = "paced"


class Infarct(StrEnum):
    """Site and age of an infarct that changes the QRS, ST or T; `NONE` is most people's."""

    NONE = "none"
    LATERAL_OLD = "lateral-old"
    LATERAL_ACUTE = "lateral-acute"
    ANTEROLATERAL = "anterolateral"
    INFERIOR_OLD = "inferior-old"
    INFERIOR_ACUTE = "inferior-acute"


class Ectopy(StrEnum):
    """Premature beats in the recording."""

    NONE = "none"
    VENTRICULAR = "ventricular"
    ATRIAL = "atrial"


@dataclass(frozen=True)
class Heart:
    """What makes one patient's electrocardiogram its own, the same in each study.

    Attributes
    ----------
    amplitude, p_scale, t_scale, qrs_width
        Factors of the shapes' tables.
    axis_deg, twist_deg
        Rotation of the heart's vectors in the frontal and the horizontal plane.
    pr_s, long_pr_s
        PR interval, without and with first degree block.
    ectopic_sign
        Direction of ventricular beats: 1 is upright in Lead I.
    spike_mv
        Amplitude of a pacemaker's spike in Lead I, with its sign.
    """

    amplitude: float
    p_scale: float
    t_scale: float
    qrs_width: float
    axis_deg: float
    twist_deg: float
    pr_s: float
    long_pr_s: float
    ectopic_sign: int
    spike_mv: float


@dataclass(frozen=True)
class Patient:
    """One simulated patient; the ids have the form of MIMIC-IV's."""

    subject_id: int
    sex: str
    anchor_age: int
    anchor_year: int
    heart: Heart

    @property
    def folder(self) -> str:
        """Top folder of the patient's recordings: the first four digits of its id.

        >>> heart = Heart(1, 1, 1, 1, 0, 0, 0.16, 0.28, 1, 1)
        >>> Patient(10013456, "F", 60, 2150, heart).folder
        'p1001'
        """
        return f"p{str(self.subject_id)[:4]}"


@dataclass(frozen=True)
class Study:
    """One study to simulate.

    Attributes
    ----------
    rate_bpm
        Wanted ventricular rate; of a flutter, the atrial rate.
    is_irregular
        Marked sinus arrhythmia; of a flutter, varied conduction.
    has_flat_t
        Nonspecific flattening of the T wave, a look-alike of old infarcts.
    is_noisy
        Recorded with poor contact or a moving patient.
    cart_id
        The cart; it decides how statements are written.
    index
        Place in the plan; with the cohort's seed it seeds the study's own generator.
    """

    study_id: int
    patient: Patient
    ecg_time: datetime
    rhythm: Rhythm
    conduction: Conduction
    infarct: Infarct
    ectopy: Ectopy
    rate_bpm: float
    is_irregular: bool
    has_flat_t: bool
    is_noisy: bool
    cart_id: int
    index: int

    @property
    def path(self) -> str:
        """Path of the recording below the dataset's root, without extension."""
        patient = f"{self.patient.folder}/p{self.patient.subject_id}"
        return f"files/{patient}/s{self.study_id}/{self.study_id}"
