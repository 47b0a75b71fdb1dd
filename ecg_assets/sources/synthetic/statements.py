"""Report statements as carts of three makers write them: a table of data.

Each finding has variants that mean the same. What a statement says is in the recording, with
three exceptions kept apart: statements that deny a finding, that name no label, and summaries.
"""

from __future__ import annotations

from ecg_assets.sources.synthetic.study import Conduction, Infarct, Rhythm

SINUS_RHYTHM = ("Sinus rhythm", "Sinus rhythm", "Sinus rhythm", "Normal sinus rhythm")
SINUS_BRADYCARDIA = ("Sinus bradycardia",)
MARKED_SINUS_BRADYCARDIA = ("Marked sinus bradycardia", "Sinus bradycardia")
SINUS_TACHYCARDIA = ("Sinus tachycardia", "Sinus tachycardia", "Probable sinus tachycardia")
SINUS_ARRHYTHMIA_SUFFIX = " with sinus arrhythmia"

FIRST_DEGREE_SUFFIXES = (" with 1st degree A-V block", " with first degree AV block")
FIRST_DEGREE_LINES = ("- First degree A-V block", "1st degree A-V block", "First degree AV block.")
WENCKEBACH_SUFFIX = " with 2nd degree A-V block, Mobitz I (Wenckebach)"

FIBRILLATION = ("Atrial fibrillation", "Atrial fibrillation", "Probable atrial fibrillation")
RAPID_FIBRILLATION = (
    "Atrial fibrillation with rapid ventricular response",
    "Atrial fibrillation with rapid ventricular response",
    "Atrial fibrillation with rapid v-rate",
)
SLOW_FIBRILLATION = ("Atrial fibrillation with slow ventricular response",)
FLUTTER_2_TO_1 = ("Atrial flutter with 2:1 A-V block",)
FLUTTER = ("Atrial flutter", "Atrial flutter", "Probable atrial flutter")
VARIED_FLUTTER = ("Atrial flutter with varied A-V block",)

OTHER_RHYTHMS: dict[Rhythm, tuple[str, ...]] = {
    Rhythm.VENTRICULAR_TACHYCARDIA: (
        "Ventricular tachycardia",
        "*** VENTRICULAR TACHYCARDIA ***",
        "Probable ventricular tachycardia",
    ),
    Rhythm.ABERRANT_TACHYCARDIA: (
        "Supraventricular tachycardia with aberrancy",
        "Supraventricular tachycardia with aberrant ventricular conduction",
    ),
    Rhythm.ATRIAL_PACED: ("Atrial pacing", "Demand atrial pacing", "Atrial-paced rhythm"),
    Rhythm.VENTRICULAR_PACED: (
        "Ventricular pacing",
        "Ventricular-paced rhythm",
        "Electronic ventricular pacemaker",
        "Ventricular pacing with atrial sensing",
    ),
    Rhythm.DUAL_PACED: (
        "A-V dual-paced rhythm",
        "A-V sequential pacemaker",
        "AV dual-paced rhythm",
    ),
    Rhythm.FIBRILLATION_PACED: ("Atrial fibrillation with ventricular paced complexes",),
}
PACED_COMMENT = "Pacemaker rhythm - no further analysis"

VENTRICULAR_ECTOPY_SUFFIXES = (" with PVC(s)", " with PVCs", " with frequent PVCs")
VENTRICULAR_ECTOPY_LINES = (
    "Ventricular premature complex",
    "Multiple ventricular premature complexes",
    "Premature ventricular contractions",
    "PVC(s)",
)
ATRIAL_ECTOPY_SUFFIXES = (" with PAC(s)", " with PACs")

CONDUCTION: dict[Conduction, tuple[str, ...]] = {
    Conduction.LEFT_BUNDLE_BLOCK: (
        "Left bundle branch block",
        "Left bundle branch block",
        "LBBB",
        "Conduction defect of LBBB type",
    ),
    Conduction.RIGHT_BUNDLE_BLOCK: (
        "Right bundle branch block",
        "Right bundle branch block",
        "RBBB",
        "Conduction defect of RBBB type",
    ),
    Conduction.BIFASCICULAR_BLOCK: (
        "RBBB with left anterior fascicular block",
        "RBBB with left anterior fascicular block",
        "Right bundle branch block with left anterior fascicular block",
        "RBBB and LAFB",
    ),
    Conduction.PREEXCITED: (
        "Ventricular preexcitation",
        "WPW pattern type a",
        "Wolff-Parkinson-White",
        "Ventricular pre-excitation, WPW pattern type B",
    ),
}
BIFASCICULAR_COMMENT = "Bifascicular block"

INFARCT: dict[Infarct, tuple[str, ...]] = {
    Infarct.LATERAL_OLD: (
        "Lateral infarct - age undetermined",
        "Lateral infarct - age undetermined",
        "High lateral infarct, old",
        "Lateral infarct, old",
        "Possible lateral infarct - age undetermined",
        "Cannot rule out lateral infarct - age undetermined",
    ),
    Infarct.LATERAL_ACUTE: (
        "Lateral infarct, acute",
        "*** LATERAL INFARCT - POSSIBLY ACUTE ***",
        "Lateral ST elevation, consider acute infarct",
    ),
    Infarct.ANTEROLATERAL: (
        "Anterolateral infarct, age indeterminate",
        "Anterolateral infarct - age undetermined",
        "Possible anterolateral infarct - age undetermined",
    ),
    Infarct.INFERIOR_OLD: (
        "Inferior infarct, old",
        "Possible inferior infarct - age undetermined",
    ),
    Infarct.INFERIOR_ACUTE: (
        "Inferior infarct, acute",
        "Inferior ST elevation, consider acute infarct",
        "*** INFERIOR INFARCT - POSSIBLY ACUTE ***",
    ),
}
ACUTE_INFARCT_COMMENT = "*** CONSIDER ACUTE ST ELEVATION MI ***"

POOR_QUALITY = (
    "Poor data quality, interpretation may be adversely affected",
    "Poor data quality, interpretation may be adversely affected",
    "--- Warning: data quality may affect interpretation ---",
    "Warning: Data quality may affect computer interpretation",
)
POOR_QUALITY_COMMENTS = ("Artifact in lead(s) I,III,aVL", "Baseline wander in lead(s) II,III,aVF")

DENIALS = (
    "No evidence of infarct",
    "Atrial fibrillation is no longer present",
    "No pacemaker spikes seen",
    "No evidence of acute ischemic changes",
)
"""Said of recordings that lack the finding: they must not make a label."""

LEFT_AXIS = ("Left axis deviation", "Leftward axis")
RIGHT_AXIS = ("Right axis deviation", "Right axis deviation")
FLAT_T = (
    "Nonspecific T wave changes",
    "Lateral T wave changes are nonspecific",
    "Nonspecific T abnormalities, lateral leads",
)
LOW_VOLTAGE = ("Low voltage, extremity leads", "Low QRS voltages in limb leads")
UNREMARKABLE = (
    "ST elevation, consider early repolarization",
    "Early repolarization pattern",
    "Possible left atrial enlargement",
    "rSr' in V1 or V2, probably normal variant",
    "Borderline low voltage, extremity leads",
)
"""Name no label; said of normal recordings now and then."""

NORMAL_SUMMARY = ("Normal ECG", "Normal ECG", "Summary: normal ECG")
BORDERLINE_SUMMARY = ("Borderline ECG", "Summary: borderline ECG")
ABNORMAL_SUMMARY = ("Abnormal ECG", "Abnormal ECG", "Summary: abnormal ECG")
