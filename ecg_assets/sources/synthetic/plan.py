"""The plan of a cohort: who has which study with which findings, from one seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from ecg_assets.sources.synthetic.case_mix import (
    ATRIAL_ECTOPY_SHARE,
    CASE_MIX,
    FLAT_T_SHARE,
    INFARCT_SHARES,
    NOISY_SHARE,
    SINUS_ARRHYTHMIA_SHARE,
    VARIED_FLUTTER_SHARE,
    VENTRICULAR_ECTOPY_SHARE,
    Condition,
)
from ecg_assets.sources.synthetic.study import (
    Conduction,
    Ectopy,
    Heart,
    Infarct,
    Patient,
    Rhythm,
    Study,
)

# What comes and goes from study to study: premature beats, noise, flat T waves, irregularity.


_CAN_BE_ECTOPIC = (Rhythm.SINUS, Rhythm.FIRST_DEGREE_BLOCK, Rhythm.FIBRILLATION)
_CAN_HAVE_FLAT_T = (Rhythm.SINUS, Rhythm.FIRST_DEGREE_BLOCK, Rhythm.WENCKEBACH)


def add_overlays(studies: Sequence[Study], rng: np.random.Generator) -> list[Study]:
    """Return the studies, some of them with passing findings.

    Each share of all studies falls on studies that can have the finding and, among premature
    beats and irregularity, have no other of them yet.
    """

    def overlay(share: float, can_have: Callable[[Study], bool], **changes: object) -> None:
        candidates = [i for i, study in enumerate(result) if can_have(study)]
        count = min(round(share * len(result)), len(candidates))
        for i in rng.choice(candidates, size=count, replace=False):
            result[i] = replace(result[i], **changes)

    result = list(studies)
    overlay(VENTRICULAR_ECTOPY_SHARE, _can_be_ectopic, ectopy=Ectopy.VENTRICULAR)
    overlay(ATRIAL_ECTOPY_SHARE, _is_regular_sinus, ectopy=Ectopy.ATRIAL)
    overlay(SINUS_ARRHYTHMIA_SHARE, _is_regular_sinus, is_irregular=True)
    overlay(VARIED_FLUTTER_SHARE, lambda s: s.rhythm is Rhythm.FLUTTER, is_irregular=True)
    overlay(FLAT_T_SHARE, _can_have_flat_t, has_flat_t=True)
    overlay(NOISY_SHARE, lambda _: True, is_noisy=True)
    return result


def _can_be_ectopic(study: Study) -> bool:
    return study.rhythm in _CAN_BE_ECTOPIC and study.rate_bpm < 100


def _is_regular_sinus(study: Study) -> bool:
    return study.rhythm is Rhythm.SINUS and study.rate_bpm < 100 and study.ectopy is Ectopy.NONE


def _can_have_flat_t(study: Study) -> bool:
    return (
        study.rhythm in _CAN_HAVE_FLAT_T
        and study.conduction is Conduction.NORMAL
        and study.infarct is Infarct.NONE
    )


# Simulated patients: ids, sex, age, anatomy, and how many studies each has.


MEAN_STUDIES = 2.5
MAX_STUDIES = 6


def draw_study_counts(n_records: int, n_shards: int, rng: np.random.Generator) -> list[int]:
    """Draw how many studies each patient has: 1 to 6, about 2.5 on average, in all `n_records`.

    There are at least as many patients as shards, so that no folder is empty.
    """
    n_patients = max(n_shards, round(n_records / MEAN_STUDIES))
    appetite = rng.gamma(2.0, size=n_patients)
    counts = np.ones(n_patients, dtype=np.int64)
    for _ in range(n_records - n_patients):
        weight = np.where(counts < MAX_STUDIES, appetite, 0.0)
        counts[rng.choice(n_patients, p=weight / weight.sum())] += 1
    return [int(count) for count in counts]


def draw_patients(n_patients: int, n_shards: int, rng: np.random.Generator) -> list[Patient]:
    """Draw patients in the order of their ids, spread evenly over the folders p1000, p1001, …."""
    sizes = np.bincount(np.arange(n_patients) % n_shards, minlength=n_shards)
    ids = np.concatenate(
        [
            10_000_000 + folder * 10_000 + np.sort(rng.choice(10_000, size, replace=False))
            for folder, size in enumerate(sizes)
        ]
    )
    return [
        Patient(
            subject_id=int(subject_id),
            sex="FM"[int(rng.integers(2))],
            anchor_age=int(np.clip(rng.normal(64, 15), 18, 91)),
            anchor_year=int(rng.integers(2112, 2190)),
            heart=_draw_heart(rng),
        )
        for subject_id in ids
    ]


def _draw_heart(rng: np.random.Generator) -> Heart:
    return Heart(
        amplitude=float(np.clip(rng.lognormal(0.0, 0.22), 0.6, 1.7)),
        p_scale=float(rng.uniform(0.8, 1.25)),
        t_scale=float(rng.uniform(0.7, 1.35)),
        qrs_width=float(rng.uniform(0.93, 1.08)),
        axis_deg=float(rng.normal(0.0, 10.0)),
        twist_deg=float(rng.normal(0.0, 8.0)),
        pr_s=float(rng.uniform(0.135, 0.185)),
        long_pr_s=float(rng.uniform(0.25, 0.34)),
        ectopic_sign=int(rng.choice((-1, 1))),
        spike_mv=float(rng.choice((-1, 1)) * rng.uniform(0.5, 1.6)),
    )


# Hand out shares exactly instead of by luck: small cohorts keep each rare finding.


def assign_by_quota(
    sizes: Sequence[int], shares: Sequence[float], limits: Sequence[int] | None = None
) -> list[int]:
    """Give each item, in order, to the group that is furthest below its share.

    Parameters
    ----------
    sizes
        Weight of each item.
    shares
        Wanted share of each group in the sum of the weights; they sum to 1.
    limits
        Largest size of an item that a group takes; none when absent.

    Returns
    -------
    list of int
        Group of each item. Ties go to the earlier group.

    Raises
    ------
    ValueError
        When the shares do not sum to 1, or an item is too large for every group.

    Examples
    --------
    >>> assign_by_quota([1, 1, 1, 1], [0.5, 0.25, 0.25])
    [0, 0, 1, 2]
    >>> assign_by_quota([3, 1], [0.5, 0.5], [1, 3])
    [1, 0]
    """
    if abs(sum(shares) - 1.0) > 1e-9:
        raise ValueError(f"shares sum to {sum(shares)}; expected 1.")
    wanted = np.array(shares) * sum(sizes)
    largest = np.array(limits if limits is not None else [max(sizes, default=0)] * len(shares))
    groups = []
    for size in sizes:
        room = np.where(size <= largest, wanted, -np.inf)
        if np.isinf(room).all():
            raise ValueError(f"an item of size {size} fits no group; limits: {largest.tolist()}.")
        group = int(np.argmax(room))
        wanted[group] -= size
        groups.append(group)
    return groups


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
