"""The synthetic cohort's plan: enough of each label, over enough patients, and lasting findings."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_assets.sources.synthetic.case_mix import CASE_MIX
from ecg_assets.sources.synthetic.plan import CohortPlan, assign_by_quota, plan_cohort
from ecg_assets.sources.synthetic.study import Conduction, Ectopy, Infarct, Rhythm, Study

SINUS_NODE = (Rhythm.SINUS, Rhythm.FIRST_DEGREE_BLOCK, Rhythm.WENCKEBACH)
FAST = (Rhythm.VENTRICULAR_TACHYCARDIA, Rhythm.ABERRANT_TACHYCARDIA)
FIBRILLATING = (Rhythm.FIBRILLATION, Rhythm.FIBRILLATION_PACED)
PACED = (Rhythm.ATRIAL_PACED, Rhythm.VENTRICULAR_PACED, Rhythm.DUAL_PACED)
SVT = Rhythm.ABERRANT_TACHYCARDIA
RIGHT = (Conduction.RIGHT_BUNDLE_BLOCK, Conduction.BIFASCICULAR_BLOCK)


def _labels(study: Study) -> set[str]:
    """Labels that a study's findings amount to, by ECG-FM's names."""
    rhythm, conduction = study.rhythm, study.conduction
    is_sinus = rhythm in SINUS_NODE
    holds = {
        "Poor data quality": study.is_noisy,
        "Sinus rhythm": is_sinus,
        "Premature ventricular contraction": study.ectopy is Ectopy.VENTRICULAR,
        "Tachycardia": rhythm in FAST or (is_sinus and study.rate_bpm > 100),
        "Ventricular tachycardia": rhythm is Rhythm.VENTRICULAR_TACHYCARDIA,
        "Supraventricular tachycardia with aberrancy": rhythm is SVT,
        "Atrial fibrillation": rhythm in FIBRILLATING,
        "Atrial flutter": rhythm is Rhythm.FLUTTER,
        "Bradycardia": is_sinus and study.rate_bpm < 60,
        "Accessory pathway conduction": conduction is Conduction.PREEXCITED,
        "Atrioventricular block": rhythm in SINUS_NODE[1:],
        "1st degree atrioventricular block": rhythm is Rhythm.FIRST_DEGREE_BLOCK,
        "Bifascicular block": conduction is Conduction.BIFASCICULAR_BLOCK,
        "Right bundle branch block": conduction in RIGHT and rhythm is not SVT,
        "Left bundle branch block": conduction is Conduction.LEFT_BUNDLE_BLOCK
        and rhythm is not SVT,
        "Infarction": study.infarct is not Infarct.NONE,
        "Electronic pacemaker": rhythm in (*PACED, Rhythm.FIBRILLATION_PACED),
    }
    return {name for name, is_true in holds.items() if is_true}


@pytest.fixture(scope="module", params=[0, 1, 2])
def plan(request: pytest.FixtureRequest) -> CohortPlan:
    return plan_cohort(800, seed=request.param, n_shards=4)


def test_each_of_the_17_labels_has_enough_positives_and_patients(plan: CohortPlan) -> None:
    studies: dict[str, int] = defaultdict(int)
    patients: dict[str, set[int]] = defaultdict(set)
    for study in plan.studies:
        for label in _labels(study):
            studies[label] += 1
            patients[label].add(study.patient.subject_id)
    assert len(studies) == 17
    assert min(studies.values()) >= 45
    assert min(len(ids) for ids in patients.values()) >= 22


def test_findings_come_in_mixtures(plan: CohortPlan) -> None:
    assert sum(len(_labels(study)) >= 3 for study in plan.studies) > 80


def test_patients_have_one_to_six_studies(plan: CohortPlan) -> None:
    counts: dict[int, int] = defaultdict(int)
    for study in plan.studies:
        counts[study.patient.subject_id] += 1
    assert set(counts) == {patient.subject_id for patient in plan.patients}
    assert (min(counts.values()), max(counts.values())) == (1, 6)
    assert 2.3 < len(plan.studies) / len(counts) < 2.7


def test_lasting_findings_stay_with_their_patient(plan: CohortPlan) -> None:
    conducted = (*SINUS_NODE, Rhythm.FIBRILLATION)
    seen: dict[int, set[tuple[Conduction, Infarct]]] = defaultdict(set)
    paced: dict[int, set[bool]] = defaultdict(set)
    for study in plan.studies:
        if study.rhythm in conducted:
            seen[study.patient.subject_id].add((study.conduction, study.infarct))
        paced[study.patient.subject_id].add("Electronic pacemaker" in _labels(study))
    assert {len(findings) for findings in seen.values()} == {1}
    assert {len(is_paced) for is_paced in paced.values()} == {1}


@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 10_000))
@settings(max_examples=25)
def test_every_folder_has_a_patient(n_records: int, n_shards: int, seed: int) -> None:
    n_records = max(n_records, n_shards)
    plan = plan_cohort(n_records, seed=seed, n_shards=n_shards)
    assert len(plan.studies) == n_records
    assert {s.patient.folder for s in plan.studies} == {f"p{1000 + i}" for i in range(n_shards)}


def test_shares_of_the_case_mix_sum_to_one() -> None:
    assert sum(condition.share for condition in CASE_MIX) == pytest.approx(1)
    for condition in CASE_MIX:
        assert sum(episode.share for episode in condition.episodes) == pytest.approx(1)


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=60),
    st.lists(st.integers(1, 20), min_size=1, max_size=8),
)
def test_quota_misses_no_share_by_more_than_the_largest_item(
    sizes: list[int], weights: list[int]
) -> None:
    shares = [weight / sum(weights) for weight in weights]
    groups = assign_by_quota(sizes, shares)
    for group, share in enumerate(shares):
        given_to = sum(size for size, g in zip(sizes, groups, strict=True) if g == group)
        assert given_to <= share * sum(sizes) + max(sizes)
