"""One bootstrap resample of AUROC and average precision, against scikit-learn."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run as a script, too

from benchmarks.timing import cpu_seconds, print_ratio
from ecg_assets.evaluation.weighted_ranks import TieBlocks

N_RECORDS = 80_000
N_RESAMPLES = 10


def main() -> None:
    """Print the ratio, and the largest difference between the two."""
    generator = np.random.default_rng(0)
    target = (generator.random(N_RECORDS) < 0.1).astype(np.uint8)
    score = (generator.normal(size=N_RECORDS) + target).astype(np.float32)
    weights = generator.multinomial(N_RECORDS, np.full(N_RECORDS, 1 / N_RECORDS), N_RESAMPLES)
    ours: list[tuple[float, float]] = []
    reference: list[tuple[float, float]] = []

    def resample_by_blocks() -> None:
        blocks = TieBlocks.from_scores(target, score)
        ours[:] = [blocks.curves(weight.astype(np.float64)) for weight in weights]

    def resample_by_scikit_learn() -> None:
        picks = [np.repeat(np.arange(N_RECORDS), weight) for weight in weights]
        reference[:] = [
            (roc_auc_score(target[p], score[p]), average_precision_score(target[p], score[p]))
            for p in picks
        ]

    seconds = cpu_seconds({"ours": resample_by_blocks, "sklearn": resample_by_scikit_learn})
    title = f"AUROC and AP of {N_RESAMPLES} resamples of {N_RECORDS} records, against scikit-learn"
    print_ratio(title, seconds["ours"], seconds["sklearn"])
    print(f"largest difference: {np.abs(np.subtract(ours, reference)).max():.1e}")


if __name__ == "__main__":
    main()
