"""Intervals of AUROC and average precision over resampled patients, against scikit-learn.

Ours runs whole: 1,000 replicates × 17 labels × 80,000 recordings, the rankings included. The
scikit-learn loop takes the first replicates of the same draws, and its CPU time is scaled by
the number of replicates; what it costs to gather the resampled rows is not counted.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run as a script, too

from benchmarks.timing import print_ratio
from ecg_assets.evaluation import evaluate
from ecg_assets.metrics.intervals import draw_patients
from ecg_assets.metrics.ranks import TieBlocks

N_RECORDS, N_PATIENTS, N_LABELS = 80_000, 16_000, 17
N_REPLICATES, N_REFERENCE = 1000, 4
SEED = 0
METRICS = {"AUROC": roc_auc_score, "average precision": average_precision_score}


def main() -> None:
    """Print the ratios, the largest difference between the two, and the peak memory."""
    target, score, patient = _simulate()
    before = _peak_mb()
    started = time.process_time()
    evaluate(score, target, [f"label {k}" for k in range(N_LABELS)], patient, N_REPLICATES, SEED)
    whole = time.process_time() - started
    print(
        f"evaluate(): 11 metrics of {N_LABELS} labels and 3 summaries, {N_REPLICATES} replicates: "
        f"{whole:.1f} s of CPU; peak memory {_peak_mb():.0f} MB, {before:.0f} MB of it before"
    )
    found, ours = _resample_by_blocks(target, score, patient)
    reference, seconds = _resample_by_scikit_learn(target, score, patient)
    for column, (name, spent) in enumerate(seconds.items()):
        scaled = spent * N_REPLICATES / N_REFERENCE
        largest = np.abs(found[:N_REFERENCE, :, column] - reference[..., column]).max()
        print_ratio(f"{name} alone (ours computes both)", ours, scaled)
        print(f"  largest difference over {N_REFERENCE} × {N_LABELS} values: {largest:.1e}")
    both = sum(seconds.values()) * N_REPLICATES / N_REFERENCE
    print_ratio(
        f"both, {N_REPLICATES} replicates (scikit-learn: {N_REFERENCE}, scaled)", ours, both
    )


def _simulate() -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.intp]]:
    """Labels from 0.2 to 75 percent positive; scores of a patient's recordings move together."""
    generator = np.random.default_rng(SEED)
    patient = generator.integers(0, N_PATIENTS, N_RECORDS)
    prevalence = np.geomspace(0.002, 0.75, N_LABELS)
    target = (generator.random((N_RECORDS, N_LABELS)) < prevalence).astype(np.uint8)
    noise = generator.normal(size=(N_PATIENTS, N_LABELS))[patient]
    logit = noise + generator.normal(size=target.shape) + 2 * target - 2
    return target, (1 / (1 + np.exp(-logit))).astype(np.float32), patient


def _resample_by_blocks(
    target: NDArray[np.uint8], score: NDArray[np.float32], patient: NDArray[np.intp]
) -> tuple[NDArray[np.float64], float]:
    """Values ``(replicate, label, 2)`` of all replicates, and CPU seconds."""
    started = time.process_time()
    labels = [TieBlocks.from_scores(target[:, k], score[:, k], patient) for k in range(N_LABELS)]
    blocks = [
        np.stack([label.resample(counts) for label in labels], axis=1)
        for counts in draw_patients(N_PATIENTS, N_REPLICATES, np.random.default_rng(SEED))
    ]
    return np.concatenate(blocks), time.process_time() - started


def _resample_by_scikit_learn(
    target: NDArray[np.uint8], score: NDArray[np.float32], patient: NDArray[np.intp]
) -> tuple[NDArray[np.float64], dict[str, float]]:
    """Values of the first replicates, and each metric's CPU seconds (drawing not counted)."""
    seconds: dict[str, float] = dict.fromkeys(METRICS, 0.0)
    values = np.empty((N_REFERENCE, N_LABELS, len(METRICS)))
    draws: Any = draw_patients(N_PATIENTS, N_REPLICATES, np.random.default_rng(SEED))
    for replicate, counts in enumerate(next(draws)[:N_REFERENCE]):
        rows = np.repeat(np.arange(N_RECORDS), counts[patient])
        for label in range(N_LABELS):
            truth, scored = target[rows, label], score[rows, label]
            for column, (name, metric) in enumerate(METRICS.items()):
                started = time.process_time()
                values[replicate, label, column] = metric(truth, scored)
                seconds[name] += time.process_time() - started
    return values, seconds


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
