"""The plan of a cohort: who has which study with which findings, from one seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from ecg_assets.sources.simulation.case_mix import CASE_MIX, INFARCT_SHARES, Condition
from ecg_assets.sources.simulation.overlays import add_overlays
from ecg_assets.sources.simulation.patients import draw_patients, draw_study_counts
from ecg_assets.sources.simulation.quota import assign_by_quota
from ecg_assets.sources.simulation.study import (
    Conduction,
    Ectopy,
    Infarct,
    Patient,
    Rhythm,
    Study,
)

_SINUS_NODE = (Rhythm.SINUS, Rhythm.FIRST_DEGREE_BLOCK, Rhythm.WENCKEBACH)
_CONDUCTED = (*_SINUS_NODE, Rhythm.FIBRILLATION)
_PACED_BELOW = (Rhythm.VENTRICULAR_PACED, Rhythm.DUAL_PACED, Rhythm.FIBRILLATION_PACED)


@dataclass(frozen=True)
class CohortPlan:
    """Patients in the order of their ids, and their studies in the order of (patient, study id)."""

    patients: tuple[Patient, ...]
    studies: tuple[Study, ...]


def plan_cohort(n_records: int, *, seed: int, n_shards: int) -> CohortPlan:
    """Plan a cohort; the same arguments give the same plan.

    Parameters
    ----------
    n_records
        Studies in all.
    seed
        Seed of every random choice.
    n_shards
        Top folders to spread the patients over.
    """
    rng = np.random.default_rng([seed, 0])
    counts = draw_study_counts(n_records, n_shards, rng)
    patients = draw_patients(len(counts), n_shards, rng)
    conditions = _draw_conditions(counts, rng)
    studies: list[Study] = []
    for number, condition in enumerate(CASE_MIX):
        members = [i for i in range(len(counts)) if conditions[i] == number]
        studies += _plan_condition(condition, [(patients[i], counts[i]) for i in members], rng)
    studies = add_overlays(_give_ids(studies, rng), rng)
    studies.sort(key=lambda study: (study.patient.subject_id, study.study_id))
    indexed = tuple(replace(study, index=index) for index, study in enumerate(studies))
    return CohortPlan(tuple(patients), indexed)


def _draw_conditions(counts: list[int], rng: np.random.Generator) -> list[int]:
    order = rng.permutation(len(counts))
    groups = assign_by_quota(
        [counts[i] for i in order],
        [condition.share for condition in CASE_MIX],
        [condition.max_studies for condition in CASE_MIX],
    )
    conditions = [0] * len(counts)
    for i, group in zip(order, groups, strict=True):
        conditions[i] = group
    return conditions


def _plan_condition(
    condition: Condition, members: list[tuple[Patient, int]], rng: np.random.Generator
) -> list[Study]:
    sites = _draw_infarcts(condition, len(members), rng)
    owners = [
        (patient, site)
        for (patient, count), site in zip(members, sites, strict=True)
        for _ in range(count)
    ]
    shares = [episode.share for episode in condition.episodes]
    episodes = rng.permutation(np.array(assign_by_quota([1] * len(owners), shares), dtype=int))
    studies = []
    for (patient, site), number in zip(owners, episodes, strict=True):
        episode = condition.episodes[number]
        studies.append(
            Study(
                study_id=0,
                patient=patient,
                ecg_time=_draw_time(patient, rng),
                rhythm=episode.rhythm,
                conduction=_conduction_of(episode.rhythm, condition.conduction, rng),
                infarct=site if episode.rhythm in _CONDUCTED else Infarct.NONE,
                ectopy=Ectopy.NONE,
                rate_bpm=float(rng.uniform(*episode.rate_bpm)),
                is_irregular=False,
                has_flat_t=False,
                is_noisy=False,
                cart_id=6_848_200 + int(rng.integers(60)),
                index=0,
            )
        )
    return studies


def _draw_infarcts(
    condition: Condition, n_patients: int, rng: np.random.Generator
) -> list[Infarct]:
    sites = [Infarct.NONE] * n_patients
    n_infarcts = round(condition.infarct_share * n_patients)
    groups = assign_by_quota([1] * n_infarcts, [share for _, share in INFARCT_SHARES])
    for patient, group in zip(rng.permutation(n_patients), groups, strict=False):
        sites[patient] = INFARCT_SHARES[group][0]
    return sites


def _conduction_of(rhythm: Rhythm, chronic: Conduction, rng: np.random.Generator) -> Conduction:
    """Give the conduction of this study: a ventricular or paced rhythm hides the chronic one."""
    if rhythm is Rhythm.VENTRICULAR_TACHYCARDIA:
        return Conduction.VENTRICULAR
    if rhythm in _PACED_BELOW:
        return Conduction.PACED
    if rhythm is Rhythm.ABERRANT_TACHYCARDIA:
        blocked = (Conduction.LEFT_BUNDLE_BLOCK, Conduction.RIGHT_BUNDLE_BLOCK)
        return blocked[int(rng.random() < 0.65)]
    return chronic


def _draw_time(patient: Patient, rng: np.random.Generator) -> datetime:
    start = datetime(patient.anchor_year, 1, 1)
    return start + timedelta(minutes=int(rng.integers(0, 6 * 365 * 24 * 60)))


def _give_ids(studies: list[Study], rng: np.random.Generator) -> list[Study]:
    ids = 40_000_000 + rng.choice(10_000_000, size=len(studies), replace=False)
    return [replace(s, study_id=int(i)) for s, i in zip(studies, ids, strict=True)]
