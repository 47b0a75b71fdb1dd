"""Simulated electrocardiograms and the reports that a cart would print for them.

Here belong the plan of a made-up cohort, the waveforms of one study, their nuisance, their
measurements and report lines, and the faults planted in a few recordings. Writing files in a
dataset's layout does not: that is `ecg_assets.sources.synthetic`, the one user of this package.
Nothing here is fit to teach a clinician: the shapes are as simple as the label texts allow.
"""

from __future__ import annotations

from ecg_assets.sources.simulation.cohort_plan import CohortPlan, plan_cohort
from ecg_assets.sources.simulation.faults import Fault, plant_faults
from ecg_assets.sources.simulation.recording import MIMIC_LEADS, Recording, simulate_recording
from ecg_assets.sources.simulation.report_lines import report_lines

__all__ = [
    "MIMIC_LEADS",
    "CohortPlan",
    "Fault",
    "Recording",
    "plan_cohort",
    "plant_faults",
    "report_lines",
    "simulate_recording",
]
