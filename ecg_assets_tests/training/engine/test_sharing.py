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
def test_each_segment_has_the_same_part_in_a_step_whatever_the_number_of_processes(
    batch_size: int, n_passes: int, n_items: int, n_processes: int
) -> None:
    expected = _weights(n_items, batch_size, n_passes, n_processes=1)
    found = _weights(n_items, batch_size, n_passes, n_processes=n_processes)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def _weights(
    n_items: int, batch_size: int, n_passes: int, *, n_processes: int
) -> NDArray[np.float64]:
    """Weight of each segment in each optimizer step of an epoch, ``(step, segment)``."""
    recipe = PRESETS["tiny"].changed(batch_size=batch_size, gradient_accumulation=n_passes)
    own_size, own_passes = recipe.share(n_processes)
    n_steps = -(-n_items // (batch_size * n_passes))
    weights = np.zeros((n_steps, n_items))
    for rank in range(n_processes):
        batches = SharedBatches(
            EpochShuffle(n_items, seed=3),
            batch_size=own_size,
            n_passes=own_passes,
            rank=rank,
            n_processes=n_processes,
            splits=own_size != batch_size,
        )
        assert len(list(batches)) == len(batches)
        for number, items in enumerate(batches):
            # A mean loss over the divisor, then the mean over processes.
            weight = 1 / len(items) / batches.divisor(number) / n_processes
            weights[number // own_passes, items] += weight
    return weights


def test_a_step_of_one_process_is_the_mean_of_its_passes() -> None:
    found = _weights(25, 4, 4, n_processes=1)
    assert found.shape == (2, 25)
    assert np.unique(found[0]).tolist() == [0, 1 / 16]
    # Two passes of four, and one of a single segment.
    np.testing.assert_allclose(np.unique(found[1]), [0, 1 / 12, 1 / 3], rtol=0, atol=1e-12)


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
