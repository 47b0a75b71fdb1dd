"""How several processes share out what one would do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ecg_assets.errors import SettingsError
from ecg_assets.training.engine.segments import EpochShuffle, SharedBatches
from ecg_assets.training.engine.trainer_arguments import epoch_arguments
from ecg_assets.training.finetune.presets import PRESETS
from ecg_assets.training.pretrain.presets import PRESETS as PRETRAIN_PRESETS
from ecg_assets_tests.training.finetune.toy_run import toy_request


@pytest.mark.parametrize("n_processes", [1, 2, 3, 4])
@pytest.mark.parametrize("n_items", [1, 5, 24, 25, 47, 48, 49])
@pytest.mark.parametrize(
    ("batch_size", "n_passes"), [(12, 1), (12, 5), (4, 12)], ids=["one pass", "split", "shared"]
)
def test_each_known_label_has_the_same_part_in_a_step_whichever_pass_and_process_has_it(
    batch_size: int, n_passes: int, n_items: int, n_processes: int
) -> None:
    for counts in (np.ones(n_items, np.int64), np.arange(n_items) % 3):
        found = _weights(counts, batch_size, n_passes, n_processes=n_processes)
        expected = _expected(counts, batch_size * n_passes)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def _weights(
    counts: NDArray[np.int64], batch_size: int, n_passes: int, *, n_processes: int
) -> NDArray[np.float64]:
    """Weight of a known label of each segment in each step of an epoch, ``(step, segment)``."""
    recipe = PRESETS["tiny"].changed(batch_size=batch_size, gradient_accumulation=n_passes)
    own_size, own_passes = recipe.share(n_processes)
    n_steps = -(-len(counts) // (batch_size * n_passes))
    weights = np.zeros((n_steps, len(counts)))
    for rank in range(n_processes):
        batches = SharedBatches(
            EpochShuffle(len(counts), seed=3),
            counts,
            batch_size=own_size,
            n_passes=own_passes,
            rank=rank,
            n_processes=n_processes,
        )
        assert len(list(batches)) == len(batches)
        for number, items in enumerate(batches):
            # A mean over what is known over the divisor, then the mean over processes.
            weight = 1 / max(counts[items].sum(), 1) / batches.divisor(number) / n_processes
            weights[number // own_passes, items] += weight * (counts[items] > 0)
    return weights


def _expected(counts: NDArray[np.int64], per_step: int) -> NDArray[np.float64]:
    """Weigh all known labels of a step alike, whichever pass or process has them."""
    order = list(EpochShuffle(len(counts), seed=3))
    steps = [order[start : start + per_step] for start in range(0, len(order), per_step)]
    weights = np.zeros((len(steps), len(counts)))
    for weight, items in zip(weights, steps, strict=True):
        weight[items] = (counts[items] > 0) / max(counts[items].sum(), 1)
    return weights


@pytest.mark.parametrize("n_processes", [1, 2, 4])
def test_without_counts_each_pass_has_the_same_part(n_processes: int) -> None:
    """25 pairs by four: of the second step's three passes the last one has a single pair."""
    found = np.zeros(25)
    for rank in range(n_processes):
        batches = SharedBatches(
            EpochShuffle(25, seed=3),
            None,
            batch_size=4,
            n_passes=4 // n_processes,
            rank=rank,
            n_processes=n_processes,
        )
        for number, items in enumerate(batches):
            found[items] += 1 / len(items) / batches.divisor(number) / n_processes
    parts = np.split(found[list(EpochShuffle(25, seed=3))], [16, 24])
    for part, expected in zip(parts, (1 / 16, 1 / 12, 1 / 3), strict=True):
        np.testing.assert_allclose(part, expected, rtol=0, atol=1e-12)


def test_passes_are_shared_out_first_and_pairs_never() -> None:
    recipe = PRESETS["tiny"].changed(batch_size=12, gradient_accumulation=4)
    assert [recipe.share(n) for n in (1, 2, 3, 4)] == [(12, 4), (12, 2), (4, 4), (12, 1)]
    with pytest.raises(SettingsError, match="gradient_accumulation or batch_size must be a mult"):
        recipe.share(5)
    pretraining = PRETRAIN_PRESETS["ecg-fm-pretrain"]
    assert [pretraining.share(n) for n in (1, 4, 8)] == [(64, 8), (64, 2), (64, 1)]
    with pytest.raises(SettingsError, match=r"16 processes .* gradient_accumulation must be a"):
        pretraining.share(16)


def test_more_processes_than_gpus_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    request = toy_request(tmp_path, device="cuda")
    with pytest.raises(SettingsError, match=r"2 processes .* torch sees 1 GPUs"):
        epoch_arguments(request, tmp_path)
