from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ecg_assets.errors import SchemaError
from ecg_assets.models.pretraining.objective import Objective
from ecg_assets.preprocess.z_score import integer_scales
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.engine.segments import EpochShuffle
from ecg_assets.training.pretrain.pairs import PairDataset, find_pairs
from ecg_assets_tests.training.pretrain.toy_cohort import N_SAMPLES, toy_cohort

UNMASKED = Objective(lead_mask_probability=0.0, n_negatives=4)


def _dataset(
    data: TrainingData, objective: Objective = UNMASKED, *, n_channels: int = 3, seed: int = 0
) -> PairDataset:
    return PairDataset(
        data,
        find_pairs(data, "train"),
        n_channels=n_channels,
        n_tokens=40,
        objective=objective,
        seed=seed,
    )


def test_a_pair_is_two_adjacent_segments_of_one_recording(cohort: TrainingData) -> None:
    rows = cohort.rows("train")
    expected, record = cohort.signals.segments(rows, cohort.manifest.spec)
    assert np.bincount(record).tolist() == [2] * len(rows)
    dataset = _dataset(cohort)
    assert len(dataset) == len(rows)
    batch = dataset.__getitems__([5, 0, 7])
    first, second = batch["input_values"].numpy().reshape(2, 3, *expected.shape[1:])
    np.testing.assert_array_equal(first, expected[0::2][[5, 0, 7]])
    np.testing.assert_array_equal(second, expected[1::2][[5, 0, 7]])


@pytest.mark.parametrize(("leads", "n_channels"), [(("I", "II", "V1"), 3), (("I",), 12)])
def test_pairs_on_a_device_are_those_of_the_memory_map_bit_for_bit(
    leads: tuple[str, ...], n_channels: int
) -> None:
    plain = toy_cohort(9, leads=leads)
    records = plain.signals.samples.reshape(9, len(leads), N_SAMPLES)
    scales = np.stack([integer_scales(record) for record in records])
    signals = replace(plain.signals, scales=scales, scaled_part=(0, N_SAMPLES))
    data, objective = TrainingData(plain.manifest, signals), Objective(n_negatives=4)
    mapped, resident = (
        PairDataset(
            data,
            find_pairs(data, "train"),
            n_channels=n_channels,
            n_tokens=40,
            objective=objective,
            seed=0,
            device=device,
        )
        for device in (None, torch.device("cpu"))
    )
    expected, found = mapped.__getitems__([5, 0, 3]), resident.__getitems__([5, 0, 3])
    assert found.keys() == expected.keys()
    for name in expected:
        assert found[name].dtype == expected[name].dtype
        assert found[name].equal(expected[name]), name
    assert expected["input_values"].shape[1] == n_channels
    assert (expected["input_values"] == 0).all(dim=2).any()  # a blanked lead


def test_longer_recordings_give_pairs_that_do_not_overlap(cohort: TrainingData) -> None:
    spec = replace(cohort.manifest.spec, segment_s=1.0)
    shorter = TrainingData(replace(cohort.manifest, spec=spec), cohort.signals)
    pairs = find_pairs(shorter, "train")
    # 5 s hold five segments of 1 s; the fifth has no partner.
    first = [0, 2] * len(cohort.rows("train"))
    assert pairs.numbers.tolist() == [first, [number + 1 for number in first]]
    assert pairs.rows.tolist() == [np.repeat(cohort.rows("train"), 2).tolist()] * 2


def test_pairs_of_one_patient_have_one_number(cohort: TrainingData) -> None:
    patients = _dataset(cohort).__getitems__([0, 1, 2])["patients"].tolist()
    assert patients[0] == patients[1] != patients[2]


def test_recordings_of_one_segment_are_no_pairs(cohort: TrainingData) -> None:
    spec = replace(cohort.manifest.spec, segment_s=4.0)
    whole = TrainingData(replace(cohort.manifest, spec=spec), cohort.signals)
    with pytest.raises(SchemaError, match=r"None of the 32 recordings .* two segments of 4\.0 s"):
        find_pairs(whole, "train")


def test_studies_pair_up_within_each_patient() -> None:
    data = _of_patients("ABACABB")
    pairs = find_pairs(data, "train", "studies")
    # Patient A has the recordings 0, 2 and 4, patient B 1, 5 and 6; C has a single one.
    assert pairs.rows.tolist() == [
        [0, 0, 2, 2, 1, 1, 5, 5],
        [2, 2, 4, 4, 5, 5, 6, 6],
    ]
    assert pairs.numbers.tolist() == [[0, 1] * 4] * 2
    assert pairs.patients.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_a_pair_of_studies_is_a_segment_of_each() -> None:
    data = _of_patients("ABACABB")
    dataset = PairDataset(
        data,
        find_pairs(data, "train", "studies"),
        n_channels=3,
        n_tokens=40,
        objective=UNMASKED,
        seed=0,
    )
    found = dataset.__getitems__([3, 4])["input_values"].numpy()
    segments, _ = data.signals.segments(np.arange(7), data.manifest.spec)
    # Segment 1 of recordings 2 and 4, and segment 0 of recordings 1 and 5.
    np.testing.assert_array_equal(found, segments[[5, 2, 9, 10]])


def test_patients_of_a_single_study_are_no_pairs_of_studies() -> None:
    with pytest.raises(SchemaError, match=r"No patient has two of the 4 .* \(pairs = 'segments'\)"):
        find_pairs(_of_patients("ABCD"), "train", "studies")


def _of_patients(patients: str) -> TrainingData:
    """Recordings to train on, each of the patient of its letter."""
    data = toy_cohort(len(patients))
    index = data.manifest.index.assign(subject_id=list(patients), split="train")
    return TrainingData(replace(data.manifest, index=index), data.signals)


def test_mask_and_negatives_fit_each_other(cohort: TrainingData) -> None:
    batch = _dataset(cohort).__getitems__([1, 2])
    n_masked = batch["mask"][0].sum().item()
    assert batch["mask"].shape == (4, 40)
    assert batch["negatives"].shape == (4, n_masked, 4)
    assert batch["negatives"].max().item() < n_masked


def test_leads_are_blanked_whole_and_with_their_probability(cohort: TrainingData) -> None:
    plain = _dataset(cohort).__getitems__(list(range(32)))["input_values"]
    dataset = _dataset(cohort, UNMASKED.changed(lead_mask_probability=0.5))
    shares = []
    for epoch in range(20):
        dataset.set_epoch(epoch)
        found = dataset.__getitems__(list(range(32)))["input_values"]
        blank = (found == 0).all(dim=-1)
        assert (found == plain)[~blank].all()
        shares.append(blank.float().mean().item())
    assert np.mean(shares) == pytest.approx(0.5, abs=0.04)


def test_copies_of_a_single_lead_are_blanked_on_their_own() -> None:
    dataset = _dataset(
        toy_cohort(10, leads=("I",)), UNMASKED.changed(lead_mask_probability=0.5), n_channels=12
    )
    found = dataset.__getitems__([0, 1, 2])["input_values"]
    assert found.shape == (6, 12, 1250)
    kept = (found != 0).any(dim=-1)
    assert 0 < kept.float().mean() < 1
    for segment, is_kept in zip(found, kept, strict=True):
        assert (segment[is_kept] == segment[is_kept][:1]).all()


def test_masks_depend_on_seed_epoch_and_pairs_alone(cohort: TrainingData) -> None:
    objective = Objective(n_negatives=4)
    dataset = _dataset(cohort, objective)
    batch = dataset.__getitems__([3, 4])
    again = _dataset(cohort, objective).__getitems__([3, 4])
    assert all((batch[name] == again[name]).all() for name in batch)
    dataset.set_epoch(1)
    for other in (
        dataset.__getitems__([3, 4]),
        _dataset(cohort, objective, seed=1).__getitems__([3, 4]),
    ):
        assert (other["patients"] == batch["patients"]).all()
        assert other["mask"].shape != batch["mask"].shape or (other["mask"] != batch["mask"]).any()


def test_each_epoch_has_every_pair_once_in_another_order() -> None:
    epochs: list[int] = []
    sampler = EpochShuffle(10, 3, epochs.append)
    first = list(sampler)
    sampler.set_epoch(2)
    third = list(sampler)
    assert sorted(first) == list(range(10))
    assert sorted(third) == list(range(10))
    assert third != first
    assert list(sampler) == third
    # The data set is told, too: its masks are others in each epoch.
    assert epochs == [2]
