"""A grid of heads on frozen features: trained as one tensor, against one after the other."""

from __future__ import annotations

import sys
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run as a script, too

from benchmarks.timing import median_seconds, print_ratio
from ecg_assets.models.device import choose_device
from ecg_assets.training.finetune.head_grid import train_heads

RATES, SEEDS, DECAYS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2), (0, 1, 2), (0.0, 0.1)
N_SEGMENTS, N_FEATURES, N_LABELS = 4_000, 768, 17


def main() -> None:
    """Print the ratio, and the largest difference of a weight."""
    device = choose_device("auto")
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    features = random.standard_normal((N_SEGMENTS, N_FEATURES), np.float32)
    labels = random.integers(2, size=(N_SEGMENTS, N_LABELS), dtype=np.uint8)
    train = partial(train_heads, features, labels, np.ones(N_LABELS), epochs=2, device=str(device))
    grid = partial(train, learning_rates=RATES, seeds=SEEDS, weight_decays=DECAYS)
    alone = [
        partial(train, learning_rates=(rate,), seeds=(seed,), weight_decays=(decay,))
        for seed, rate, decay in product(SEEDS, RATES, DECAYS)
    ]
    together = grid().weight
    one_by_one = np.concatenate([one().weight for one in alone])
    seconds = median_seconds(
        {"grid": grid, "alone": lambda: [one() for one in alone]}, device.type, repeats=3
    )
    print_ratio(f"{len(alone)} heads as one tensor", seconds["grid"], seconds["alone"])
    print(f"largest difference of a weight: {np.abs(together - one_by_one).max():.1e}")


if __name__ == "__main__":
    main()
