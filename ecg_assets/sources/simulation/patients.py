"""Simulated patients: ids, sex, age, anatomy, and how many studies each has."""

from __future__ import annotations

import numpy as np

from ecg_assets.sources.simulation.study import Heart, Patient

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
